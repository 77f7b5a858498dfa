"""Texts analysed in lots: what `llama_bedrock.text` says of each alone."""

from importlib import metadata

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock.retrievers import analysis
from llama_bedrock.retrievers.analysis import AnalysedTexts
from llama_bedrock.retrievers.arrays import counted
from llama_bedrock.text import language_of_words, terms, written_words

# Packages' own descriptions, which nobody here wrote, and prose in other languages and scripts.
DESCRIPTIONS = [
    text
    for name in ("langchain-core", "pytest", "boto3")
    for text in (metadata.metadata(name).get_payload() or "").split("\n\n")
]
GERMAN = (
    "Die Pumpe wird vor dem ersten Lauf gefüllt, und das Ventil ist so weit zu öffnen, wie es die Anzeige sagt. "
    * 2
)
FRENCH = "La pompe est remplie avant la première mise en route, et la vanne ne doit pas être ouverte plus que ce que dit le cadran. "
TEXTS = [
    *DESCRIPTIONS,
    "",
    GERMAN,
    "Wie wird die Pumpe gefüllt?",
    FRENCH,
    "東京の天気は晴れです。",
    "ฉันจะติดตั้งแพ็กเกจ",
    "getUserName max_tokens C++",
    "a well-\nknown word",
    "   ",
]


@pytest.mark.parametrize("at_once", [7, 4_096])
def test_texts_analysed_together_have_the_terms_of_each_alone(monkeypatch, at_once):
    monkeypatch.setattr(analysis, "_AT_ONCE", at_once)
    texts = AnalysedTexts.of(iter(TEXTS))
    assert len(texts) == len(TEXTS) > 20
    assert {"en", "de", "fr"} <= set(texts.languages)
    position = 0
    for text, length, language in zip(TEXTS, texts.lengths.tolist(), texts.languages, strict=True):
        assert language == language_of_words(written_words(text))
        own = texts.terms[position : position + length].tolist()
        assert [texts.vocabulary[number] for number in own] == terms(text, language)
        position += length
    assert position == len(texts.terms)
    assert sorted(set(texts.terms.tolist())) == list(range(len(texts.vocabulary)))


def test_no_texts_have_no_terms():
    texts = AnalysedTexts.of([])
    assert (len(texts), len(texts.terms), list(texts.vocabulary)) == (0, 0, [])


@given(st.lists(st.integers(0, 12)))
def test_numbers_are_counted_as_numpy_counts_them(numbers):
    values, counts = counted(np.array(numbers, np.int64))
    expected = np.unique(np.array(numbers, np.int64), return_counts=True)
    assert [values.tolist(), counts.tolist()] == [part.tolist() for part in expected]
