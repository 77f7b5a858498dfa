"""Documents: listed, uploaded, deleted, and shown with the place of a quote."""

from __future__ import annotations

import asyncio
import os
import secrets
from collections import OrderedDict
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.page.request_fields import optional_text, text_field
from llama_bedrock.app.page.source_text import source_parts, window

if TYPE_CHECKING:
    from langchain_core.documents import Document

    from llama_bedrock.app.app_state import AppState
    from llama_bedrock.app.folder_index import FolderIndex

_MOST_LISTED = 2_000
_FILES_KEPT = 8  # read files, so that a walk through citations reads each once
_LONGEST_NAME = 200
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class _Listed:
    """A file of the folders."""

    path: Path
    source: str
    size: int
    modified: float
    is_readable: bool
    bounds: str | None


class DocumentRoutes:
    """Routes under ``/api/documents``.

    Args:
        state: Of the application.
    """

    def __init__(self, state: AppState) -> None:
        self._state = state
        self._read: OrderedDict[tuple[str, int, float], list[Document]] = OrderedDict()
        self._refreshing: set[asyncio.Task[Any]] = set()

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/documents", self._list),
            Route("/api/documents", self._upload, methods=["POST"]),
            Route("/api/documents", self._delete, methods=["DELETE"]),
            Route("/api/documents/text", self._text),
            Route("/api/documents/file", self._file),
        ]

    @property
    def _index(self) -> FolderIndex:
        if self._state.documents is None:
            raise ApiError(
                404,
                "this server was not started on files: `llama-bedrock ui PATH` shows documents",
                code="no_documents",
            )
        return self._state.documents

    async def _list(self, request: Request) -> Response:
        index = self._index
        files = await asyncio.to_thread(_listed, index.paths)
        problems = list(index.status.problems)
        shown = []
        for file in files[:_MOST_LISTED]:
            own = [text for text in problems if text.startswith(f"{file.source}: ")]
            if not file.is_readable and not own:
                continue
            shown.append(
                {
                    "source": file.source,
                    "name": _name_in(file.source, index.paths),
                    "size": file.size,
                    "modified": file.modified,
                    "problems": [text.removeprefix(f"{file.source}: ") for text in own],
                }
            )
            problems = [text for text in problems if text not in own]
        answer = {
            "documents": shown,
            "problems": problems,
            "total": len(files),
            "index": asdict(index.status),
        }
        return JSONResponse(answer)

    async def _upload(self, request: Request) -> Response:
        """Take files of a form; those that cannot be read are refused by name, the others are indexed."""
        index = self._index
        folder = index.uploads
        if folder is None:
            raise ApiError(409, "this server was started on single files: start it on a folder to add some")
        saved, refused = [], []
        async with request.form(max_files=1000, max_fields=10) as form:
            for value in form.getlist("file"):
                if not isinstance(value, UploadFile):
                    continue
                try:
                    saved.append(await asyncio.to_thread(_saved, value, folder))
                except ValueError as error:
                    refused.append({"name": value.filename or "", "reason": str(error)})
        if saved:
            self._refresh()
        elif not refused:
            raise ApiError(400, "no file came: send a form with files as `file`", param="file")
        return JSONResponse({"saved": saved, "refused": refused})

    async def _delete(self, request: Request) -> Response:
        file = await self._known(request)
        await asyncio.to_thread(file.path.unlink, missing_ok=True)
        self._refresh()
        return Response(status_code=204)

    def _refresh(self) -> None:
        task = asyncio.create_task(self._index.refresh())
        self._refreshing.add(task)
        task.add_done_callback(self._refreshing.discard)

    async def _text(self, request: Request) -> Response:
        """The text of a document round a place: ``source``, ``document`` (id) and ``at`` (offset)."""
        file = await self._known(request)
        documents = await self._loaded(file)
        at = request.query_params.get("at", "0")
        if not at.isdigit():
            raise ApiError(400, "at must be a number of characters", param="at")
        wanted = optional_text(request.query_params, "document")
        page = request.query_params.get("page", "")
        parts = source_parts(documents, wanted, int(page) if page.isdigit() else None)
        shown = window(documents, parts, int(at))
        first = documents[0].metadata if documents else {}
        return JSONResponse(
            {
                "source": file.source,
                "name": _name_in(file.source, self._index.paths),
                "size": file.size,
                "format": first.get("format", "text"),
                "language": first.get("language"),
                "title": first.get("title"),
                **shown,
            }
        )

    async def _file(self, request: Request) -> Response:
        """The file itself. Only PDF is shown; anything else could run in a browser, and is downloaded."""
        file = await self._known(request)
        if file.path.suffix.lower() == ".pdf":
            return FileResponse(file.path, media_type="application/pdf")
        return FileResponse(file.path, media_type="application/octet-stream", filename=file.path.name)

    async def _known(self, request: Request) -> _Listed:
        """The file that a request names: one of the folders', as indexing finds them, and no other."""
        source = text_field(request.query_params, "source")
        files = await asyncio.to_thread(_listed, self._index.paths)
        found = next((file for file in files if file.source == source), None)
        if found is None:
            message = f"{source} is not among the documents any more"
            raise ApiError(404, message, code="document_not_found", param="source")
        return found

    async def _loaded(self, file: _Listed) -> list[Document]:
        key = (file.source, file.size, file.modified)
        if key not in self._read:
            self._read[key] = await asyncio.to_thread(_documents_of, file)
            while len(self._read) > _FILES_KEPT:
                self._read.popitem(last=False)
        self._read.move_to_end(key)
        return self._read[key]


