"""`llama-bedrock ui`: a page to ask your documents on, where every citation can be checked."""

from __future__ import annotations

from typing import Annotated

import typer

from llama_bedrock.cli.app_server import DEFAULT_PORT, Alias, AllowHost, Host, Key, Paths, Port
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


def ui(
    paths: Paths = None,
    local: Local = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    port: Port = DEFAULT_PORT,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = None,
    key: Key = None,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    alias: Alias = None,
    tools: Annotated[
        list[str] | None,
        typer.Option("--tools", "-T", help="module:function or file.py:function; repeatable."),
    ] = None,
    mcp: Annotated[
        list[str] | None, typer.Option("--mcp", help='MCP server: "command args" or a URL; repeatable.')
    ] = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages to retrieve.")] = 6,
    embeddings: Embeddings = "auto",
    verifier: Verify = "words",
    guardrail: Guardrail = None,
    max_tokens: MaxTokens = 2048,
) -> None:
    """Open a page to ask your documents on; the same server speaks OpenAI's API (/v1) and MCP (/mcp).

    The index is the one of `ask`, the conversations are those of `chat`. Ctrl-C stops it.
    """
    from llama_bedrock.cli.app_server import ServerPlan, run_server
    from llama_bedrock.cli.backend import ModelChoice
    from llama_bedrock.cli.output import note, write

    def announce(address: str, key: str) -> None:
        write(f"{address}/?key={key}\n")
        note(
            f"OpenAI's API: {address}/v1, MCP: {address}/mcp, with this key as bearer token. Ctrl-C stops it."
        )
        if not no_browser:
            _open(f"{address}/?key={key}")

    run_server(
        ServerPlan(
            paths=tuple(paths or ()),
            choice=ModelChoice(model, region, local, prompt_format, (("max_tokens", max_tokens),)),
            host=host,
            port=port,
            key=key,
            allow_hosts=tuple(allow_host or ()),
            aliases=tuple(alias or ()),
            k=k,
            embeddings=embeddings,
            verifier=verifier,
            guardrail=guardrail,
            tools=tuple(tools or ()),
            mcp=tuple(mcp or ()),
        ),
        announce,
    )


def _open(address: str) -> None:
    """Open the browser without waiting for it: some run until they are closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
