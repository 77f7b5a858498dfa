"""What writes the text of the local endpoint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llama_bedrock.local.engines.interface import Engine


def load_engine(name: str) -> Engine:
    """Make an engine from its name.

    Args:
        name: ``"extractive"``; or ``"openai:URL"`` with the address of an OpenAI-compatible server, such as
            ``"openai:http://localhost:11434/v1"``, and if its model is not to be the requested one,
            ``"openai:URL#model"``.

    Raises:
        ValueError: There is no such engine.
    """
    kind, _, argument = name.partition(":")
    if kind == "extractive" and not argument:
        from llama_bedrock.local.engines.extractive import ExtractiveEngine

        return ExtractiveEngine()
    if kind == "openai" and argument:
        from llama_bedrock.local.engines.openai_compatible import OpenAIEngine

        url, _, model = argument.partition("#")
        return OpenAIEngine(url, model=model or None)
    raise ValueError(
        f"no engine is named {name!r}; there are 'extractive' and 'openai:http://host:port/v1', "
        "with '#model' at the end to choose its model"
    )
