"""Bytes of unknown encoding to text."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable

SNIFFED_BYTES = 8192
_GUESSED_BYTES = 32_768

# The labels of the WHATWG Encoding Standard (encoding.spec.whatwg.org) that Python does not know, or that
# mean another codec there: pages that say "latin1" are written in Windows-1252, says the standard, and so on.
_WHATWG = {
    label: codec
    for codec, labels in {
        "utf-8": "unicode-1-1-utf-8 unicode11utf8 unicode20utf8 x-unicode20utf8",
        "iso8859-2": "iso88592",
        "iso8859-6": "csiso88596e csiso88596i iso-8859-6-e iso-8859-6-i",
        "iso8859-7": "sun-eu-greek",
        "iso8859-8": "csiso88598e csiso88598i iso-8859-8-e iso-8859-8-i visual logical",
        "iso8859-15": "csisolatin9",
        "koi8-r": "koi koi8",
        "koi8-u": "koi8-ru",
        "mac-roman": "csmacintosh mac x-mac-roman",
        "mac-cyrillic": "x-mac-cyrillic x-mac-ukrainian",
        "cp874": "dos-874 iso-8859-11 tis-620 windows-874",
        "cp1250": "x-cp1250",
        "cp1251": "x-cp1251",
        "cp1252": "ascii us-ascii ansi-x3.4-1968 cp819 csisolatin1 ibm819 iso-8859-1 iso-ir-100 iso8859-1 "
        "iso88591 iso-8859-1:1987 l1 latin1 latin-1 x-cp1252",
        "cp1253": "x-cp1253",
        "cp1254": "csisolatin5 iso-8859-9 iso-8859-9:1989 iso-ir-148 iso8859-9 iso88599 l5 latin5 x-cp1254",
        "cp1255": "x-cp1255",
        "cp1256": "x-cp1256",
        "cp1257": "x-cp1257",
        "cp1258": "x-cp1258",
        "gb18030": "chinese csgb2312 csiso58gb231280 gb2312 gb-2312 gb-2312-80 gbk iso-ir-58 x-gbk",
        "big5hkscs": "big5 cn-big5 csbig5 x-x-big5",
        "euc-jp": "cseucpkdfmtjapanese x-euc-jp",
        "cp932": "csshiftjis ms932 ms-kanji shift-jis sjis windows-31j x-sjis",
        "cp949": "cseuckr csksc56011987 euc-kr iso-ir-149 korean ks-c-5601-1987 ks-c-5601-1989 ksc5601 "
        "ksc-5601 windows-949",
        "utf-16-be": "unicodefffe",
        "utf-16-le": "utf-16 csunicode iso-10646-ucs-2 ucs-2 unicode unicodefeff",
    }.items()
    for label in labels.split()
}

# What undeclared text is tried as, most used first; of several that fit equally well the first is taken.
_LIKELY = (
    "cp1252", "cp1251", "cp1250", "cp932", "euc_jp", "gb18030", "big5hkscs", "cp949", "koi8_r", "cp1253",
    "cp1254", "cp1255", "cp1256", "cp1257", "cp1258", "cp874", "iso8859_2", "iso8859_5", "iso8859_7",
    "iso8859_15", "cp866",
)  # fmt: skip

# UTF-32 first: its little-endian mark begins with that of UTF-16.
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


_MARKS = tuple(mark for mark, _ in _BYTE_ORDER_MARKS)


def codec_of(label: str) -> str | None:
    """The Python codec of an encoding's name, as the WHATWG's standard means it; None if there is none."""
    name = label.strip().lower().replace("_", "-")
    try:
        found = codecs.lookup(_WHATWG.get(name, name))
    except (LookupError, ValueError):
        return None
    # "hex" and "rot13" are codecs, too, but no encodings of text.
    return found.name if getattr(found, "_is_text_encoding", True) else None


def decode(
    data: bytes,
    encoding: str | None = None,
    *,
    declared: str | None = None,
    report: Callable[[str], None] = lambda reason: None,
) -> str:
    """Text of bytes, with line feeds as the only line ends.

    Its byte order mark decides, else the encoding it declares, if it can be that, else UTF-8, if it can be
    that, else UTF-16 or UTF-32 where every second byte or three of four are null, else what
    charset-normalizer finds most like a language, else Windows-1252.

    Args:
        data: The bytes.
        encoding: An encoding to use whatever the bytes look like.
        declared: The encoding that the file says it is in.
        report: Told if the text stays doubtful.

    Raises:
        ValueError: The bytes are not text, or not in the encoding given.
    """
    # Source code, and most of English, for short. What has nulls may be in two or four bytes per letter.
    is_plain = encoding is None and declared is None and data.isascii() and b"\0" not in data
    if is_plain and not is_binary(data[:SNIFFED_BYTES]):
        return _normal_lines(data.decode("ascii"))
    if encoding is not None:
        codec = codec_of(encoding)
        if codec is None:
            raise ValueError(f"there is no encoding {encoding!r}")
        try:
            return _normal_lines(_decoded(data, codec))
        except UnicodeError as error:
            raise ValueError(f"cannot be decoded as {encoding}: {error}") from error
    for mark, name in _BYTE_ORDER_MARKS:
        if data.startswith(mark):
            text = data.decode(name, errors="replace")
            if "\ufffd" in text and "\ufffd".encode(name) not in data:
                report(f"not wholly {name.removesuffix('-sig')}, as its byte order mark says")
            return _normal_lines(text)
    return _normal_lines(_undeclared(data, codec_of(declared) if declared else None, report))


def _undeclared(data: bytes, declared: str | None, report: Callable[[str], None]) -> str:
    if wide := _wide_codec(data[:SNIFFED_BYTES]):
        try:
            return data.decode(wide)
        except UnicodeError:
            pass
    if is_binary(data[:SNIFFED_BYTES]) or b"\0" in data:
        raise ValueError("binary content, not text")
    if declared is not None and declared.startswith(("utf-16", "utf-32")):
        declared = None  # what declared it in ASCII cannot be that
    # Any bytes can be Windows-1252, and hardly any text in it is UTF-8 by chance: that label is often wrong.
    first = "utf-8" if declared in (None, "cp1252") else declared
    for name in dict.fromkeys((first, declared or "utf-8", "utf-8")):
        try:
            return _decoded(data, name)
        except UnicodeError:
            continue
    return _guessed(data, report)


def _decoded(data: bytes, codec: str) -> str:
    if codec != "cp1252":
        return data.decode(codec)
    try:
        return data.decode(codec)
    except UnicodeDecodeError:
        # The standard keeps the five bytes that Windows-1252 leaves undefined as control characters.
        return re.sub("[\x80-\x9f]", _as_cp1252, data.decode("latin-1"))


def _as_cp1252(match: re.Match[str]) -> str:
    return match[0].encode("latin-1").decode("cp1252", "ignore") or match[0]


def _guessed(data: bytes, report: Callable[[str], None]) -> str:
    """Text that is neither declared nor UTF-8. Only lines with foreign bytes are looked at."""
    from charset_normalizer import from_bytes

    lines = [line for line in data[: 8 * _GUESSED_BYTES].splitlines() if not line.isascii()]
    sample = b"\n".join(lines)[:_GUESSED_BYTES]
    western = _decoded(data, "cp1252")
    foreign = len(sample.translate(None, bytes(range(128))))
    if foreign < 8 or not sample:
        # Too little to tell by: a handful of umlauts and quotes in Latin script.
        if foreign > 2 and foreign * 3 > len(sample):
            report("in what encoding it is cannot be told from so little text; it is read as Windows-1252")
        return western
    matches = list(from_bytes(sample, cp_isolation=list(_LIKELY), threshold=0.2, enable_fallback=False))
    # Code pages of neighbours differ in a few letters, and so do their scores by little: the one that is more
    # used is meant.
    close = [
        match
        for match in matches
        if match.chaos <= matches[0].chaos + 0.02 and match.coherence >= matches[0].coherence - 0.1
    ]
    found = min(close, key=lambda match: _LIKELY.index(match.encoding), default=None)
    if found is None:
        report("its encoding cannot be told; it is read as Windows-1252 (encoding= sets another)")
        return western
    if str(found) == _decoded(sample, "cp1252"):
        return western
    try:
        text = data.decode(found.encoding)
    except UnicodeDecodeError:
        text = data.decode(found.encoding, "replace")
        report(f"not wholly {found.encoding}, which its encoding seems to be")
        return text
    if found.coherence < 0.5 and foreign < 200:
        report(f"its encoding is guessed to be {found.encoding} (encoding= sets another)")
    return text


def _wide_codec(head: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: their null bytes lie where those of ASCII and Latin letters must."""
    if len(head) < 8 or b"\0" not in head:
        return None
    head = head[: len(head) // 4 * 4]
    quarter = len(head) // 4
    nulls = [head[offset::4].count(0) for offset in range(4)]
    if nulls[2] + nulls[3] == 2 * quarter and nulls[0] < quarter / 10:
        return "utf-32-le"
    if nulls[0] + nulls[1] == 2 * quarter and nulls[3] < quarter / 10:
        return "utf-32-be"
    even, odd = nulls[0] + nulls[2], nulls[1] + nulls[3]
    # Spaces, line ends and digits are ASCII in every script: a few per cent are enough.
    if odd > quarter / 10 and even < odd / 20:
        return "utf-16-le"
    if even > quarter / 10 and odd < even / 20:
        return "utf-16-be"
    return None


def _normal_lines(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def is_binary(head: bytes) -> bool:
    """True if the first bytes of a file are not text in any encoding that :func:`decode` knows."""
    if head.startswith(_MARKS):
        return False
    if b"\0" in head:
        wide = _wide_codec(head)
        if wide is None:
            return True
        head = head[: len(head) // 4 * 4].decode(wide, "replace").encode("utf-8", "replace")
        if head.count(b"\xef\xbf\xbd") > len(head) // 100 or b"\0" in head:
            return True
    # Text holds no control characters but tab, line ends, form feed, backspace and escape (terminal colours).
    return len(head.translate(None, _TEXT_BYTES)) > len(head) // 20


_TEXT_BYTES = bytes({7, 8, 9, 10, 12, 13, 27} | set(range(0x20, 0x100)))
