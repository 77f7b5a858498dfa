"""One ASGI application: a page over documents, OpenAI's API, and an MCP server.

app = create_app(llm, retriever=store.as_retriever())    # uvicorn module:app
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

if TYPE_CHECKING:
    from llama_bedrock.app.app_state import AppLimits, AppState
    from llama_bedrock.app.application import create_app
    from llama_bedrock.app.folder_index import FolderIndex
    from llama_bedrock.app.model_directory import ModelDirectory

_HOMES = {
    ".app_state": ["AppLimits", "AppState"],
    ".application": ["create_app"],
    ".folder_index": ["FolderIndex"],
    ".model_directory": ["ModelDirectory"],
}

__all__ = ["AppLimits", "AppState", "FolderIndex", "ModelDirectory", "create_app"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, dict.fromkeys(_HOMES, ("ui", "starlette", "uvicorn")))
