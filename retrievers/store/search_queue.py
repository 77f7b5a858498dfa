"""Concurrent async searches, run as batches in one worker thread."""

from __future__ import annotations

import asyncio
import os
import threading
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from llama_bedrock.retrievers.arrays import Floats, np
from llama_bedrock.retrievers.filters import Filter
from llama_bedrock.retrievers.store.slots import FilterLike

Found = TypeVar("Found")
"""What is found for one query."""


@dataclass(slots=True)
class _Waiting(Generic[Found]):
    query: Floats
    k: int
    filter_: FilterLike
    future: asyncio.Future[Found]

    @property
    def group(self) -> tuple[int, int, object]:
        """Searches that can be one batch; a vector of a wrong length must not fail the others."""
        same = self.filter_ if isinstance(self.filter_, Filter) else id(self.filter_)
        return self.query.shape[1], self.k, same


class SearchQueue(Generic[Found]):
    """Runs searches beside the event loop. What arrives while one runs becomes the next batch.

    A lone search starts at once: there is no waiting for company. Under load the batches grow by themselves,
    and FAISS answers 32 queries together several times faster than one after the other.

    Args:
        search: Searches for several queries (rows) with one k and filter.
    """

    def __init__(self, search: Callable[[Floats, int, FilterLike], Sequence[Found]]) -> None:
        self._search = search
        self._lock = threading.Lock()
        self._waiting: list[_Waiting[Found]] = []
        self._running = False
        self._pid = os.getpid()
        self._executor: ThreadPoolExecutor | None = None

    async def search(self, query: Floats, k: int, filter_: FilterLike) -> Found:
        """The k nearest documents to one query (a row)."""
        future: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        with self._lock:
            if self._pid != os.getpid():  # a forked child has no worker thread
                self._waiting, self._running, self._executor, self._pid = [], False, None, os.getpid()
            self._waiting.append(_Waiting(query, k, filter_, future))
            if not self._running:
                self._running = True
                if self._executor is None:
                    self._executor = ThreadPoolExecutor(1, thread_name_prefix="faiss-search")
                self._executor.submit(self._drain)
        return await future

    def _drain(self) -> None:
        while True:
            with self._lock:
                batch, self._waiting = self._waiting, []
                if not batch:
                    self._running = False
                    return
            groups: defaultdict[Any, list[_Waiting[Found]]] = defaultdict(list)
            for waiting in batch:
                if not waiting.future.cancelled():
                    groups[waiting.group].append(waiting)
            for group in groups.values():
                self._run(group)

    def _run(self, group: list[_Waiting[Found]]) -> None:
        results: Sequence[Found] | Exception
        try:
            queries = np.vstack([waiting.query for waiting in group])
            results = self._search(queries, group[0].k, group[0].filter_)
        except Exception as error:  # noqa: BLE001  # handed to those who wait
            results = error
        by_loop: defaultdict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Found], Any]]]
        by_loop = defaultdict(list)
        for number, waiting in enumerate(group):
            result = results if isinstance(results, Exception) else results[number]
            by_loop[waiting.future.get_loop()].append((waiting.future, result))
        for loop, answers in by_loop.items():
            with suppress(RuntimeError):  # the loop was closed: nobody waits any more
                loop.call_soon_threadsafe(_deliver, answers)


def _deliver(answers: list[tuple[asyncio.Future[Any], Any]]) -> None:
    for future, result in answers:
        if future.done():
            continue
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)
