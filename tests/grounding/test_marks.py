"""Citation marks are found in an answer, whole or streamed, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock.grounding.marks import MarkReader
from llama_bedrock.prompts.passages import NO_ANSWER

KNOWN = range(1, 4)

CASES = [
    # answer, clean text, numbers of the marks, removed marks
    ("Llamas hum [1].", "Llamas hum [1].", [(1,)], []),
    ("Llamas hum.[1]", "Llamas hum.[1]", [(1,)], []),
    ("A [1][2] b [1, 2] c [1-3] d [1–2] e [2;3]", None, [(1,), (2,), (1, 2), (1, 2, 3), (1, 2), (2, 3)], []),
    ("A [Passage 2] b [source 1] c [doc #3]", None, [(2,), (1,), (3,)], []),
    ("A [ 1 ] b", None, [(1,)], []),
    ("A [99]. B", "A. B", [], ["[99]"]),
    ("A [99] b", "A b", [], ["[99]"]),
    ("[99] A", "A", [], ["[99]"]),
    ("A [0]", "A", [], ["[0]"]),
    ("A [1, 99] b", "A [1] b", [(1,)], ["[99]"]),
    ("A [2-4] b", "A [2, 3] b", [(2, 3)], ["[4]"]),
    ("A [1-50000] b", "A b", [], ["[1-50000]"]),
    ("A [3-1] b", "A b", [], ["[3-1]"]),
    ("A [99]\nB [98]\n\nC", "A\nB\n\nC", [], ["[99]", "[98]"]),
    ("A [1][1]", None, [(1,), (1,)], []),
    ("Use `x[1]` and ``y[2] ` z`` [3]", None, [(3,)], []),
    ("```python\nx[1] = y[99]\n```\nDone [2]", None, [(2,)], []),
    ("~~~\nx[99]\n~~~\nDone [2]", None, [(2,)], []),
    ("````\n```\n[99]\n```\n````\n[1]", None, [(1,)], []),
    ("```\n[99] never closed", None, [], []),
    ("A ` lone back quote [1]\nand [2]", None, [(2,)], []),
    ("a ~ b ~~c~~ [1]", None, [(1,)], []),
    ("See [1](https://example.org) and [2]", None, [(2,)], []),
    ("An array [1.5] and [x] and [] and [1", None, [], []),
    ("A [[1]] b", None, [(1,)], []),
    ("A [not a mark but long enough to be held back for a while, perhaps] b [1]", None, [(1,)], []),
    ("  \n A [1] \n ", "A [1]", [(1,)], []),
    ("", "", [], []),
    ("   ", "", [], []),
    (f"{NO_ANSWER} [1]", NO_ANSWER, [], ["[1]"]),
    ("[" * 300, None, [], []),
    ("[1" + ", 1" * 40 + "]", None, [], []),  # longer than any mark
]


def read(text: str, cuts: list[int]) -> tuple[str, list[tuple[int, ...]], list[str]]:
    reader = MarkReader(KNOWN, refusal=NO_ANSWER.rstrip("."))
    pieces = [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    out = "".join(reader.feed(piece) for piece in pieces) + reader.close()
    assert out == reader.text
    for mark in reader.marks:
        assert out[mark.start] == "["
        assert out[mark.end - 1] == "]"
    return out, [mark.numbers for mark in reader.marks], reader.removed


@pytest.mark.parametrize(("answer", "clean", "numbers", "removed"), CASES)
def test_marks_whole_and_at_every_split_point(answer, clean, numbers, removed):
    expected = (answer if clean is None else clean, numbers, removed)
    assert read(answer, []) == expected
    assert read(answer, list(range(1, len(answer)))) == expected
    for cut in range(1, len(answer)):
        assert read(answer, [cut]) == expected


pieces = st.lists(
    st.sampled_from(
        [
            "[1]",
            "[99]",
            "[1, 2]",
            "[",
            "]",
            "`",
            "``",
            "```",
            "\n```\n",
            "~~~",
            "\n",
            " ",
            "a.",
            "x",
            "1",
            "(",
            ". ",
        ]
    ),
    max_size=20,
)


@settings(max_examples=300)
@given(pieces.map("".join), st.data())
def test_any_chunking_gives_the_same_as_the_whole(answer, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(answer)), max_size=6)))
    assert read(answer, cuts) == read(answer, [])


@given(st.text(alphabet="ab[]1,`~\n (.-9", max_size=60))
def test_only_marks_and_outer_space_are_ever_removed(answer):
    out, _, removed = read(answer, [])
    if not removed:
        assert out == answer.strip()


def test_a_mark_that_a_limit_cut_in_two_is_dropped():
    reader = MarkReader(KNOWN)
    reader.feed("Llamas hum [1] and spit [")
    reader.feed("2")
    reader.close(cut=True)
    assert reader.text == "Llamas hum [1] and spit"


def test_text_is_not_held_back_longer_than_a_mark_could_be():
    reader = MarkReader(KNOWN)
    assert reader.feed("Llamas ") == "Llamas"
    assert reader.feed("hum") == " hum"
    assert reader.feed(" [pass") == ""
    assert reader.feed("ages 1") == ""
    assert reader.feed(" and") == " [passages 1 and"
    assert reader.feed(" [see") == " [see"


def test_a_long_answer_is_read_in_linear_time():
    reader = MarkReader(KNOWN)
    for _ in range(20_000):
        reader.feed("word [1] ")
    reader.close()
    assert len(reader.marks) == 20_000
