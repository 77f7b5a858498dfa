"""Vectors as they are computed, written at once, so that an interrupted run need not compute them again."""

from __future__ import annotations

import json
import os
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from llama_bedrock.retrievers.arrays import Floats, np
from llama_bedrock.retrievers.store.private_files import ForeignFileError, open_file

_FORMAT = 1
_RECORD = struct.Struct("<12sII")  # digest of the text, dimension, CRC-32 of the vector


class VectorJournal:
    """A file of vectors by the digest of their text, only ever appended to.

    What a killed process left unfinished at the end is dropped when the file is opened; a journal of another
    embedding model is begun anew.

    Args:
        path: The file.
        model: Identity of the embedding model.
        dimension: Length of a vector, where it is known: others are left out.
    """

    def __init__(self, path: Path, model: str, dimension: int | None = None) -> None:
        self.path = path
        self._header = json.dumps({"format": _FORMAT, "model": model}).encode() + b"\n"
        self._dimension = dimension
        self._vectors: dict[str, Floats] = {}
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self._file = self._open()
        end = self._read(self._file.read())
        self._file.truncate(end)
        self._file.seek(end)
        if not end:
            self._file.write(self._header)
        return self

    def _open(self) -> IO[bytes]:
        """The file; a new one where a link or another name of a foreign file stands, which is not written."""
        flags = os.O_RDWR | os.O_CREAT
        with suppress(ForeignFileError):
            file = os.fdopen(open_file(self.path, flags), "r+b")
            if os.fstat(file.fileno()).st_nlink == 1:
                return file
            file.close()
        self.path.unlink()
        return os.fdopen(open_file(self.path, flags | os.O_EXCL), "r+b")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            if self._file.closed:  # by delete()
                return
            is_empty = self._file.tell() <= len(self._header)
            self._file.close()
            if is_empty:  # nothing was computed: leave nothing behind
                self.path.unlink(missing_ok=True)

    @property
    def vectors(self) -> Mapping[str, Floats]:
        """The vectors that were found when it was opened, by digest."""
        return self._vectors

    def add(self, digests: list[str], vectors: Floats) -> None:
        """Append vectors, one per row; they are with the operating system when this returns."""
        assert self._file is not None, "the journal is not open"
        for digest, vector in zip(digests, vectors, strict=True):
            data = vector.astype("<f4").tobytes()
            self._file.write(_RECORD.pack(bytes.fromhex(digest), len(vector), zlib.crc32(data)) + data)
        self._file.flush()

    def delete(self) -> None:
        """Close and delete the file: the vectors are in the store."""
        if self._file is not None:
            self._file.close()
        self.path.unlink(missing_ok=True)

    def _read(self, content: bytes) -> int:
        """Read the vectors; returns where the last whole record ends, 0 if the file is to be begun anew."""
        if not content.startswith(self._header):
            return 0
        end = len(self._header)
        while end + _RECORD.size <= len(content):
            digest, dimension, checksum = _RECORD.unpack_from(content, end)
            start = end + _RECORD.size
            data = content[start : start + 4 * dimension]
            if len(data) < 4 * dimension or zlib.crc32(data) != checksum:
                break
            vector = np.frombuffer(data, dtype="<f4").astype(np.float32)
            if self._dimension in (None, dimension) and np.isfinite(vector).all():
                self._vectors[digest.hex()] = vector
            end = start + 4 * dimension
        return end
