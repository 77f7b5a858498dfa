"""`llama-bedrock api`: OpenAI's API and MCP for Llama on Bedrock, without the page."""

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


def api(
    paths: Paths = None,
    local: Local = None,
    model: Model = None,
    prompt_format: PromptFormat = None,
    region: Region = None,
    port: Port = DEFAULT_PORT,
    host: Host = "127.0.0.1",
    allow_host: AllowHost = None,
    key: Key = None,
    alias: Alias = None,
    k: Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages to retrieve.")] = 6,
    embeddings: Embeddings = "auto",
    verifier: Verify = "words",
    guardrail: Guardrail = None,
    max_tokens: MaxTokens = 2048,
) -> None:
    """Serve OpenAI's API (/v1) and MCP (/mcp) for Llama on Bedrock; with PATH, also the model `documents`.

    Prints the two variables that OpenAI's clients read. The log, one JSON object a request, goes to stderr.
    """
    from llama_bedrock.cli.app_server import ServerPlan, log_requests, run_server
    from llama_bedrock.cli.backend import ModelChoice
    from llama_bedrock.cli.output import write

    plan = ServerPlan(
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
        page=False,
    )

    def announce(address: str, key: str) -> None:
        log_requests()
        write(f"export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={key}\n")

    run_server(plan, announce)
