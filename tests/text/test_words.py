import inspect
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_bedrock import text as module
from llama_bedrock.text import (
    content_words,
    folded,
    forms_by_span,
    has_content_words,
    is_lone_character,
    is_stop_word,
    language_of,
    language_of_texts,
    language_of_words,
    query_terms,
    sentences,
    stem,
    stop_words,
    terms,
    words,
    written_words,
)
from llama_bedrock.text import forms as only_forms


def forms(text, **options):
    return [word.form for word in words(text, **options)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The Wings", ["the", "wing"]),
        ("128K tokens, 0.50 and 1,234.5", ["128000", "token", "0.5", "and", "1234.5"]),
        ("twenty-five llamas on 2024-05-06", ["25", "llama", "on", "may", "6", "2024"]),
        ("Nine thousand two hundred and six of twenty two million", ["9206", "of", "22000000"]),
        (
            "one of a hundred, one hundred; nineteen eighty-four",
            ["one", "of", "a", "hundr", "100", "19", "84"],
        ),
        (
            "seven\nthousand tense tennis players often phone",
            ["7000", "tens", "tenni", "player", "often", "phone"],
        ),
        ("It’s “nine” – or 3’000…", ["it", "9", "or", "3000"]),
        ("C++ or C#", ["c++", "or", "c#"]),
        ("Daten\u00adbank", ["datenbank"]),
        ("an in-\nstallation", ["an", "instal"]),
        ("ﬁle ＡＢＣ", ["file", "abc"]),
        ("日本語", ["日本", "本語"]),
        (
            "½, 1½, 1 1/2 or .5; 24/7, 1/2/2024",
            ["0.5", "1.5", "1.5", "or", "0.5", "24", "7", "1", "2", "2024"],
        ),
        ("1e6 10^6 ७०", ["1000000", "1000000", "70"]),
        ("3.2bn 70 Milliarden 1,5 Mio. 2 लाख", ["3200000000", "70000000000", "1500000", "200000"]),
        ("am 5.12.2024", ["am", "decemb", "5", "2024"]),
        ("फ़ाइलें।", forms("फ़ाइल")),
    ],
)
def test_words_are_compared_in_one_form(text, expected):
    assert forms(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "On 2024-05-06 nine men’s 3,5 €",
        "soft\u00adware in-\nstallation",
        "日" * 700,
        "C++ x" * 9,
        "Plain words. On 2024-05-06 nine men’s é. More plain-\nly words.\n\nCNN --\n\nFor 3’000 years.",
        f"{'word ' * 119}in-\nstallation of é. Then more.",
    ],
)
def test_forms_are_those_of_words_in_the_whole_and_by_sentence(text):
    assert only_forms(text, "en") == forms(text, language="en")
    by_span = forms_by_span(text, list(sentences(text)), "en")
    assert [form for some in by_span for form in some] == forms(text, language="en")


def test_words_stand_where_they_are_written():
    text = "A soft\u00adware in-\nstallation of ﬁles, २५ फ़ाइलें; C++."
    for word in words(text):
        assert word.is_number or word.form[:1] in folded(text[word.start : word.end]).lower()
    assert [text[w.start : w.end] for w in words(text)][1:3] == ["soft\u00adware", "in-\nstallation"]


def test_content_words_are_those_of_the_language():
    assert [w.form for w in content_words("Wie installiere ich ein Paket mit apt?")] == [
        "installi",
        "pak",
        "apt",
    ]
    assert [w.form for w in content_words("How do I install a package?")] == ["instal", "packag"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It ends. Here too! And?", ["It ends.", "Here too!", "And?"]),
        (
            "Mr. Smith paid $3.50, e.g. in cash. J. Doe did not.",
            ["Mr. Smith paid $3.50, e.g. in cash.", "J. Doe did not."],
        ),
        ("1. First. 2. Second.", ["1. First.", "2. Second."]),
        ("See llama.cpp etc. for more.", ["See llama.cpp etc. for more."]),
        ("z. B. eine Datei. Und noch eine.", ["z. B. eine Datei.", "Und noch eine."]),
        ("これは文です。次の文。", ["これは文です。", "次の文。"]),
        ("यह एक वाक्य है। यह दूसरा है।", ["यह एक वाक्य है।", "यह दूसरा है।"]),
        ("- an item\n- another", ["- an item", "- another"]),
        ("  \n\n ", []),
    ],
)
def test_sentences(text, expected):
    assert [text[start:end] for start, end in sentences(text)] == expected


