"""`llama-bedrock prompt`: exactly what a model would be sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.shell_completion import complete_formats, complete_models

if TYPE_CHECKING:
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.catalog import PromptFormat

DEFAULT_MODEL = "meta.llama3-3-70b-instruct-v1:0"


def prompt(
    user: Annotated[
        str | None, typer.Argument(help="The user's message; - or nothing reads it from stdin.")
    ] = None,
    system: Annotated[str | None, typer.Option("--system", "-s", help="System message.")] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help=f"Model id or ARN. Default: {DEFAULT_MODEL}.",
            autocompletion=complete_models,
        ),
    ] = None,
    prompt_format: Annotated[
        str | None,
        typer.Option(
            "--format",
            "-f",
            help="Prompt format instead of a model: llama2, llama3, … llama4.",
            autocompletion=complete_formats,
        ),
    ] = None,
    tools: Annotated[
        Path | None,
        typer.Option("--tools", "-t", help="JSON file with a list of tools, in any provider's form."),
    ] = None,
    tool_choice: Annotated[
        str | None, typer.Option("--tool-choice", help="auto, none, any, or the name of a tool.")
    ] = None,
    special_tokens: Annotated[
        str, typer.Option("--special-tokens", help="Control tokens in your text: escape, error or allow.")
    ] = "escape",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, with a token estimate.")] = False,
) -> None:
    """Show the prompt that a message becomes, control tokens highlighted.

    In a pipe the bytes are exactly those that would be sent, with nothing added.
    """
    from llama_bedrock.cli.output import print_json

    text = _read_user(user)
    llm = _chat_model(model, prompt_format, special_tokens)
    resolved = llm.resolve()
    messages = ([("system", system)] if system else []) + [("human", text)]
    rendered = llm.render_prompt(messages, tools=_read_tools(tools), tool_choice=tool_choice)
    if as_json:
        print_json(
            {
                "model": None if prompt_format and not model else llm.model,
                "prompt_format": resolved.prompt_format,
                "prompt": rendered.text,
                "images": len(rendered.images),
                "estimated_tokens": llm.get_num_tokens(rendered.text),
            }
        )
        return
    _show(rendered.text, resolved.prompt_format)


def _read_user(user: str | None) -> str:
    from llama_bedrock.cli.session.input_lines import argument_or_stdin

    user = argument_or_stdin(user, "message")
    if not user.strip():
        raise ValueError("the message is empty")
    return user


def _chat_model(model: str | None, prompt_format: str | None, special_tokens: str) -> ChatLlamaBedrock:
    """A chat model that is never called: it renders."""
    from llama_bedrock.catalog import CATALOG, PROMPT_FORMATS

    if special_tokens not in ("escape", "error", "allow"):
        raise ValueError(f"--special-tokens is escape, error or allow, not {special_tokens!r}")
    if prompt_format is not None and prompt_format not in PROMPT_FORMATS:
        raise ValueError(f"unknown --format {prompt_format!r}; known: {', '.join(PROMPT_FORMATS)}")
    settings: dict[str, Any] = {"special_tokens": special_tokens, "region_name": None}
    if model is not None:
        return _quietly(model=model, prompt_format=prompt_format, **settings)
    if prompt_format is None:
        return _quietly(model=DEFAULT_MODEL, **settings)
    of_format = [i.model_id for i in CATALOG.values() if i.generation == prompt_format and not i.is_base]
    return _quietly(model=of_format[-1], **settings)


def _quietly(**settings: Any) -> ChatLlamaBedrock:
    """Make the model without its lifecycle warning: nothing is called."""
    import warnings

    from llama_bedrock import ChatLlamaBedrock, LlamaLifecycleWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LlamaLifecycleWarning)
        return ChatLlamaBedrock(**settings)


def _read_tools(path: Path | None) -> list[Any] | None:
    """Tool definitions from a JSON file: a list, one object, or an object that holds the list as `tools`."""
    import json

    if path is None:
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    if isinstance(value, dict):
        value = value.get("tools", [value])
    if not isinstance(value, list) or not value:
        raise ValueError(f"{path} holds no list of tools")
    return value


def _show(text: str, prompt_format: PromptFormat) -> None:
    from rich.text import Text

    from llama_bedrock.cli.output import stdout, write
    from llama_bedrock.prompts.special_tokens import find

    console = stdout()
    if not console.is_terminal:
        write(text)
        return
    highlighted = Text(text)
    highlighted.highlight_words(set(find(text, prompt_format)), "bold cyan", case_sensitive=True)
    console.print(highlighted, soft_wrap=True)
