"""`llama-bedrock mcp`: an MCP server over documents, for Claude Code, Cursor, Amazon Q and other clients."""

from __future__ import annotations

from llama_bedrock.cli.app_server import Paths, folder_index
from llama_bedrock.cli.model_options import AnswerOptions, MaxTokens, Passages, takes_options


@takes_options
def mcp(options: AnswerOptions, paths: Paths = None, k: Passages = 6, max_tokens: MaxTokens = 1024) -> None:
    """Serve documents over MCP, on stdin and stdout: search_documents, ask_documents, the texts themselves.

    Clients start it. Over HTTP the same server is at /mcp of `ui` and `api`.
    """
    import asyncio

    from llama_bedrock._extras import require

    if not paths:
        raise ValueError("mcp wants a PATH: the file or folder with the documents")
    require("mcp", "ui")
    options.check_verifier()
    with options.open_backend(max_tokens=max_tokens) as backend:

        async def run() -> None:
            from llama_bedrock.app import AppState, ModelDirectory
            from llama_bedrock.app.mcp_server import create_mcp_server

            documents = folder_index(
                paths, backend, k=k, embeddings=options.embeddings, region=options.region
            )
            state = AppState(
                models=ModelDirectory(backend.llm),
                retriever=documents.retriever,
                documents=documents,
                verifier=options.open_verifier(backend),
            )
            indexing = asyncio.create_task(documents.refresh())  # a client may ask later
            try:
                await create_mcp_server(state).run_stdio_async()
            finally:
                indexing.cancel()

        asyncio.run(run())
