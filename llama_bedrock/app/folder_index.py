"""The index of the folders that the application was started on; it answers while it is brought up to date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from langchain_core.callbacks import AsyncCallbackManagerForRetrieverRun, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.retrievers import BaseRetriever
from pydantic import ConfigDict

from llama_bedrock.argument_kinds import refuses_wrong_kinds

if TYPE_CHECKING:
    from llama_bedrock.retrievers import FAISSStore, HybridRetriever


class IndexedFiles(Protocol):
    """What making an index gives, as the command line's `open_index` does."""

    @property
    def store(self) -> FAISSStore: ...
    @property
    def files(self) -> int: ...
    @property
    def problems(self) -> tuple[str, ...]: ...
    @property
    def seconds(self) -> float: ...


OpenIndexed = Callable[[Callable[[str, int, int], None]], IndexedFiles]
"""Makes the index or brings it up to date; tells the step, how much of it is done, and of how much."""


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """How far an index is.

    Attributes:
        state: ``"new"`` before the first run, ``"indexing"``, ``"ready"``, or ``"failed"``.
        step: What is being done, while indexing, with `done` of `total`.
        files: Files in the index.
        passages: Passages in the index.
        problems: Files that could not be read, each with the reason.
        seconds: What the last run took.
        error: Why the last run failed.
        version: Grows with each change of the status.
    """

    state: Literal["new", "indexing", "ready", "failed"] = "new"
    step: str = ""
    done: int = 0
    total: int = 0
    files: int = 0
    passages: int = 0
    problems: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None
    version: int = 0


@refuses_wrong_kinds
class FolderIndex:
    """The index of files and folders, which answers while it is brought up to date.

    Args:
        paths: Files and folders that are indexed together.
        open_index: Makes the index or brings it up to date; called in a thread, one call at a time.
        k: Passages to retrieve.
    """

    def __init__(self, paths: Sequence[Path], open_index: OpenIndexed, *, k: int = 6) -> None:
        self.paths = tuple(paths)
        self.status = IndexStatus()
        self.store: FAISSStore | None = None
        self.retriever: BaseRetriever = FolderRetriever(folders=self)
        self._open = open_index
        self._k = k
        self._searched: HybridRetriever | None = None
        self._changed = asyncio.Event()
        self._running: asyncio.Task[None] | None = None
        self._next: asyncio.Task[None] | None = None

    @property
    def uploads(self) -> Path | None:
        """The folder that takes uploads: the first of the paths that is one."""
        return next((path for path in self.paths if path.is_dir()), None)

    async def refresh(self) -> IndexStatus:
        """Bring the index up to date.

        One that is called during another run waits for the run after it, which sees all files that were there
        when it was called. What fails is told by the status, not raised.
        """
        if self._running is None or self._running.done():
            self._running = task = asyncio.create_task(self._run())
        else:
            if self._next is None or self._next.done():
                self._next = asyncio.create_task(self._run_after(self._running))
            task = self._next
        await asyncio.shield(task)  # a client that goes does not stop the others' index
        return self.status

    async def changed(self, version: int) -> IndexStatus:
        """Wait until the status is newer than that of a version."""
        while self.status.version == version:
            await self._changed.wait()
        return self.status

    async def searched(self) -> HybridRetriever:
        """The retriever of the newest index; waits for the first one.

        Raises:
            ValueError: It could not be made.
        """
        while self._searched is None:
            if self.status.state == "failed":
                raise ValueError(f"the documents cannot be searched: {self.status.error}")
            if self.status.state == "new":
                await self.refresh()
            else:
                await self.changed(self.status.version)
        return self._searched

    async def _run_after(self, running: asyncio.Task[None]) -> None:
        await asyncio.wait((running,))
        self._running = asyncio.current_task()
        await self._run()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()

        def tell(step: str, done: int, total: int) -> None:
            loop.call_soon_threadsafe(lambda: self._set(state="indexing", step=step, done=done, total=total))

        self._set(state="indexing", step="", done=0, total=0, error=None)
        try:
            index = await asyncio.to_thread(self._open, tell)
        except Exception as error:  # noqa: BLE001 - the page says what it was, and goes on
            self._set(state="failed", error=str(error) or type(error).__name__)
            return
        from llama_bedrock.retrievers import HybridRetriever

        self.store = index.store
        self._searched = HybridRetriever(store=index.store, k=self._k)
        self._set(
            state="ready",
            step="",
            files=index.files,
            passages=len(index.store),
            problems=index.problems,
            seconds=index.seconds,
        )

    def _set(self, **changes: Any) -> None:
        self.status = replace(self.status, version=self.status.version + 1, **changes)
        self._changed.set()
        self._changed = asyncio.Event()


class FolderRetriever(BaseRetriever):
    """Searches the newest index of a `FolderIndex`.

    Args:
        folders: The index.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)

    folders: Any

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        retriever = self.folders._searched
        if retriever is None:
            raise ValueError("the documents are not indexed yet; await FolderIndex.refresh()")
        found: list[Document] = retriever.invoke(query)
        return found

    async def _aget_relevant_documents(
        self, query: str, *, run_manager: AsyncCallbackManagerForRetrieverRun
    ) -> list[Document]:
        retriever: HybridRetriever = await self.folders.searched()
        return await retriever.ainvoke(query)
