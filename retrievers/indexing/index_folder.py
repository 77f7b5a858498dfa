"""Index a folder into a vector store, and keep the index up to date."""

from __future__ import annotations

import json
import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, TypeAlias

from langchain_core.documents import Document
from langchain_core.vectorstores import VectorStore

from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds
from llama_bedrock.retrievers.documents.load import (
    FileProblem,
    bounds_of,
    check_path,
    check_readers,
    nothing_found,
)
from llama_bedrock.retrievers.documents.readers.by_format import has_reader, unreadable_reason
from llama_bedrock.retrievers.documents.readers.file_bytes import suffix_of
from llama_bedrock.retrievers.documents.readers.file_content import (
    MAX_FILE_BYTES,
    CustomReader,
    ReadSettings,
)
from llama_bedrock.retrievers.documents.split import CHUNK_OVERLAP, CHUNK_SIZE
from llama_bedrock.retrievers.indexing.backends import IndexEngine, LocalEngine, ReadFile, ReadOptions
from llama_bedrock.retrievers.indexing.folder_manifest import (
    Changes,
    Folder,
    FoundFile,
    FoundFiles,
    compare,
    scan,
)
from llama_bedrock.retrievers.indexing.known_files import Chunk, KnownFile, KnownFiles, OwnedTexts
from llama_bedrock.retrievers.indexing.targets import FAISSTarget, ForeignTarget, IndexTarget
from llama_bedrock.retrievers.rare_collections import rare_collections
from llama_bedrock.retrievers.store.faiss_store import FAISSStore

logger = logging.getLogger(__name__)

Stage: TypeAlias = Literal["scan", "read", "embed", "save"]
Progress: TypeAlias = Callable[[Stage, int, int], None]
"""Told the stage, how much of it is done, and of how much (0: not known yet)."""

