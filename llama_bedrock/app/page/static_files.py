"""The built files of the page, from memory, packed for those who take them so."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import mimetypes
import re
from base64 import b64encode
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response

from llama_bedrock.app.http_errors import ApiError
from llama_bedrock.app.perimeter import POLICY

FOLDER = Path(__file__).parent.parent / "static"
"""What `ui/build.mjs` builds of the sources in `ui/`."""

_TYPES = {".js": "text/javascript", ".wasm": "application/wasm"}  # what a system says of them, some get wrong
_PACKED = (".js", ".html", ".txt")  # all else is packed already
_STYLE = re.compile(rb"<style>(.*?)</style>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _StaticFile:
    plain: bytes
    packed: bytes | None
    type: str
    digest: str


@cache
def _known() -> frozenset[str]:
    return frozenset(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.is_file())


@cache
def _read(name: str) -> _StaticFile:
    plain = (FOLDER / name).read_bytes()
    suffix = Path(name).suffix
    kind = _TYPES.get(suffix) or mimetypes.guess_type(name)[0] or "application/octet-stream"
    packed = gzip.compress(plain, 6, mtime=0) if suffix in _PACKED else None
    return _StaticFile(plain, packed, kind, hashlib.sha256(plain).hexdigest()[:32])


async def static_file(request: Request) -> Response:
    """A file of the page; 304 for who has it.

    Raises:
        ApiError: There is none of that name.
    """
    name = request.path_params["name"]
    if name not in _known():
        raise ApiError(404, f"there is nothing at {request.url.path}", code="not_found")
    return _answer(await asyncio.to_thread(_read, name), request.headers)


async def page(request: Request) -> Response:
    """The page. Its style stands in it, allowed by its hash: one journey fewer before it is painted."""
    file = _read("index.html")
    answer = _answer(file, request.headers)
    hashes = (b64encode(hashlib.sha256(style).digest()).decode() for style in _STYLE.findall(file.plain))
    allowed = " ".join(f"'sha256-{one}'" for one in hashes)
    answer.headers["content-security-policy"] = f"{POLICY}; style-src 'self' {allowed}"
    answer.headers["cache-control"] = "no-store"
    return answer


def _answer(file: _StaticFile, asked: Headers) -> Response:
    takes = re.search(r"\bgzip\b(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", asked.get("accept-encoding", ""))
    body = file.packed if takes and file.packed else file.plain
    headers = {"etag": f'"{file.digest}{"-gz" if body is file.packed else ""}"'}
    if file.packed:
        headers["vary"] = "accept-encoding"
        if body is file.packed:
            headers["content-encoding"] = "gzip"
    if headers["etag"] in asked.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(body, headers={**headers, "content-type": file.type})
