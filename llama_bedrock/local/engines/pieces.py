"""What the engines cut a text into: pieces of about a token, and the words that they compare."""

from __future__ import annotations

import re

from llama_bedrock.text import content_words

# a word with the white space before it, at most 8 characters of it at a time; or white space alone
_PIECE = re.compile(r"\s*[^\s]{1,8}|\s+")


def pieces(text: str) -> list[str]:
    """Cut a text so that the pieces, joined, are the text."""
    return _PIECE.findall(text)


def forms(text: str, language: str = "en") -> list[str]:
    """The content words of a text as they are compared; ``maxTokens`` and ``max_tokens`` are two each."""
    spaced = re.sub(r"_|(?<=[a-z])(?=[A-Z])", " ", text)
    return [word.form for word in content_words(spaced, language)]
