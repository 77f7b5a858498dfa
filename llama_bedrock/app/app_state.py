"""What the routes of the application share."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from llama_bedrock.argument_kinds import AtLeastOne, refuses_wrong_kinds

if TYPE_CHECKING:
    from langchain_core.documents import Document
    from langchain_core.embeddings import Embeddings
    from langchain_core.runnables import Runnable
    from langchain_core.tools import BaseTool
    from langgraph.checkpoint.base import BaseCheckpointSaver
    from starlette.requests import HTTPConnection

    from llama_bedrock.agents import RagChain
    from llama_bedrock.agents.mcp import McpSession
    from llama_bedrock.app.folder_index import FolderIndex
    from llama_bedrock.app.model_directory import ModelDirectory
    from llama_bedrock.grounding import Verifier


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class AppLimits:
    """Bounds of what one request may send.

    Attributes:
        max_body_bytes: Of a request; pictures travel in it as base64.
        max_upload_bytes: Of a document that is uploaded.
    """

    max_body_bytes: AtLeastOne = 16 * 1024 * 1024
    max_upload_bytes: AtLeastOne = 64 * 1024 * 1024


@dataclass(slots=True, kw_only=True)
class AppState:
    """What `create_app` was given, for its routes.

    Attributes:
        models: The models that can be asked for, by id or alias.
        retriever: From a question to documents; None where there are none.
        documents: The index of the folders the application was started on; None for another retriever.
        verifier: Judges citations; None for words.
        tools: Tools that an agent of the page may call, those of the MCP servers among them.
        mcp_sessions: Sessions with MCP servers.
        checkpointer: Where conversations are kept; None to keep none.
        embeddings: For ``/v1/embeddings``; None for the store's, else Titan.
        limits: Bounds of requests.
        key: What every request must show; None for open doors.
        allow_hosts: Names besides loopback's by which the server may be called; ``"*"`` for any.
        stopping: Set when the server is told to stop. Answers go on to their end; what would last for ever
            ends.
        at_end: Awaited when the application ends.
    """

    models: ModelDirectory
    retriever: Runnable[str, list[Document]] | None = None
    documents: FolderIndex | None = None
    verifier: Verifier | None = None
    tools: tuple[BaseTool, ...] = ()
    mcp_sessions: tuple[McpSession, ...] = ()
    checkpointer: BaseCheckpointSaver[str] | None = None
    embeddings: Embeddings | None = None
    limits: AppLimits = field(default_factory=AppLimits)
    key: str | None = None
    allow_hosts: frozenset[str] = frozenset()
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    at_end: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    def rag_chain(
        self,
        model_id: str | None = None,
        verifier: Verifier | None = None,
        *,
        instructions: str | None = None,
    ) -> RagChain:
        """The chain from a question to a cited answer about the documents.

        Args:
            model_id: Model id, ARN or alias; None for the default model.
            verifier: Judges the citations; None for the application's.
            instructions: Added to the rules of the chain.

        Raises:
            ApiError: There are no documents, or there is no such model.
        """
        from llama_bedrock.agents import create_rag_chain
        from llama_bedrock.app.http_errors import ApiError

        if self.retriever is None:
            raise ApiError(
                404,
                "there are no documents: start the server on a folder, `llama-bedrock ui PATH`",
                code="no_documents",
            )
        model: Any = self.models.get(model_id)
        if getattr(model, "temperature", 0.0) is None:
            model = model.bind(temperature=0.0)  # answers from documents should not vary
        return create_rag_chain(
            model, self.retriever, verifier=verifier or self.verifier, instructions=instructions
        )


def state_of(connection: HTTPConnection) -> AppState:
    """The state of the application that a request came to."""
    return cast("AppState", connection.app.state.llama)
