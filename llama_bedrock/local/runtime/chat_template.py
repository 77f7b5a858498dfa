"""OpenAI chat messages of an imported model to a Llama prompt, as the model's chat template writes it."""

from __future__ import annotations

from typing import Any

from llama_bedrock.catalog import PromptFormat
from llama_bedrock.local.runtime.frames import invalid


def render_chat(messages: list[Any], prompt_format: PromptFormat) -> tuple[str, tuple[str, ...]]:
    """Render OpenAI messages.

    Args:
        messages: ``[{"role": "user", "content": "…"}, …]``.
        prompt_format: The Llama generation whose template is used.

    Returns:
        The raw prompt and the images it refers to.

    Raises:
        ServiceError: ``ValidationException`` that says which message cannot be rendered.
    """
    from langchain_core.messages import convert_to_messages

    from llama_bedrock.prompts.conversation import build_conversation
    from llama_bedrock.prompts.render import render

    try:
        conversation = build_conversation(convert_to_messages(messages))
        rendered = render(conversation, prompt_format, vision=True)
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise invalid(f"The messages cannot be rendered with the chat template: {error}") from error
    return rendered.text, rendered.images
