"""Text cut into pieces of about a token, as a model would write it."""

from __future__ import annotations

import re

# a word with the white space before it, at most 8 characters of it at a time; or white space alone
_PIECE = re.compile(r"\s*[^\s]{1,8}|\s+")


def pieces(text: str) -> list[str]:
    """Cut a text so that the pieces, joined, are the text."""
    return _PIECE.findall(text)
