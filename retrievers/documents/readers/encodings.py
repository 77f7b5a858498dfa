"""Bytes of unknown encoding to text."""

from __future__ import annotations

import codecs

SNIFFED_BYTES = 8192


def decode(data: bytes, encoding: str | None = None) -> str:
    """Text of unknown encoding: its byte order mark, else UTF-8, else Windows-1252 (with Latin-1's letters).

    Raises:
        ValueError: The bytes are not text, or not in the encoding given.
    """
    if encoding is not None:
        try:
            return _normal_lines(data.decode(encoding))
        except (UnicodeDecodeError, LookupError) as error:
            raise ValueError(f"cannot be decoded as {encoding}: {error}") from error
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            return _normal_lines(data.decode(name, errors="replace"))
    if is_binary(data[:SNIFFED_BYTES]) or b"\0" in data:
        raise ValueError("binary content, not text")
    for name in ("utf-8", "cp1252"):
        try:
            return _normal_lines(data.decode(name))
        except UnicodeDecodeError:
            continue
    return _normal_lines(data.decode("latin-1"))


# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def _normal_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def is_binary(head: bytes) -> bool:
    """True if the first bytes of a file are not text in any encoding that :func:`decode` knows."""
    if any(head.startswith(mark) for mark, _ in _BYTE_ORDER_MARKS):
        return False
    if b"\0" in head:
        return True
    # Text holds no control characters but tab, line ends, form feed, backspace and escape (terminal colours).
    controls = len(head.translate(None, _TEXT_BYTES))
    return controls > len(head) // 20


_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))
