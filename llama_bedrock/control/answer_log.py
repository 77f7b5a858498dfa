"""The log of a run over a file of prompts: what is finished, whatever happens to the process.

A line is written by one call to the operating system when its answer is there. A process that is killed may
leave a line that is not whole; the next run cuts it off and asks for that answer again.
"""

from __future__ import annotations

import hashlib
import json
import os
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_bedrock.retrievers.store.locks import FileLock

_PIECE = 1 << 20


class AnswerLog:
    """Answers as they finish, in a file beside the output; a process has it alone.

    Args:
        output: The file that is to hold the answers; the log's name is that with ``.unfinished``.
        run: What the answers depend on: another run's answers are not mixed with them.
        restart: Begin anew, whatever was finished before.

    Raises:
        BlockingIOError: Another process runs on the same output.
        ValueError: The answers finished so far are of another input, model or setting.
    """

    def __init__(self, output: Path, run: dict[str, Any], *, restart: bool = False) -> None:
        self.path = output.with_name(output.name + ".unfinished")
        self._output = output
        self._lock = FileLock(output.with_name(output.name + ".lock"))
        try:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        except OSError:
            self._lock.release()
            raise
        self._size = 0
        # Where the line of each record begins, plus 1; 0 while it has none.
        self._places = array("q")
        try:
            if restart:
                os.ftruncate(self._file, 0)
            self._begin(run)
        except BaseException:
            self.close()
            raise

    def __contains__(self, index: int) -> bool:
        return index < len(self._places) and self._places[index] > 0

    def _begin(self, run: dict[str, Any]) -> None:
        lines = self._lines()
        header = next(lines, None)
        if header is None:
            os.ftruncate(self._file, 0)
            self._size = self._write({"run": run})
            return
        at, known = header
        if known.get("run") != run:
            changed = [name for name in run if run[name] != (known.get("run") or {}).get(name)]
            raise ValueError(
                f"{self.path} holds answers of another run ({', '.join(changed)} changed since); "
                "give what that run had, to go on with it; or another output; or begin anew "
                "(restart=True, --restart)"
            )
        for at, line in lines:
            self._note(line["index"], at)
        os.ftruncate(self._file, self._size)  # a line that was being written when the process died

    def _lines(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield what was written whole, with its place."""
        with open(os.dup(self._file), "rb") as file:
            file.seek(0)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                place, self._size = self._size, self._size + len(line)
                yield place, json.loads(line)

    def finished(self) -> Iterator[dict[str, Any]]:
        """Yield the records that are finished, in the order they were; the last one of each."""
        size = self._size
        self._size = 0
        for place, line in self._lines():
            if "run" not in line and self._places[line["index"]] == place + 1:
                yield line
        self._size = size

    def forget(self, index: int) -> None:
        """Have a record asked for again."""
        self._places[index] = 0

    def add(self, record: dict[str, Any]) -> None:
        """Write a finished record: when this returns, no end of the process can lose it."""
        place = self._size
        self._size += self._write(record)
        self._note(record["index"], place)

    def _write(self, record: dict[str, Any]) -> int:
        try:
            text = json.dumps(record, ensure_ascii=False).encode()
        except UnicodeEncodeError:  # half of a character, as a model that is cut off may write: \\ud83d
            text = json.dumps(record).encode()
        left = line = memoryview(text + b"\n")
        while left:
            left = left[os.write(self._file, left) :]
        return len(line)

    def _note(self, index: int, place: int) -> None:
        if index >= len(self._places):
            self._places.extend([0] * (index + 1 - len(self._places)))
        self._places[index] = place + 1

    def publish(self, *, ordered: bool) -> None:
        """Put the answers in the place of the output, in the order of the input or as they finished."""
        temporary = self._output.with_name(self._output.name + ".writing")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as out, open(os.dup(self._file), "rb", buffering=_PIECE) as log:
            places = (
                [place for place in self._places if place] if ordered else sorted(filter(None, self._places))
            )
            for place in places:
                log.seek(place - 1)
                out.write(log.readline())
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, self._output)
        self.path.unlink()

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._file)
        self._lock.release()


def fingerprint(path: Path) -> str:
    """Tell a file's contents from others': a digest of its size, its ends and the time of its last change."""
    stat = path.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(_PIECE))
        file.seek(max(0, stat.st_size - _PIECE))
        digest.update(file.read(_PIECE))
    return digest.hexdigest()[:32]
