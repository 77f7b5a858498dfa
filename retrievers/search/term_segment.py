"""Texts as their terms, and which texts hold each term: what a lexical index is made of, never changed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from llama_bedrock.retrievers.analysis import AnalysedTexts, renumbered
from llama_bedrock.retrievers.arrays import (
    Floats,
    Integers,
    Mask,
    Slots,
    counted,
    np,
    read_arrays,
    write_arrays,
)

_NAMES = {
    "keys": "<i8",
    "lengths": "<i8",
    "terms": "<i4",
    "ends": "<i8",
    "texts": "<i4",
    "counts": "<f4",
    "about": "|u1",
}
"""The arrays of a file, and their types."""


class TermSegment:
    """Some texts with their terms.

    Attributes:
        ids: The id of each text.
        keys: A number for each text, rising.
        languages: The language of each text.
        vocabulary: Numbers of the terms.
        lengths: Number of terms of each text.
        terms: The terms of the texts in their order, text after text.
        ends: Where the postings of each term begin, and where the last ones end.
        texts: Postings: the places of the texts that hold a term, term after term.
        counts: How often each of them does.
        path: The file it was opened from or written to; None if it was neither.
    """

    path: Path | None
    ids: list[str]
    languages: list[str]
    keys: Slots
    lengths: Slots
    vocabulary: dict[str, int]
    terms: Integers
    ends: Slots
    texts: Integers
    counts: Floats
    starts: Slots

    def __init__(
        self,
        ids: Sequence[str],
        keys: Slots,
        languages: Sequence[str],
        words: Sequence[str],
        lengths: Slots,
        terms: Integers,
    ) -> None:
        self.path = None
        self.ids, self.keys, self.languages = list(ids), keys, list(languages)
        self.vocabulary = {word: number for number, word in enumerate(words)}
        self.lengths, self.terms = lengths, terms
        pairs = terms.astype(np.int64)
        pairs *= max(len(keys), 1)
        pairs += np.repeat(np.arange(len(keys), dtype=np.int64), lengths)
        pairs, counts = counted(pairs)
        numbers, texts = np.divmod(pairs, max(len(keys), 1))
        self.texts = texts.astype(np.int32)
        self.counts = counts.astype(np.float32)
        self.ends = np.searchsorted(numbers, np.arange(len(words) + 1))
        self._begin()

    def _begin(self) -> None:
        self.starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.lengths)])

    def __len__(self) -> int:
        return len(self.keys)

    @classmethod
    def of(cls, ids: Sequence[str], texts: AnalysedTexts, keys: Slots) -> TermSegment:
        """The segment of some texts, with their ids and keys."""
        return cls(ids, keys, texts.languages, texts.vocabulary, texts.lengths, texts.terms)

    @classmethod
    def joined(cls, segments: Sequence[tuple[TermSegment, Mask]]) -> TermSegment:
        """One segment with those texts of several that are not deleted; nothing is analysed again."""
        vocabulary: dict[str, int] = {}
        terms, lengths, keys = [], [], []
        ids: list[str] = []
        languages: list[str] = []
        for segment, alive in segments:
            numbers = [vocabulary.setdefault(word, len(vocabulary)) for word in segment.vocabulary]
            kept = segment.terms[np.repeat(alive, segment.lengths)]
            terms.append(np.array(numbers, np.int32)[kept])
            lengths.append(segment.lengths[alive])
            keys.append(segment.keys[alive])
            places = np.flatnonzero(alive).tolist()
            ids += [segment.ids[place] for place in places]
            languages += [segment.languages[place] for place in places]
        used, numbers_used = renumbered(np.concatenate(terms), len(vocabulary))
        known = list(vocabulary)
        return cls(
            ids,
            np.concatenate(keys),
            languages,
            [known[number] for number in used.tolist()],
            np.concatenate(lengths),
            numbers_used,
        )

    def write(self, path: Path) -> None:
        """Write one ``.npz`` file."""
        about = {"ids": self.ids, "languages": self.languages, "vocabulary": list(self.vocabulary)}
        encoded = json.dumps(about, ensure_ascii=False).encode("utf-8", "surrogatepass")
        arrays = {name: getattr(self, name) for name in _NAMES if name != "about"}
        write_arrays(path, **arrays, about=np.frombuffer(encoded, np.uint8))
        self.path = path

    @classmethod
    def open(cls, path: Path) -> TermSegment:
        """What `write` wrote; only its keys are read before anything else is asked for.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is damaged.
        """
        segment = cls.__new__(cls)
        segment.path = path
        [segment.keys] = _arrays(path, ["keys"], is_checked=False)  # `load` does
        return segment

    def __getattr__(self, name: str) -> Any:
        # Only of a segment that was opened and not loaded yet.
        if name.startswith("__") or "path" not in self.__dict__ or "terms" in self.__dict__:
            raise AttributeError(name)
        self.load()
        return self.__dict__[name]

    @property
    def is_loaded(self) -> bool:
        """Whether all of it is in memory."""
        return "terms" in self.__dict__

    def load(self) -> None:
        """Read the rest of it, if that was not done yet.

        Raises:
            FileNotFoundError: There is no such file any more.
            ValueError: It is damaged.
        """
        if self.is_loaded:
            return
        facts = dict(zip(_NAMES, _arrays(self.path or Path(), list(_NAMES)), strict=True))
        about = json.loads(facts.pop("about").tobytes().decode("utf-8", "surrogatepass"))
        facts |= {"ids": about["ids"], "languages": about["languages"]}
        facts["vocabulary"] = {word: number for number, word in enumerate(about["vocabulary"])}
        if not _hold_together(**facts):
            raise ValueError(f"{self.path} is damaged: its parts do not belong together")
        self.__dict__.update(facts)
        self._begin()


def _hold_together(
    keys: Any,
    lengths: Any,
    terms: Any,
    ends: Any,
    texts: Any,
    counts: Any,
    ids: Any,
    languages: Any,
    vocabulary: Any,
) -> bool:
    count, words = len(keys), len(vocabulary)
    return bool(
        count == len(ids) == len(languages) == len(lengths)
        and {type(text) for text in (*ids, *languages, *vocabulary)} <= {str}
        and (lengths >= 0).all()
        and lengths.sum() == len(terms)
        and _lie_within(terms, words)
        and len(ends) == words + 1
        and ends[0] == 0
        and (np.diff(ends) >= 0).all()
        and ends[-1] == len(texts) == len(counts)
        and _lie_within(texts, count)
        and (np.diff(keys) > 0).all()
    )


def _arrays(path: Path, names: Sequence[str], *, is_checked: bool = True) -> list[Any]:
    arrays = read_arrays(path, *names, is_checked=is_checked)
    for name, array in zip(names, arrays, strict=True):
        if array.dtype != np.dtype(_NAMES[name]) or array.ndim != 1:
            raise ValueError(f"{path} is damaged: its {name} are of a wrong kind")
    return arrays


def _lie_within(numbers: Any, count: int) -> bool:
    return not len(numbers) or (int(numbers.min()) >= 0 and int(numbers.max()) < count)
