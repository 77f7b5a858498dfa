"""`llama-bedrock ui`: a page to ask your documents on, where every citation can be checked."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import typer

from llama_bedrock.cli.app_server import ServerPlan, run_server, shown_key
from llama_bedrock.cli.model_options import takes_options


@takes_options
def ui(
    options: ServerPlan,
    no_browser: Annotated[bool, typer.Option("--no-browser", help="Only print the address.")] = False,
    tools: Annotated[
        list[str] | None,
        typer.Option("--tools", "-T", help="module:function or file.py:function; repeatable."),
    ] = None,
    mcp: Annotated[
        list[str] | None, typer.Option("--mcp", help='MCP server: "command args" or a URL; repeatable.')
    ] = None,
    conversations: Annotated[
        str | None,
        typer.Option(
            "--conversations",
            envvar="LLAMA_BEDROCK_CONVERSATIONS",
            help="postgresql://…, for servers that share them. Default: your file of conversations.",
        ),
    ] = None,
) -> None:
    """Open a page to ask your documents on; the same server speaks OpenAI's API (/v1) and MCP (/mcp).

    The index is the one of `ask`, the conversations are those of `chat`. Ctrl-C stops it.
    """
    from llama_bedrock.cli.output import note, write

    def announce(address: str, key: str) -> None:
        write(f"{address}/?key={shown_key(options, key)}\n")
        note(
            f"OpenAI's API: {address}/v1, MCP: {address}/mcp, with this key as bearer token. Ctrl-C stops it."
        )
        if not no_browser:
            _open(f"{address}/?key={key}")

    plan = replace(options, tools=tuple(tools or ()), mcp=tuple(mcp or ()), conversations=conversations)
    run_server(plan, announce)


def _open(address: str) -> None:
    """Open the browser without waiting for it: some run until they are closed."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
