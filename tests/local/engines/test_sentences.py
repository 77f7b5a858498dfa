"""Text is cut where a reader would cut it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.local.engines.sentences import split_sentences, split_units


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        (
            "Dr. Smith met Mr. J. R. Jones in the U.S. Army.",
            ["Dr. Smith met Mr. J. R. Jones in the U.S. Army."],
        ),
        ("It costs $3.50, i.e. not much. See Fig. 3.", ["It costs $3.50, i.e. not much.", "See Fig. 3."]),
        ("Use v1.2.3 of app.py. It works.", ["Use v1.2.3 of app.py.", "It works."]),
        ('He said "stop." Then he left.', ['He said "stop."', "Then he left."]),
        ("e.g. this one", ["e.g. this one"]),
        ("Wait… what? Yes.", ["Wait…", "what?", "Yes."]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("1. First step", ["1. First step"]),
        ("no end", ["no end"]),
        ("", []),
    ],
)
def test_sentences(text, sentences):
    assert split_sentences(text) == sentences


def test_headings_lists_tables_and_code_are_units_of_their_kind():
    text = (
        "# Guide\n\nA line that is broken\nin the middle. Next one.\n\n- first\n- second one\n  goes on\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```python\nx = 1\n\ny = 2\n```\nPart\n----\nEnd.\n"
    )
    assert [(unit.kind, unit.text, unit.heading) for unit in split_units(text)] == [
        ("heading", "Guide", "Guide"),
        ("prose", "A line that is broken in the middle.", "Guide"),
        ("prose", "Next one.", "Guide"),
        ("item", "- first", "Guide"),
        ("item", "- second one goes on", "Guide"),
        ("row", "| a | b |", "Guide | a | b |"),
        ("row", "| 1 | 2 |", "Guide | a | b |"),
        ("code", "x = 1\n\ny = 2", "Guide"),
        ("heading", "Part", "Part"),
        ("prose", "End.", "Part"),
    ]


def test_the_items_of_a_list_are_one_block_and_paragraphs_are_not():
    blocks = [unit.block for unit in split_units("- a\n- b\n\nOne.\n\nTwo.")]
    assert blocks[0] == blocks[1]
    assert len(set(blocks)) == 3


def test_an_unclosed_fence_ends_with_the_text():
    assert [unit.kind for unit in split_units("Text.\n\n```\ncode")] == ["prose", "code"]


@given(st.text(alphabet=st.sampled_from('ab. \n-#|`=!?1"')))
def test_every_word_of_any_text_is_in_a_unit_or_was_markup(text):
    kept = "".join(unit.text for unit in split_units(text))
    assert {c for c in kept if c in "ab"} == {c for c in text if c in "ab"} or "```" in text
