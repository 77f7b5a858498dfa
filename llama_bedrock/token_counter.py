"""Tokens of a text for one model: by a tokenizer that was given, else estimated and corrected by what the
service counted.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import deque
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from llama_bedrock.tokens import estimate_tokens

_LOWEST, _HIGHEST = 0.75, 1.35  # bounds of a correction: the estimate is not further off, texts aside
_WEIGHT = 0.3  # of the newest count
_SHORTEST, _LONGEST = 400, 20_000  # characters of a prompt that tells something and is cheap
_CONTROL_TOKEN = re.compile(r"<\|[a-z0-9_]{2,40}\|>")

# The cuts of Meta's tokenizers: Llama 3's (128,000 entries), and Llama 4's (200,000), which is GPT-4o's.
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
_LLAMA4 = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

Encode = Callable[[str], list[int]]


class ServiceCounts:
    """What the service counted for prompts, to correct the estimate of the next ones; per model.

    Nothing is computed when a count comes in, so that no call waits for it.
    """

    def __init__(self) -> None:
        self._new: deque[tuple[str, str, int]] = deque(maxlen=8)
        self._ratios: dict[str, float] = {}

    def note(self, model: str, prompt: str, tokens: int) -> None:
        """Keep a count.

        Args:
            model: Model id.
            prompt: The whole text that was sent, without images.
            tokens: What the service counted.
        """
        if _SHORTEST <= len(prompt) <= _LONGEST:
            self._new.append((model, prompt, tokens))

    def correction(self, model: str) -> float:
        """Factor for estimates of this model; 1 before anything was counted, within bounds afterwards."""
        while self._new:
            try:
                of, prompt, tokens = self._new.popleft()
            except IndexError:  # another thread took it
                break
            ratio = min(_HIGHEST, max(_LOWEST, tokens / estimate_tokens(prompt)))
            known = self._ratios.get(of)
            self._ratios[of] = ratio if known is None else known + _WEIGHT * (ratio - known)
        return self._ratios.get(model, 1.0)


def encoder_of(tokenizer: Any) -> Encode:
    """The function from a text to its token ids.

    Args:
        tokenizer: A `tokenizers.Tokenizer`, a tiktoken `Encoding`, a transformers tokenizer, a function, or
            the path of Meta's ``tokenizer.model`` (Llama 3 to 4) or of a ``tokenizer.json``.

    Raises:
        ValueError: It is none of these, or the file cannot be read as one.
        ImportError: The package that reads the file is missing.
    """
    if isinstance(tokenizer, (str, Path)):
        return _encoder_of_file(str(tokenizer))
    kind = type(tokenizer).__module__.split(".")[0]
    if kind == "tiktoken":
        return lambda text: list(tokenizer.encode(text, allowed_special="all"))
    encode = getattr(tokenizer, "encode", None)
    if encode is not None and kind == "tokenizers":
        return lambda text: list(encode(text, add_special_tokens=False).ids)
    if encode is not None:
        return lambda text: _ids(encode(text))
    if callable(tokenizer):
        return lambda text: _ids(tokenizer(text))
    raise ValueError(
        f"tokenizer={tokenizer!r}: give a tokenizers or tiktoken object, a function from text to token ids, "
        "or the path of Meta's tokenizer.model or of a tokenizer.json"
    )


def _ids(found: Any) -> list[int]:
    ids = getattr(found, "ids", found)
    if isinstance(ids, int | str) or not hasattr(ids, "__len__"):
        raise ValueError(f"the tokenizer returned {type(found).__name__}, not a list of token ids")
    return list(ids)


@lru_cache(maxsize=4)
def _encoder_of_file(path: str) -> Encode:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"tokenizer={path!r} cannot be read: {error.strerror}") from error
    if data[:1] == b"{":
        return _encoder_of_json(path, data)
    try:
        ranks = {base64.b64decode(token): int(rank) for token, rank in map(bytes.split, data.splitlines())}
    except (ValueError, binascii.Error) as error:
        raise ValueError(
            f"tokenizer={path!r} is no tokenizer.model of Llama 3 or 4 (lines of base64 and a number); that "
            "of Llama 2 is SentencePiece: give its encode function"
        ) from error
    try:
        import tiktoken
    except ImportError as error:
        raise ImportError("tokenizer.model is read by tiktoken: pip install tiktoken") from error
    pattern = _LLAMA3 if len(ranks) < 150_000 else _LLAMA4
    encoding = tiktoken.Encoding(path, pat_str=pattern, mergeable_ranks=ranks, special_tokens={})

    def encode(text: str) -> list[int]:
        ids: list[int] = []
        start = 0
        for mark in _CONTROL_TOKEN.finditer(text):  # each is one token; which one does not matter to a count
            ids += [*encoding.encode_ordinary(text[start : mark.start()]), len(ranks)]
            start = mark.end()
        return ids + encoding.encode_ordinary(text[start:])

    return encode


def _encoder_of_json(path: str, data: bytes) -> Encode:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise ImportError("tokenizer.json is read by tokenizers: pip install tokenizers") from error
    try:
        json.loads(data)
        return encoder_of(Tokenizer.from_str(data.decode()))
    except Exception as error:
        raise ValueError(f"tokenizer={path!r} is no tokenizer.json: {error}") from error
