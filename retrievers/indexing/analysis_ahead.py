"""Texts analysed in a second process while this one still reads files.

Python runs on one core of a process. The child gets texts and gives numbers back: a tenth of their bytes, and
no documents, whose way between processes would cost more than it saves.
"""

from __future__ import annotations

import gc
import marshal
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Self, TypeAlias

from llama_bedrock.retrievers.analysis import AnalysedTexts, Analyser
from llama_bedrock.retrievers.arrays import Integers, Slots, np
from llama_bedrock.retrievers.cores import cores

_PAYS = 3_000_000
"""Characters from which on a second process saves more than its start takes."""
_SURELY_PAYS = 2 * _PAYS
"""Bytes of files in which there probably are as many: most formats have few besides text."""
_LOT = 1_024
_SHARE = 10
"""At most a tenth of the lots are kept from the child in the end: this process writes documents meanwhile."""
_SIZE = 8
"""Bytes of the number that tells how long an answer is."""
_SERVE = "from llama_bedrock.retrievers.indexing.analysis_ahead import serve; serve()"

_Lot: TypeAlias = "tuple[Integers, Slots, list[str]]"
"""The terms of some texts by number, how many each text has, and its language."""
_Answer: TypeAlias = "tuple[list[str], Integers, Slots, list[str]]"
"""The same, after the terms that are new."""


class AnalysisAhead:
    """Takes texts as they are read, and has their terms when all are there.

    A child that cannot be started, or dies, is no failure: what it has not done is done here.
    """

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._waiting: list[str] = []
        self._characters = 0
        self._sent: list[tuple[list[str], Future[_Answer | None]]] = []
        self._thread: ThreadPoolExecutor | None = None
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for _, future in self._sent:
            future.cancel()
        child, thread = self._child, self._thread
        if child is not None and error is not None:
            child.kill()  # it need not finish what nobody will read
        if thread is not None:
            thread.shutdown()
        if child is not None:
            with suppress(OSError), child:  # closes its pipes, at which it ends, and waits for that
                pass
        self._sent, self._child, self._thread = [], None, None

    def expect(self, size: int) -> None:
        """So many bytes of files will be read; the second process starts at once where it surely pays."""
        if size > _SURELY_PAYS and cores() > 1:
            self._start()

    def take(self, texts: Iterable[str]) -> None:
        """Texts that will probably be asked for."""
        if cores() < 2:
            return
        for text in texts:
            known = hash(text)  # that two texts of one folder share it is as good as impossible
            if known not in self._places:
                self._places[known] = len(self._places)
                self._waiting.append(text)
                self._characters += len(text)
        while (self._thread or self._characters > _PAYS) and len(self._waiting) >= _LOT:
            self._send()

    def _send(self) -> None:
        lot, self._waiting = self._waiting[:_LOT], self._waiting[_LOT:]
        self._sent.append((lot, self._start().submit(_asked, self._child, lot)))

    def _start(self) -> ThreadPoolExecutor:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="analysis-ahead")
            self._child = _started()
        return self._thread

    def analysed(self, texts: Sequence[str]) -> Callable[[], AnalysedTexts]:
        """What waits for the terms of texts; where nothing was taken before, they are found now.

        Of what the child has not begun, this process does some now and leaves the rest: it has other work.
        """
        places = [self._places.get(hash(text), -1) for text in texts]
        if self._thread is None or not self._places or min(places, default=-1) < 0:
            found = AnalysedTexts.of(texts)
            return lambda: found
        if self._waiting:
            self._send()
        here = Analyser()
        own = {}
        for number in range(len(self._sent) - 1, -1, -1)[: len(self._sent) // _SHARE]:
            lot, future = self._sent[number]  # the child does them from the first one on
            if not future.cancel():
                break
            own[number] = here.lot(lot)
        return lambda: self._collected(here, own).part(places)

    def _collected(self, here: Analyser, own: Mapping[int, _Lot]) -> AnalysedTexts:
        vocabulary: list[str] = []
        parts = []
        for number, (lot, future) in enumerate(self._sent):
            answer = None if number in own else future.result()
            if answer is not None:
                vocabulary += answer[0]
                parts.append((False, answer[1:]))
            else:  # the child has ended, or was not asked
                parts.append((True, own.get(number) or here.lot(lot)))
        if self._child is not None and self._child.stdin is not None:
            with suppress(OSError):
                self._child.stdin.close()  # at which it ends, and its memory is free
        return _joined(vocabulary, list(here.terms), parts)


def _joined(theirs: Sequence[str], ours: Sequence[str], lots: Sequence[tuple[bool, _Lot]]) -> AnalysedTexts:
    """Lots as one, of which some (True) have the numbers of our terms."""
    numbers = {word: number for number, word in enumerate(theirs)}
    own = np.array([numbers.setdefault(word, len(numbers)) for word in ours], np.int32)
    return AnalysedTexts(
        list(numbers),
        np.concatenate([own[terms] if is_own else terms for is_own, (terms, _, _) in lots]),
        np.concatenate([lengths for _, (_, lengths, _) in lots]),
        [language for _, (_, _, languages) in lots for language in languages],
    )


def _started() -> subprocess.Popen[bytes] | None:
    """The child, with this process's modules and nothing of the folder that it happens to be in."""
    name = os.path.basename(sys.executable or "").lower()
    if getattr(sys, "frozen", False) or not name.startswith(("python", "pypy")):
        return None  # below uWSGI, or in a program of its own, that would start the whole program again
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        return subprocess.Popen(
            [sys.executable, "-P", "-c", _SERVE],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "PYTHONPATH": paths, "OPENBLAS_NUM_THREADS": "1"},
        )
    except OSError:
        return None


def _asked(child: subprocess.Popen[bytes] | None, texts: list[str]) -> _Answer | None:
    """What the child says of texts, which are dropped then; None if it says nothing."""
    if child is None or child.stdin is None or child.stdout is None:
        return None
    try:
        marshal.dump(texts, child.stdin)
        child.stdin.flush()
        size = int.from_bytes(child.stdout.read(_SIZE), "little")
        # Our own child's. From a file, marshal would ask for each word by itself.
        words, terms, lengths, languages = marshal.loads(child.stdout.read(size))
    except (OSError, EOFError, ValueError, TypeError):
        return None
    texts.clear()  # they are not needed any more
    return words, np.frombuffer(terms, np.int32), np.frombuffer(lengths, np.int64), languages


def serve() -> None:
    """The child: answers with the terms that are new, and the texts' terms by number, until nobody asks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted, and ends this
    gc.disable()  # lists of words are in no cycles
    analyser, known = Analyser(), 0
    while True:
        try:
            texts = marshal.load(sys.stdin.buffer)  # our own parent's
        except EOFError:
            os._exit(0)  # it holds nothing but memory, which takes long to be freed piece by piece
        terms, lengths, languages = analyser.lot(texts)
        words, known = list(islice(analyser.terms, known, None)), len(analyser.terms)
        answer = marshal.dumps((words, terms.tobytes(), lengths.tobytes(), languages))
        sys.stdout.buffer.write(len(answer).to_bytes(_SIZE, "little") + answer)
        sys.stdout.buffer.flush()