def test_stems_and_stop_words_of_a_language():
    assert stem("paketen", "de") == stem("paket", "de")
    assert stem("instalación", "es") == stem("instalaciones", "es")
    assert "nicht" in stop_words("de")
    assert "index" not in stop_words("en")
    assert stop_words("xx") == frozenset()
    assert stem("häuser", "xx") == "hauser"


@given(st.text("abK mM12,.'_-\n\r\t#+C()]twenty-one million", max_size=40))
@settings(deadline=None)
def test_words_do_not_depend_on_whether_a_text_is_ascii(text):
    """ASCII is read by a pattern of its own; a letter far behind makes a text anything else."""
    assert words(f"{text}\n\n\n\u00e9", "en")[:-1] == words(text, "en")


UNITS = (
    "a", "a ", ". ", "A. ", "1", "1 ", "1.", "1,", "-", "- ", "-\n", "a-\n", "a-", "#", "C++", "aB", "a_", "'", "a'", "’s ",
    "\n", "\r\n", " \n", "é", "e\u0301", "\u00ad", "a\u00ad", "\u200b", "日", "ก", "क", "\u0300", "2024-01-01 ", "k ", "die ",
    "…", "!?", ")", "|", "1)\n", "\ufb01", "twenty-", "\U0001f600", "\0", "a1", "Ab", "AB", "++", "..", ". \n", "e.g. ",
    "\t", "“", "« ", "।", "。", "한", "ا", "x-\n y", "0.1.", "the ",
)  # fmt: skip
READERS = {
    "terms": terms,
    "words": words,
    "content_words": content_words,
    "sentences": lambda text: list(sentences(text)),
    "language_of": language_of,
    "language_of_words": lambda text: language_of_words(text.split(" ")),
    "is_stop_word": lambda text: is_stop_word(text, "en"),
    "written_words": written_words,
    "query_terms": lambda text: query_terms(text, ["en", "de"]),
    "folded": folded,
    "stem": stem,
    "forms": lambda text: only_forms(text, "en"),
    "forms_by_span": lambda text: forms_by_span(text, list(sentences(text)), "en"),
    "forms_by_span, beside each other": lambda text: forms_by_span(
        text, [(0, len(text) // 2), (len(text) // 2, len(text))], "en"
    ),
    "has_content_words": lambda text: has_content_words(text, "en", 1_000_000),
    "is_lone_character": is_lone_character,
    "language_of_texts": lambda text: language_of_texts([text] * 3),
    "language_of_texts, many": lambda text: language_of_texts(text.split(" ")),
}
OF_A_LANGUAGE = {"stop_words", "tells_something", "telling_words", "terms_of"}  # tables: of no text


def test_every_public_text_function_has_its_growth_measured():
    public = {
        name
        for name, function in inspect.getmembers(module, inspect.isroutine)
        if not name.startswith("_") and getattr(function, "__module__", "") == module.__name__
    }
    assert public - OF_A_LANGUAGE == {name.partition(",")[0] for name in READERS}
    assert public >= OF_A_LANGUAGE


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_no_reader_of_text_takes_more_than_its_length(name, growth):
    def making(unit):
        return lambda characters, turn: f"{random.random()}{turn} " + unit * (characters // len(unit))

    ratios = {unit: growth(making(unit), READERS[name], 5_000) for unit in UNITS}
    assert max(ratios.values()) < 8, {unit: ratio for unit, ratio in ratios.items() if ratio >= 8}


@given(st.text(st.characters(max_codepoint=127)) | st.text("aZ_09+#- \n\x1c\0", max_size=12))
def test_words_of_ascii_are_those_of_the_pattern(text):
    assert module._ascii_words(text) == module._ASCII_WORD.findall(text)
