"""An estimate of the tokens of a text before the call.

Bedrock counts no Llama tokens ahead of a call (CountTokens refuses every Llama), and Llama's vocabulary of
128,000 entries is too big to ship. What is shipped is a checksum of each entry, 230 KB. So `estimate_tokens`
cuts text the way Llama 3's tokenizer does before it merges bytes (words with the character before them,
digits in groups of three, punctuation, white space), and each such piece from its left into the longest
entries. The tokenizer itself merges by rank, which makes a few more tokens of a long word.
"""

from __future__ import annotations

import re
import sys
import zlib
from array import array
from bisect import bisect_left
from collections import Counter
from functools import cache, lru_cache
from itertools import accumulate
from pathlib import Path

from llama_bedrock.prompts.formats import FORMATS, PromptFormat, format_of

_compiled = cache(re.compile)  # when first used: compiling takes longer than importing this module

# The cut of Llama 3's tokenizer in the words of `re`: "[^\W\d_]" is a letter; as there, vowel signs of Indic
# scripts are none.
_PIECE = (
    r"'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+"
    r"|\d{1,3}"
    r"| ?(?:[^\s\w]|_)+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    r"|[\s\S]"
)
_CONTROL_TOKEN = r"<\|[a-z0-9_]{2,40}\|>"
CHECKSUM_SHIFT = 4
"""Lowest bits that a CRC-32 of an entry loses: what is no entry is taken for one in 1 of 2,000 cases."""

# Bytes of entries looked for, by what a piece is of; few are longer, except runs of spaces and rules.
_RUN, _ASCII, _WIDE, _OTHER = 128, 16, 12, 18
_FIRST_WIDE = 0xE3  # first byte of Kana, Han, Hangul and all above
_BY_RANK = 1.03  # tokens by rank for one by length, chosen on Debian's translated man pages and messages
_WHOLE_PIECE, _SAMPLE = 2_000, 250  # characters; longer pieces, which are no words, are sampled
_DISTINCT, _PART = 20_000, 8  # of more distinct pieces every eighth is cut, or fewer: again some 20,000


def estimate_tokens(text: str) -> int:
    """Estimate how many tokens Llama 3 (3.1, 3.2, 3.3) makes of a text.

    Needs no network and no tokenizer; time is linear in the text, 0.1 to 1 s for a million characters.

    Measured against Meta's tokenizer (November 2026, `benchmarks/token_estimate.py`) on parts of 4,000
    characters of texts that nothing was fitted to, by kind, which is a language or a type of file of one
    source: 71 kinds of English, code, tables, logs and data 1.0 % off in the mean, at worst 7.7 %; 74 of
    Llama's eight languages 0.6 %, at worst 2.3 %; 230 of other languages 0.9 %, at worst 6.1 %. A model's
    `get_num_tokens` corrects itself by what the service counts, and is exact with ``tokenizer=``.

    Llama 4's vocabulary gives the same count for English and code and a smaller one for other languages (by
    1 to 67 %), so the estimate is an upper one there. Llama 2 was not measured; its smaller vocabulary
    makes more.

    Args:
        text: Any text. What looks like a control token (``<|eot_id|>``) counts as one.

    Returns:
        The estimate; 0 for an empty text, at least 1 for any other.
    """
    return _kept_estimate(text) if len(text) <= _KEPT_CHARACTERS else _estimate(text)


def _estimate(text: str) -> int:
    if not text:
        return 0
    find, counted, marks = _compiled(_PIECE).findall, Counter[str](), 0
    if "<|" in text:
        first, *others = _compiled(_CONTROL_TOKEN).split(text)
        counted, marks = Counter(find(first)), len(others)
        for part in others:
            counted.update(find(part))
    else:
        counted = Counter(find(text))
    pieces = list(counted.items())
    if len(pieces) <= _DISTINCT:
        return max(1, round(marks + _total(pieces)))
    # The frequent ones stand first, as they are met first; of the others a part tells.
    rest = pieces[_DISTINCT:]
    sample = rest[:: max(_PART, len(rest) // _DISTINCT)]
    scale = sum(len(piece) * count for piece, count in rest) / sum(
        len(piece) * count for piece, count in sample
    )
    return round(marks + _total(pieces[:_DISTINCT]) + scale * _total(sample))


def _total(pieces: list[tuple[str, int]]) -> float:
    return sum([count * _piece_tokens(piece) for piece, count in pieces])


# Passages, rules and instructions are counted for every answer that they are part of.
_KEPT_CHARACTERS = 8_000
_kept_estimate = lru_cache(maxsize=2_048)(_estimate)


@cache
def _entries() -> array[int]:
    """The checksums: increasing numbers, written as the differences between them, and one above all.

    Searched by halves: a set would be a fifth faster, but takes 8 MB and 25 ms to make.
    """
    steps = array("H", zlib.decompress(Path(__file__).with_name("llama3_tokens.bin").read_bytes()))
    if sys.byteorder == "big":
        steps.byteswap()
    return array("I", [*accumulate(steps), 1 << 31])


@lru_cache(maxsize=50_000)
def _piece_tokens(piece: str) -> float:
    """About how many tokens a piece is."""
    data, entries = piece.encode("utf-8", "surrogatepass"), _entries()
    checksum = zlib.crc32(data) >> CHECKSUM_SHIFT
    if len(data) == 1 or entries[bisect_left(entries, checksum)] == checksum:
        return 1.0
    if len(piece) > _WHOLE_PIECE:
        starts = range(0, len(piece) - _SAMPLE, len(piece) // 8)
        found = sum(_piece_tokens(piece[start : start + _SAMPLE]) for start in starts)
        return found * len(piece) / (_SAMPLE * len(starts))
    return 1 + _BY_RANK * (_cut(data) - 1)


def _cut(data: bytes) -> int:
    """How many entries a piece is cut into, from its left, each as long as possible."""
    entries, crc, find = _entries(), zlib.crc32, bisect_left
    run = len(set(data)) < 3
    at, end, count = 0, len(data), 0
    while at < end:
        first = data[at]
        longest = _RUN if run else _ASCII if first < 0x80 else _WIDE if first >= _FIRST_WIDE else _OTHER
        stop = min(end, at + longest)
        while stop - at > 1:
            checksum = crc(data[at:stop]) >> CHECKSUM_SHIFT
            if entries[find(entries, checksum)] == checksum:
                break
            stop -= 1
        at, count = stop, count + 1
    return count


def estimate_image_tokens(width: int, height: int, prompt_format: PromptFormat) -> int:
    """Tokens that an image takes in the prompt.

    Args:
        width: Pixels.
        height: Pixels.
        prompt_format: A generation that reads images.

    Raises:
        ValueError: The size is not positive, or that generation reads no images.
    """
    if width < 1 or height < 1:
        raise ValueError(f"an image of {width} x {height} pixels has no tokens")
    count = format_of(prompt_format).image_tokens
    if count is None:
        readers = " and ".join(name for name, generation in FORMATS.items() if generation.reads_images)
        raise ValueError(f"{prompt_format} models read no images; {readers} do")
    return count(width, height)
