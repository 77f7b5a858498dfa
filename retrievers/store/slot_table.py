"""Which document sits in which slot of the vector index, and which slots are dead."""

from __future__ import annotations

from pathlib import Path

from llama_bedrock.retrievers.arrays import Mask, Slots, np


class SlotTable:
    """Document keys by slot, rising; a deleted document's key is negative.

    Keys start at 1 and rise with the slots, so a key is found by binary search, and dropping the dead slots
    renumbers no document.
    """

    def __init__(self, keys: Slots | None = None) -> None:
        self._keys: Slots = np.empty(0, np.int64) if keys is None else keys
        self.count = len(self._keys)
        self.dead = int((self.keys < 0).sum())
        self.next_key = int(abs(self._keys[-1])) + 1 if self.count else 1

    @property
    def keys(self) -> Slots:
        """The keys of all slots."""
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

    def slots_of(self, keys: Slots) -> Slots:
        """The slots of the living documents among these keys; others are left out."""
        if not self.count or not len(keys):
            return np.empty(0, np.int64)
        magnitudes = np.abs(self.keys)
        if magnitudes[-1] - magnitudes[0] + 1 == self.count:
            slots = keys - magnitudes[0]
            slots = slots[(slots >= 0) & (slots < self.count)]
        else:
            slots = np.searchsorted(magnitudes, keys)
            inside = slots < self.count
            slots = slots[inside][magnitudes[slots[inside]] == keys[inside]]
        living: Slots = slots[self.keys[slots] > 0]
        return living

    def compacted(self) -> SlotTable:
        """A table without the dead slots; keys go on where they were."""
        table = SlotTable(self.keys[self.alive()])
        table.next_key = self.next_key
        return table

    def write(self, path: Path) -> None:
        """Write a ``.npy`` file."""
        with path.open("wb") as file:
            np.lib.format.write_array(file, self.keys, allow_pickle=False)

    @classmethod
    def read(cls, path: Path, next_key: int) -> SlotTable:
        """Read what `write` wrote."""
        table = cls(np.load(path, allow_pickle=False))
        table.next_key = max(table.next_key, next_key)
        return table
