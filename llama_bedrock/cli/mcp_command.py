"""`llama-bedrock mcp`: an MCP server over documents, for Claude Code, Cursor, Amazon Q and other clients."""

from __future__ import annotations

import typer

from llama_bedrock.cli.app_server import Paths
from llama_bedrock.cli.model_options import (
    Embeddings,
    Guardrail,
    Local,
    MaxTokens,
    Model,
    PromptFormat,
    Region,
    Verify,
)


def mcp(
    paths: Paths = None,
    local: Local = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    k: int = typer.Option(6, "--k", "-k", min=1, max=100, help="Passages to retrieve."),
    embeddings: Embeddings = "auto",
    verifier: Verify = "words",
    guardrail: Guardrail = None,
    max_tokens: MaxTokens = 1024,
) -> None:
    """Serve documents over MCP, on stdin and stdout: search_documents, ask_documents, the texts themselves.

    Clients start it. Over HTTP the same server is at /mcp of `ui` and `api`.
    """
    import asyncio

    from llama_bedrock._extras import require
    from llama_bedrock.cli.app_server import folder_index
    from llama_bedrock.cli.backend import ModelChoice, open_backend
    from llama_bedrock.cli.model_options import check_verifier, open_verifier
    from llama_bedrock.cli.output import note

    if not paths:
        raise ValueError("mcp wants a PATH: the file or folder with the documents")
    require("mcp", "ui")
    check_verifier(verifier, guardrail)
    choice = ModelChoice(model, region, local, prompt_format, (("max_tokens", max_tokens),))
    with open_backend(choice) as backend:
        if backend.note:
            note(backend.note)

        async def run() -> None:
            from llama_bedrock.app import AppState, ModelDirectory
            from llama_bedrock.app.mcp_server import create_mcp_server

            documents = folder_index(paths, backend, k=k, embeddings=embeddings, region=region)
            state = AppState(
                models=ModelDirectory(backend.llm),
                retriever=documents.retriever,
                documents=documents,
                verifier=open_verifier(verifier, guardrail, backend),
            )
            indexing = asyncio.create_task(documents.refresh())  # a client may ask later
            try:
                await create_mcp_server(state).run_stdio_async()
            finally:
                indexing.cancel()

        asyncio.run(run())