def _listed(paths: tuple[Path, ...]) -> list[_Listed]:
    """The files of the folders, those that have a reader first told from the others."""
    from llama_bedrock.retrievers.documents.load import bounds_of, find_files
    from llama_bedrock.retrievers.documents.readers.by_format import has_reader
    from llama_bedrock.retrievers.documents.readers.file_content import ReadSettings

    found = []
    for path in paths:
        settings = ReadSettings(bounds=bounds_of(path))
        with suppress(OSError):
            for source in find_files(path, lambda problem: None):
                file = Path(source)
                with suppress(OSError):
                    status = file.stat()
                    readable = has_reader(file, settings)
                    found.append(
                        _Listed(file, source, status.st_size, status.st_mtime, readable, settings.bounds)
                    )
    return found


def _documents_of(file: _Listed) -> list[Document]:
    from llama_bedrock.retrievers.documents.load import FileProblem, read_reported
    from llama_bedrock.retrievers.documents.readers.file_content import ReadSettings

    problems: list[FileProblem] = []
    settings = ReadSettings(bounds=file.bounds)
    documents = read_reported(file.path, file.source, settings, problems.append)
    if not documents:
        reasons = "; ".join(problem.reason for problem in problems) or "there is no text in it"
        raise ApiError(422, f"{file.path.name}: {reasons}", code="unreadable_document")
    return documents


def _name_in(source: str, paths: tuple[Path, ...]) -> str:
    """The name of a file for people: its path inside the folder that was given."""
    for path in paths:
        with suppress(ValueError):
            inside = Path(source).relative_to(path)
            return path.name if inside == Path() else inside.as_posix()
    return source


def _saved(upload: UploadFile, folder: Path) -> str:
    """Write an upload into the folder, in one step; returns its name there.

    Raises:
        ValueError: It cannot be read, or its name is none.
    """
    from llama_bedrock.retrievers.documents.readers.by_format import has_reader, unreadable_reason
    from llama_bedrock.retrievers.documents.readers.file_content import ReadSettings

    name = _checked_name(upload.filename or "")
    part = folder / f".{secrets.token_hex(8)}{Path(name).suffix}"
    try:
        with part.open("xb") as file:
            size = 0
            while block := upload.file.read(_BLOCK):
                size += len(block)
                file.write(block)
        if not size:
            raise ValueError("the file is empty")
        if not has_reader(part, ReadSettings()):
            raise ValueError(unreadable_reason(part) or "this kind of file holds no text")
        target = _free_name(folder, name)
        os.replace(part, target)
    except OSError as error:
        raise ValueError(f"it cannot be saved: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return target.name


def _checked_name(given: str) -> str:
    name = given.replace("\\", "/").rpartition("/")[2].strip()
    if not name or name.startswith(".") or not name.isprintable() or len(name.encode()) > _LONGEST_NAME:
        raise ValueError("its name is empty, hidden, too long or has characters that are not for names")
    return name


def _free_name(folder: Path, name: str) -> Path:
    """A name that no file has: what is there is never overwritten."""
    path, number = folder / name, 2
    while path.exists():
        path = folder / f"{Path(name).stem} ({number}){Path(name).suffix}"
        number += 1
    return path
