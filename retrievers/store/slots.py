"""Which document sits in which slot of the vector index, and which slots a metadata filter selects."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, reduce
from operator import and_, or_
from pathlib import Path
from typing import Any, TypeAlias

from llama_bedrock.retrievers.arrays import Bits, Mask, Slots, np, read_array
from llama_bedrock.retrievers.filters import And, Comparison, Filter, Not, Or, kind_of, parse_filter
from llama_bedrock.retrievers.store.document_table import DocumentTable


class SlotTable:
    """Document keys by slot, rising; a deleted document's key is negative.

    Keys start at 1 and rise with the slots, so a key is found by binary search, and dropping the dead slots
    renumbers no document.
    """

    def __init__(self, keys: Slots | None = None) -> None:
        self._keys: Slots = np.empty(0, np.int64) if keys is None else keys
        self.count = len(self._keys)
        self.dead = int(np.count_nonzero(self.keys < 0))
        self.next_key = int(abs(self._keys[-1])) + 1 if self.count else 1

    @property
    def keys(self) -> Slots:
        return self._keys[: self.count]

    @property
    def alive_count(self) -> int:
        """Number of documents."""
        return self.count - self.dead

    def alive(self) -> Mask:
        """True for each slot whose document was not deleted."""
        return self.keys > 0

    def append(self, added: int, *, alive: bool = True) -> None:
        """Give the next slots the next keys."""
        if self.count + added > len(self._keys):
            grown = np.empty(max(self.count + added, 2 * self.count), np.int64)
            grown[: self.count] = self.keys
            self._keys = grown
        new = np.arange(self.next_key, self.next_key + added, dtype=np.int64)
        self._keys[self.count : self.count + added] = new if alive else -new
        self.count += added
        self.next_key += added
        if not alive:
            self.dead += added

    def kill(self, keys: Slots) -> None:
        """Mark the slots of these documents as dead."""
        slots = self.slots_of(keys)
        if len(slots):
            if not self._keys.flags.writeable:
                self._keys = self._keys.copy()
            self._keys[slots] = -self._keys[slots]
            self.dead += len(slots)

    @property
    def first_key(self) -> int:
        """The least key there is, or that comes next."""
        return int(abs(self._keys[0])) if self.count else self.next_key

    def slots_of(self, keys: Slots) -> Slots:
        """The slots of the living documents among these keys; others are left out."""
        slots = self.places(keys)
        return slots[slots >= 0]

    def holds(self, keys: Slots) -> Mask:
        """Whether each of these keys is that of a living document."""
        found: Mask
        if len(keys) > 1 and self._is_dense and int(keys[-1] - keys[0]) == len(keys) - 1:
            # Most often all keys of a part, in a row: there is nothing to look for.
            first = int(keys[0]) - self.first_key
            own = self.keys[max(first, 0) : max(first, 0) + len(keys)]
            if first >= 0 and len(own) == len(keys):
                found = (own == keys) & (own > 0)
                others = np.flatnonzero(~found)
                if (own[others] == -keys[others]).all():
                    return found
        found = self.places(keys) >= 0
        return found

    @property
    def _is_dense(self) -> bool:
        """Whether no key is missing between the first and the last."""
        return self.count > 0 and int(abs(self.keys[-1])) - self.first_key + 1 == self.count

    def places(self, keys: Slots) -> Slots:
        """The slot of each key; -1 where no living document has it."""
        if not self.count or not len(keys):
            return np.full(len(keys), -1, np.int64)
        first, last = self.first_key, int(abs(self.keys[-1]))
        slots = keys - first if self._is_dense else np.searchsorted(np.abs(self.keys), keys)
        slots = np.where((keys >= first) & (keys <= last), slots, 0)
        places: Slots = np.where(self.keys[slots] == keys, slots, -1)
        return places

    def write(self, path: Path) -> None:
        """Write a ``.npy`` file."""
        with path.open("wb") as file:
            np.lib.format.write_array(file, self.keys, allow_pickle=False)

    @classmethod
    def read(cls, path: Path) -> SlotTable:
        """Read what `write` wrote.

        Raises:
            ValueError: It is no such file, or holds no such keys.
        """
        keys = read_array(path, "<i8")
        # Where none was deleted, which is most often, they are their own magnitudes.
        magnitudes = keys if len(keys) and keys[0] > 0 and (keys[1:] > keys[:-1]).all() else np.abs(keys)
        if len(keys) and (
            magnitudes[0] < 1
            or magnitudes[-1] >= 2**62
            or (magnitudes is not keys and (magnitudes[1:] <= magnitudes[:-1]).any())
        ):
            raise ValueError(f"{path} does not hold rising keys")
        return cls(keys)

    def bury(self, dead: Bits) -> None:
        """Delete the documents of some slots: a bit for each slot."""
        bytes_ = np.flatnonzero(dead)
        rows, bits = np.nonzero(np.unpackbits(dead[bytes_, None], axis=1, bitorder="little"))
        buried = 8 * bytes_[rows] + bits
        self.kill(np.abs(self.keys[buried[buried < self.count]]))


FilterLike: TypeAlias = "Filter | Mapping[str, Any] | Callable[[dict[str, Any]], bool] | None"
"""A filter in any form; a function of the metadata works too, but is called for every document of the
store."""

_CACHED = 64


class Selection:
    """The slots that may be found.

    Args:
        bitmap: One bit a slot, little-endian, as FAISS's ``IDSelectorBitmap`` wants it.
        total: Number of slots.
    """

    def __init__(self, bitmap: Bits, total: int) -> None:
        self.bitmap = bitmap
        self.total = total
        self.count = int(self._bits().sum())

    @cached_property
    def slots(self) -> Slots:
        """Their numbers, rising."""
        slots: Slots = np.flatnonzero(self._bits())
        return slots

    def holds(self, slots: Slots) -> Mask:
        """Whether each of these slots may be found; -1, and slots that were added since, may not."""
        known = (slots >= 0) & (slots < self.total)
        places = np.where(known, slots, 0)
        chosen: Mask = known & (self.bitmap[places >> 3] >> (places & 7) & 1).astype(bool)
        return chosen

    def _bits(self) -> Bits:
        bits: Bits = np.unpackbits(self.bitmap, count=self.total, bitorder="little")
        return bits


class Selector:
    """Evaluates filters in SQLite, one comparison at a time, and joins the results as bitmaps.

    What it finds is kept for the filters used last. The store makes a new selector after every change.
    """

    def __init__(self, documents: DocumentTable, slots: SlotTable) -> None:
        self._documents = documents
        self._slots = slots
        self._selections: OrderedDict[Filter | None, Selection] = OrderedDict()
        self._bitmaps: OrderedDict[tuple[Comparison, Comparison | None], Bits] = OrderedDict()
        self._lock = threading.Lock()

    def select(self, filter_: FilterLike) -> Selection:
        """The living slots that a filter matches; None: all living ones.

        Raises:
            ValueError: The filter is malformed.
        """
        if callable(filter_) and not isinstance(filter_, Filter):
            return Selection(self._alive() & self._called(filter_), self._slots.count)
        parsed = parse_filter(filter_)
        with self._lock:
            if parsed in self._selections:
                self._selections.move_to_end(parsed)
                return self._selections[parsed]
        alive = self._alive()
        selection = Selection(alive if parsed is None else alive & self._bitmap(parsed), self._slots.count)
        self._remember(self._selections, parsed, selection)
        return selection

    def _bitmap(self, filter_: Filter) -> Bits:
        match filter_:
            case And():
                ranges, others = _ranges(filter_.operands)
                bitmaps = [self._found(*pair) for pair in ranges]
                bitmaps += [self._bitmap(operand) for operand in others]
                return reduce(and_, bitmaps)
            case Or():
                return reduce(or_, map(self._bitmap, filter_.operands))
            case Not():
                return ~self._bitmap(filter_.operand)
            case Comparison():
                return self._comparison(filter_)
            case _:
                raise TypeError(f"unknown kind of filter: {type(filter_).__name__}")

    def _comparison(self, comparison: Comparison) -> Bits:
        key, operator, value = comparison.key, comparison.operator, comparison.value
        if operator in ("ne", "nin"):
            return ~self._bitmap(Comparison(key, "eq" if operator == "ne" else "in", value))
        if isinstance(value, tuple) and None in value:
            values = tuple(member for member in value if member is not None)
            return self._bitmap(Comparison(key, "in", values)) | self._bitmap(Comparison(key, "eq", None))
        bitmap = self._found(comparison)
        return ~bitmap if value is None else bitmap  # the table finds the documents that have a value

    def _found(self, comparison: Comparison, bound: Comparison | None = None) -> Bits:
        with self._lock:
            if (comparison, bound) in self._bitmaps:
                self._bitmaps.move_to_end((comparison, bound))
                return self._bitmaps[comparison, bound]
        bitmap = self._packed(self._slots.slots_of(self._documents.matching(comparison, bound)))
        self._remember(self._bitmaps, (comparison, bound), bitmap)
        return bitmap

    def _called(self, function: Callable[[dict[str, Any]], bool]) -> Bits:
        matching = [key for key, metadata in self._documents.iterate_metadata() if function(metadata)]
        return self._packed(self._slots.slots_of(np.array(matching, dtype=np.int64)))

    def _alive(self) -> Bits:
        bitmap: Bits = np.packbits(self._slots.alive(), bitorder="little")
        return bitmap

    def _packed(self, slots: Slots) -> Bits:
        mask = np.zeros(self._slots.count, np.bool_)
        mask[slots] = True
        bitmap: Bits = np.packbits(mask, bitorder="little")
        return bitmap

    def _remember(self, cache: OrderedDict[Any, Any], key: object, value: object) -> None:
        with self._lock:
            cache[key] = value
            while len(cache) > _CACHED:
                cache.popitem(last=False)


def _ranges(operands: Sequence[Filter]) -> tuple[list[tuple[Comparison, Comparison]], list[Filter]]:
    """Pairs that bound one key from both sides, which SQLite answers as one range, and the other operands."""
    lower = {_ordered_field(operand): operand for operand in operands if _is_order(operand, "gt", "gte")}
    upper = {_ordered_field(operand): operand for operand in operands if _is_order(operand, "lt", "lte")}
    pairs = [(lower[field], upper[field]) for field in lower if field in upper]
    paired = {id(comparison) for pair in pairs for comparison in pair}
    return pairs, [operand for operand in operands if id(operand) not in paired]  # type: ignore[return-value]


def _is_order(operand: Filter, *operators: str) -> bool:
    return isinstance(operand, Comparison) and operand.operator in operators


def _ordered_field(operand: Any) -> tuple[str, str | None]:
    return operand.key, kind_of(operand.value)