BATCH_SIZE = 128
REFIT_GROWTH = 0.5


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What a run of `index_folder` did.

    Attributes:
        added: Files that are new.
        changed: Files that were indexed before and have changed, or can be read now and could not before.
        removed: Files that are gone.
        unchanged: Files that are as they were.
        unreadable: Files, and parts of files, that could not be read.
        unread: Of the added, changed and unchanged files, those of which nothing could be read.
        chunks: Chunks of the folder that are in the store now.
        embedded: Texts that were embedded for it.
        duplicates: Chunks left out because another file of the folder has the same text.
        refitted: Whether LSA was fitted again, because the corpus had grown.
        seconds: What it took.
    """

    added: int
    changed: int
    removed: int
    unchanged: int
    unreadable: tuple[FileProblem, ...]
    unread: int
    chunks: int
    embedded: int
    duplicates: int
    refitted: bool
    seconds: float


@refuses_wrong_kinds
def index_folder(
    path: str | os.PathLike[str],
    store: VectorStore,
    *,
    engine: Literal["local", "ray"] = "local",
    on_progress: Progress | None = None,
    on_error: Callable[[FileProblem], None] | None = None,
    encoding: str | None = None,
    max_file_bytes: AtLeastOne = MAX_FILE_BYTES,
    readers: Mapping[str, CustomReader] | None = None,
    follow_links_outside: bool = False,
    chunk_size: int = CHUNK_SIZE,
    chunk_overlap: int = CHUNK_OVERLAP,
    batch_size: AtLeastOne = BATCH_SIZE,
    refit_growth: float = REFIT_GROWTH,
    state: str | os.PathLike[str] | None = None,
    save: bool | str | os.PathLike[str] = True,
) -> IndexReport:
    """Bring the index of a file or folder up to date: only new and changed files are read, split and
    embedded.

    Files are told to be unchanged by size and time of change, else by content. Chunks of files that are gone
    or have changed are deleted. A text that is in the store already, in whatever file, is not embedded again,
    and of chunks with the same text only the first file's is kept. Several folders can be indexed into one
    store.

    A FAISSStore with a folder is saved at the end, in one atomic step, with what is known of the files. An
    interrupted run leaves the folder as it was, and the next one goes on with the vectors that were computed:
    nothing is embedded twice. Embedding runs in batches; throttling is waited out, and calls to Bedrock run
    side by side.

    LSA embeddings are fitted on the first folder. Documents that come later are projected into that space, in
    which words that only they hold do not exist (BM25 finds them by those); when the store has grown by
    ``refit_growth``, LSA is fitted again on all of it and every vector made anew, which costs no calls.

    Args:
        path: File or folder; see `load_documents` for what is read.
        store: A FAISSStore, or any vector store that takes ids. Other stores need ``state``, and embed by
            themselves.
        engine: ``"local"``, or ``"ray"``: reading, splitting and embedding in Ray workers, on this machine or
            the cluster Ray is connected to, whose workers must see the files under the same path.
        on_progress: Told about the progress.
        on_error: Called for each file that cannot be read. Default: a warning in the log.
        encoding: As in `load_documents`.
        max_file_bytes: As in `load_documents`.
        readers: As in `load_documents`. With other readers all files are read again.
        follow_links_outside: As in `load_documents`.
        chunk_size: As in `split_documents`. With another size all files are read again.
        chunk_overlap: As in `split_documents`.
        batch_size: Texts in one call of the embedding model. Default 128.
        refit_growth: Growth, as a share, at which LSA is fitted again. Default 0.5: half as much again.
        state: Folder for the manifest, for stores other than FAISSStore.
        save: Folder to save a FAISSStore in. True (default): where it was opened or saved last, if anywhere;
            False leaves saving to the caller. A new store whose first run may be interrupted needs the folder
            here, and the same one in the next run: ``index_folder("docs", FAISSStore(model), save="index")``.

    Returns:
        What was done.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: It holds nothing that can be read, and was not indexed before; or an option makes no
            sense.
        StoreLockedError: Another process is indexing into the same store.
        StoreChangedError: There is another store in the folder to save in.
        LlamaBedrockError: The embedding service failed for good.
    """
    check_path(path)
    if batch_size < 1 or refit_growth < 0:
        raise ValueError(
            f"batch_size must be positive and refit_growth not negative, got {batch_size}, {refit_growth}"
        )
    if isinstance(store, FAISSStore):
        folder = store.folder if save is True else None if save is False else Path(save)
        target: FAISSTarget | ForeignTarget = FAISSTarget(store, batch_size, refit_growth, folder)
    elif state is None:
        raise ValueError(f"index_folder needs state=…, a folder for its notes, with a {type(store).__name__}")
    else:
        target = ForeignTarget(store, Path(state))
    options = ReadOptions(
        ReadSettings(
            encoding,
            max_file_bytes,
            check_readers(readers),
            None if follow_links_outside else bounds_of(path),
        ),
        chunk_size,
        chunk_overlap,
    )
    worker = _engine(engine)
    try:
        run = _Run(os.fspath(path), target, worker, options, on_progress, on_error, follow_links_outside)
        with rare_collections():
            return run.run()
    finally:
        worker.close()


def _engine(name: str) -> IndexEngine:
    if name == "local":
        return LocalEngine()
    if name == "ray":
        from llama_bedrock.retrievers.indexing.ray_backend import RayEngine

        return RayEngine()
    raise ValueError(f'engine must be "local" or "ray", got {name!r}')


@dataclass
class _Run:
    """One run of `index_folder`."""

    path: str
    target: IndexTarget
    engine: IndexEngine
    options: ReadOptions
    on_progress: Progress | None
    on_error: Callable[[FileProblem], None] | None
    follow_links_outside: bool = False
    problems: list[FileProblem] = field(default_factory=list)
    embedded: int = 0
    is_file: bool = False

    def run(self) -> IndexReport:
        """Look what has changed, and do what follows from it; where nothing does, nothing is written."""
        started = time.perf_counter()
        root = os.path.abspath(self.path)
        self.is_file = os.path.isfile(root)
        before, again, strays = self._before(root)
        found = scan(
            self.path,
            self._report,
            None if self.on_progress is None else lambda done: self._tell("scan", done, 0),
            follow_links_outside=self.follow_links_outside,
        )
        changes = compare(before, found, self._is_ours, again)
        self._report_known(before, changes)
        after, refitted = before, False
        if changes.read or changes.removed or changes.touched or strays or self.target.is_unsaved:
            with self.target.open():
                after, refitted = self._carry_out(root, before, changes, found, strays)
        else:
            self._require_something(before, after, found)
        return self._report_of(before, after, changes, refitted=refitted, started=started)

    def _carry_out(
        self, root: str, before: Folder, changes: Changes, found: FoundFiles, strays: set[str]
    ) -> tuple[Folder, bool]:
        """Make the store hold what was found; returns what is known then, and if LSA was fitted again."""
        after = Folder(before.settings, before.files.copy())
        going = {*changes.removed, *(file.source for file in changes.read)}
        outdated = {source: before.files[source] for source in going if source in before.files}
        for file in changes.touched:
            after.files[file.source] = replace(before.files[file.source], modified_ns=file.remembered_time())
        for source in changes.removed:
            del after.files[source]
        if not self.target.is_atomic:
            self._delete({source: outdated[source] for source in changes.removed}, after)
        self._read(changes.read, outdated, after, root)
        self._require_something(before, after, found)
        return after, self._keep(root, outdated, after, strays)

    def _is_ours(self, file: FoundFile) -> bool:
        if self.is_file or has_reader(file.source, self.options.settings):
            return True
        if reason := unreadable_reason(file.source):
            self._report(FileProblem(file.source, reason))
        return False

    def _report_known(self, before: Folder, changes: Changes) -> None:
        """Name what could not be read of files that are not read again now."""
        again = {file.source for file in changes.read} | set(changes.removed)
        for source, file in before.files.with_notes():
            for reason in () if source in again else file.notes:
                self._report(FileProblem(source, reason))

    def _before(self, root: str) -> tuple[Folder, Collection[str], set[str]]:
        """What is known of the folder, the files to be read again, and ids of its chunks that are in the
        store although nothing is known.
        """
        settings = json.dumps([self.path, *self.options.key()])
        folder = self.target.manifest.folders.get(root)
        if folder is None:
            return Folder(settings), (), self.target.strays(self.path)
        again = folder.files if folder.settings != settings else self.target.lost(folder)
        return Folder(settings, folder.files), again, set()

    def _read(
        self, files: Sequence[FoundFile], outdated: Mapping[str, KnownFile], after: Folder, root: str
    ) -> None:
        """Read files and add their chunks, in groups whose chunks fit into memory."""
        before = Folder(after.settings, KnownFiles(outdated))
        owned = OwnedTexts(after.files, {file.source for file in files})
        group: list[ReadFile] = []
        waiting = 0
        self.target.expect(sum(file.size for file in files))
        for number, result in enumerate(self.engine.read(files, self.options) if files else (), 1):
            for problem in result.problems:
                self._report(problem)
            group.append(result)
            waiting += len(result.chunks)
            self.target.foresee(result.chunks)
            self._tell("read", number, len(files))
            limit = self.target.chunks_at_once
            if limit is not None and waiting >= limit:
                self._add(group, owned, before, after, root)
                group, waiting = [], 0
        self._add(group, owned, before, after, root)

    def _add(
        self, group: Iterable[ReadFile], owned: OwnedTexts, before: Folder, after: Folder, root: str
    ) -> None:
        documents: list[Document] = []
        chunks: list[Chunk] = []
        outdated: dict[str, KnownFile] = {}
        for result in group:
            source = result.found.source
            for document in result.chunks:
                chunk = Chunk.of(document)
                if chunk.content in owned:
                    result.known.duplicates.append(chunk.content)
                    continue
                owned.add(chunk.content)
                result.known.chunks.append(chunk)
                documents.append(document)
                chunks.append(chunk)
            if source in before.files:
                outdated[source] = before.files[source]
            after.files[source] = result.known
        self.embedded += self.target.add(documents, chunks, before, self.engine, self._embedding)
        if not self.target.is_atomic:
            # It cannot be done in one step, so every step is made true by itself.
            self._delete(outdated, after)
            self.target.manifest.folders[root] = after
            self.target.checkpoint()

    def _keep(self, root: str, outdated: Mapping[str, KnownFile], after: Folder, strays: set[str]) -> bool:
        """Delete what is outdated, and save. It comes last, because vectors of outdated chunks are used
        again.
        """
        self._delete(outdated, after)
        if strays:
            self.target.delete(sorted(strays - {chunk.id for chunk in after.chunks()}))
        self.target.manifest.folders[root] = after
        self._tell("save", 0, 1)
        refitted = self.target.finish()
        self._tell("save", 1, 1)
        return refitted

    def _delete(self, outdated: Mapping[str, KnownFile], after: Folder) -> None:
        """Delete the chunks of files as they were; a chunk's id holds its source, so no other file has it."""
        present = (after.files.get(source) for source in outdated)
        kept = {id_ for file in present if file is not None for id_ in file.chunks.ids}
        gone = {id_ for file in outdated.values() for id_ in file.chunks.ids}
        self.target.delete(sorted(gone - kept))

    def _require_something(self, before: Folder, after: Folder, found: FoundFiles) -> None:
        if before.files or after.files.totals()[0]:
            return
        others = (source for source in found.sources if source not in after.files)
        ignored = Counter(suffix_of(source) or os.path.basename(source) for source in others)
        raise ValueError(nothing_found(self.path, self.problems, ignored, len(after.files)))

    def _report_of(
        self, before: Folder, after: Folder, changes: Changes, *, refitted: bool, started: float
    ) -> IndexReport:
        new = changed = 0
        for source in {file.source for file in changes.read}:
            known, file = before.files.get(source), after.files[source]
            if known is None:
                new += 1
            else:
                changed += (file.digest, file.problem) != (known.digest, known.problem)
        chunks, duplicates, unread = after.files.totals()
        return IndexReport(
            added=new,
            changed=changed,
            removed=len(changes.removed),
            unchanged=len(after.files) - new - changed,
            unreadable=tuple(self.problems),
            unread=unread,
            chunks=chunks,
            embedded=self.embedded,
            duplicates=duplicates,
            refitted=refitted,
            seconds=time.perf_counter() - started,
        )

    def _report(self, problem: FileProblem) -> None:
        self.problems.append(problem)
        if self.on_error is not None:
            self.on_error(problem)
        else:
            logger.warning("skipped %s", problem)

    def _tell(self, stage: Stage, done: int, total: int) -> None:
        if self.on_progress is not None:
            self.on_progress(stage, done, total)

    def _embedding(self, done: int, total: int) -> None:
        self._tell("embed", self.embedded + done, self.embedded + total)
