"""Conversation to OpenAI chat messages, for imported models whose own chat template is to write the prompt.

Source of the form: Bedrock user guide, "Invoke your imported model" (OpenAIChatCompletion; images as base64).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from llama_bedrock.choices import SpecialTokens
from llama_bedrock.prompts.conversation import Conversation, Turn
from llama_bedrock.prompts.images import fit
from llama_bedrock.prompts.render import with_instructions
from llama_bedrock.prompts.special_tokens import neutralise

if TYPE_CHECKING:
    from llama_bedrock.catalog import PromptFormat


def to_chat_messages(
    conversation: Conversation,
    prompt_format: PromptFormat,
    *,
    special_tokens: SpecialTokens = "escape",
    tool_instructions: str | None = None,
) -> list[dict[str, Any]]:
    """Write a conversation as chat messages.

    Results of tools become user messages: a template need not know a tool role, and the calls they answer are
    text here.

    Args:
        conversation: At least one turn.
        prompt_format: The generation, whose control tokens are made harmless.
        special_tokens: What to do with control tokens in text; see `special_tokens.neutralise`.
        tool_instructions: Functions and how to call them, for the system message.

    Raises:
        ValueError: The conversation is empty, or holds control tokens that are forbidden.
    """
    if not conversation.turns:
        raise ValueError("the conversation has no turns; pass at least one message")
    turns = with_instructions(conversation, tool_instructions).turns
    return [_message(turn, prompt_format, special_tokens) for turn in turns]


def _message(turn: Turn, prompt_format: PromptFormat, policy: SpecialTokens) -> dict[str, Any]:
    text = neutralise(turn.text, prompt_format, policy, f"the text of a {turn.role} turn")
    role = "user" if turn.role == "tool" else turn.role
    if not turn.images:
        return {"role": role, "content": text}
    images = [fit(image) for image in turn.images]
    urls = [{"url": f"data:{image.mime_type};base64,{image.data}"} for image in images]
    blocks: list[dict[str, Any]] = [{"type": "image_url", "image_url": url} for url in urls]
    return {"role": role, "content": [*blocks, {"type": "text", "text": text}]}
