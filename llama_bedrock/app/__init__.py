"""One ASGI application: a page over documents, OpenAI's API, and an MCP server.

app = create_app(llm, retriever=store.as_retriever())    # uvicorn module:app
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from llama_bedrock._extras import require

if TYPE_CHECKING:
    from llama_bedrock.app.app_state import AppLimits, AppState
    from llama_bedrock.app.application import create_app
    from llama_bedrock.app.folder_index import FolderIndex
    from llama_bedrock.app.model_directory import ModelDirectory

_HOMES = {
    "AppLimits": "app_state",
    "AppState": "app_state",
    "FolderIndex": "folder_index",
    "ModelDirectory": "model_directory",
    "create_app": "application",
}

__all__ = ["AppLimits", "AppState", "FolderIndex", "ModelDirectory", "create_app"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    for package in ("starlette", "uvicorn"):
        require(package, "ui")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
