"""Embeddings that count."""

from collections import Counter

import pytest
from langchain_core.embeddings import Embeddings


class CountingEmbeddings(Embeddings):
    """Deterministic vectors; remembers how often it was given each text, and is interrupted after some."""

    model_id = "counting"

    def __init__(self, fail_after=None):
        self.texts = Counter()
        self.fail_after = fail_after

    def embed_documents(self, texts):
        for text in texts:
            if self.fail_after is not None and self.texts.total() >= self.fail_after:
                raise KeyboardInterrupt
            self.texts[text] += 1
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [1.0 + text.count(letter) for letter in "abcdefgh"]


@pytest.fixture
def counting():
    """The class: tests make as many as they need."""
    return CountingEmbeddings
