"""Options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.grounding import Verifier

Local = Annotated[
    bool | None,
    typer.Option(
        "--local/--bedrock", help="Local engine or Bedrock. Default: Bedrock if credentials are found."
    ),
]
Model = Annotated[str | None, typer.Option("--model", "-m", help="Model id or ARN.")]
PromptFormat = Annotated[
    str | None, typer.Option("--format", help="Prompt format, for an ARN that hides the model.")
]
Region = Annotated[str | None, typer.Option("--region", "-r", help="AWS region.")]
Embeddings = Annotated[
    str, typer.Option("--embeddings", help="auto, lsa (nothing to download) or titan (Bedrock).")
]
FollowLinks = Annotated[
    bool | None,
    typer.Option(
        "--follow-links-outside/--no-links-outside",
        help="Read what links that lead out of the folder lead to; it holds until changed. Default: no.",
    ),
]
Verify = Annotated[
    str,
    typer.Option(
        "--verifier",
        "--verify",
        help="Who judges citations: words, llama (the model itself), guardrail (--guardrail) or none.",
    ),
]
Guardrail = Annotated[
    str | None,
    typer.Option("--guardrail", help="Guardrail with contextual grounding, as ID or ID:VERSION."),
]
Thread = Annotated[
    str | None,
    typer.Option(
        "--thread", "-t", help="Name of the conversation to go on with. Default in a terminal: default."
    ),
]
New = Annotated[bool, typer.Option("--new", help="Forget what was said in the conversation before.")]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Most tokens of an answer.")]


def check_verifier(name: str, guardrail: str | None) -> None:
    """Refuse a --verifier that is none before anything is read or sent.

    Raises:
        ValueError: There is no such verifier, or its guardrail is not named.
    """
    known = ("words", "llama", "guardrail", "none")
    if name not in known:
        raise ValueError(f"--verifier {name}: there are {', '.join(known)}")
    if (name == "guardrail") != (guardrail is not None):
        raise ValueError("--verifier guardrail and --guardrail ID belong together: give both or neither")


def open_verifier(name: str, guardrail: str | None, backend: Backend) -> Verifier | None:
    """The verifier that --verifier names; None for words, which every chain has by itself."""
    if name == "words":
        return None
    from llama_bedrock.grounding import GuardrailVerifier, LlamaJudge, NoVerifier

    if name == "none":
        return NoVerifier()
    if name == "llama":
        return LlamaJudge(backend.llm)
    llm = backend.llm
    which, version = guardrail or "", ""
    if not which.startswith("arn:"):
        which, _, version = which.partition(":")
    shared = ("region_name", "endpoint_url", "credentials_profile_name", "api_key", "config")
    settings = {field: value for field in shared if (value := getattr(llm, field, None)) is not None}
    return GuardrailVerifier({"id": which, "version": version or "DRAFT"}, **settings)
