"""`llama-bedrock api`: OpenAI's API and MCP for Llama on Bedrock, without the page."""

from __future__ import annotations

from dataclasses import replace

from llama_bedrock.cli.app_server import ServerPlan, log_requests, run_server, shown_key
from llama_bedrock.cli.model_options import takes_options


@takes_options
def api(options: ServerPlan) -> None:
    """Serve OpenAI's API (/v1) and MCP (/mcp) for Llama on Bedrock; with PATH, also the model `documents`.

    Prints the two variables that OpenAI's clients read. The log, one JSON object a request, goes to stderr.
    """
    from llama_bedrock.cli.output import write

    def announce(address: str, key: str) -> None:
        log_requests()
        write(f"export OPENAI_BASE_URL={address}/v1 OPENAI_API_KEY={shown_key(options, key)}\n")

    run_server(replace(options, page=False), announce)
