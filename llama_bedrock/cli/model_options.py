"""Options that several commands share, and how a command takes a whole group of them as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from llama_bedrock.cli.shell_completion import (
    complete_formats,
    complete_models,
    complete_regions,
    complete_threads,
)

if TYPE_CHECKING:
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.grounding import Verifier

Local = Annotated[
    bool | None,
    typer.Option(
        "--local/--bedrock", help="Local engine or Bedrock. Default: Bedrock if credentials are found."
    ),
]
Model = Annotated[
    str | None, typer.Option("--model", "-m", help="Model id or ARN.", autocompletion=complete_models)
]
PromptFormat = Annotated[
    str | None,
    typer.Option(
        "--format",
        help="Prompt format, for an ARN that hides the model.",
        autocompletion=complete_formats,
    ),
]
Region = Annotated[
    str | None, typer.Option("--region", "-r", help="AWS region.", autocompletion=complete_regions)
]
Engine = Annotated[
    str | None,
    typer.Option(
        "--engine",
        help="What answers instead of Bedrock: openai:URL#MODEL, a server of this machine such as Ollama's "
        "openai:http://localhost:11434/v1#llama3.2, or extractive.",
        envvar="LLAMA_BEDROCK_ENGINE",
        show_envvar=True,
    ),
]
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
        "--thread",
        "-t",
        help="Name of the conversation to go on with. Default in a terminal: default.",
        autocompletion=complete_threads,
    ),
]
New = Annotated[bool, typer.Option("--new", help="Forget what was said in the conversation before.")]
Plain = Annotated[
    bool, typer.Option("--plain", help="Show the answer as it is written, without rendering its Markdown.")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", min=1, help="Most tokens of an answer.")]


Passages = Annotated[int, typer.Option("--k", "-k", min=1, max=100, help="Passages to retrieve.")]


@dataclass(frozen=True, kw_only=True)
class AnswerOptions:
    """Who answers, by which embeddings documents are found, and who judges the citations."""

    local: Local = None
    engine: Engine = None
    model: Model = None
    prompt_format: PromptFormat = None
    region: Region = None
    embeddings: Embeddings = "auto"
    verifier: Verify = "words"
    guardrail: Guardrail = None

    def check_verifier(self) -> None:
        """Refuse a --verifier that is none before anything is read or sent.

        Raises:
            ValueError: There is no such verifier, or its guardrail is not named.
        """
        known = ("words", "llama", "guardrail", "none")
        if self.verifier not in known:
            raise ValueError(f"--verifier {self.verifier}: there are {', '.join(known)}")
        if (self.verifier == "guardrail") != (self.guardrail is not None):
            raise ValueError("--verifier guardrail and --guardrail ID belong together: give both or neither")

    @contextmanager
    def open_backend(self, *, in_process: bool = False, **settings: Any) -> Iterator[Backend]:
        """The model that was chosen, with these settings, while the block lasts; says who answers if it is no
        Llama.

        Args:
            in_process: Whether the model is all that the command calls, so that no server is needed.
            settings: Arguments of `ChatLlamaBedrock`.

        Raises:
            ValueError: The model is unknown, or cannot be called from the region.
        """
        from llama_bedrock.cli.backend import ModelChoice, open_backend
        from llama_bedrock.cli.output import note

        choice = ModelChoice(
            self.model,
            self.region,
            self.local,
            self.prompt_format,
            tuple(settings.items()),
            engine=self.engine,
            suggests=True,
            in_process=in_process and self.verifier != "guardrail",
        )
        with open_backend(choice) as backend:
            if backend.note:
                note(backend.note)
            yield backend

    def open_verifier(self, backend: Backend) -> Verifier | None:
        """The verifier that --verifier names; None for words, which every chain has by itself."""
        if self.verifier == "words":
            return None
        from llama_bedrock.grounding import GuardrailVerifier, LlamaJudge, NoVerifier

        if self.verifier == "none":
            return NoVerifier()
        if self.verifier == "llama":
            return LlamaJudge(backend.llm)
        llm = backend.llm
        which, version = self.guardrail or "", ""
        if not which.startswith("arn:"):
            which, _, version = which.partition(":")
        shared = ("region_name", "endpoint_url", "credentials_profile_name", "api_key", "config")
        settings = {field: value for field in shared if (value := getattr(llm, field, None)) is not None}
        return GuardrailVerifier({"id": which, "version": version or "DRAFT"}, **settings)


def takes_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with a parameter ``options`` replaced by those fields of its dataclass that are options."""
    hints = get_type_hints(command, include_extras=True)
    kind = hints.pop("options")
    types = get_type_hints(kind, include_extras=True)
    shared = [field for field in fields(kind) if hasattr(types[field.name], "__metadata__")]

    @wraps(command)
    def called(**given: Any) -> None:
        command(options=kind(**{field.name: given.pop(field.name) for field in shared}), **given)

    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        if parameter.name != "options":
            parameters.append(
                parameter.replace(annotation=hints[parameter.name], kind=parameter.KEYWORD_ONLY)
            )
            continue
        for field in shared:
            parameters.append(
                inspect.Parameter(
                    field.name, parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name]
                )
            )
    called.__annotations__ = {one.name: one.annotation for one in parameters}
    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # typer reads it
    return called
