"""`llama-bedrock doctor`: what works on this machine, what does not, and what to do about it."""

from __future__ import annotations

from typing import Annotated

import typer

from llama_bedrock.cli.model_options import PromptFormat
from llama_bedrock.cli.shell_completion import complete_models, complete_regions


def doctor(
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Model id or ARN to check.", autocompletion=complete_models),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="AWS region to check.", autocompletion=complete_regions),
    ] = None,
    prompt_format: PromptFormat = None,
    call: Annotated[
        bool, typer.Option("--call/--no-call", help="Call the model once, for one token.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check extras, credentials, clock, region, the way to the model, access, quotas and one tiny call.

    Ends with 1 if something is broken. No credentials are no fault: the local engine needs none.
    """
    from llama_bedrock.cli.checks import run_checks
    from llama_bedrock.cli.output import print_json, say

    results = run_checks(model, region, prompt_format, call=call)
    if as_json:
        print_json([result.to_dict() for result in results])
    else:
        for result in results:
            say(result.head(), " ".join(result.found.split()))
    if any(result.state == "broken" for result in results):
        raise typer.Exit(1)
