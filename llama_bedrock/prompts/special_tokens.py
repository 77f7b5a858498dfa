"""What keeps the control tokens of a Llama generation out of text that is only text.

A prompt is one string, so text that holds ``<|eot_id|>`` ends a turn as well as the renderer does. Meta's own
tokenizer never reads a control token out of message text; this module does the same for a string prompt:
every reserved token of the generation is changed so that it stays readable and no longer is the token.
Nothing else is changed: ``<|>``, ``a <| b`` or a token of another generation stay as they are.
"""

from __future__ import annotations

from typing import get_args

from llama_bedrock.choices import SpecialTokens
from llama_bedrock.prompts.formats import PromptFormat, format_of


def find(text: str, prompt_format: PromptFormat) -> list[str]:
    """The control tokens in a text, in order, with repetitions."""
    return format_of(prompt_format).control_pattern.findall(text)


def escape(text: str, prompt_format: PromptFormat) -> str:
    """Put a space after the first character of every control token: ``<|eot_id|>`` becomes ``< |eot_id|>``.

    The result holds no control token and is its own escape. Call it on text that is complete: two pieces
    without a token can hold one once they are joined.
    """
    return format_of(prompt_format).control_pattern.sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def neutralise(text: str, prompt_format: PromptFormat, policy: SpecialTokens, where: str) -> str:
    """Apply a policy to a complete piece of text.

    Args:
        text: What would stand between two control tokens of the prompt.
        prompt_format: The generation whose tokens count.
        policy: ``"escape"`` changes the tokens, ``"error"`` refuses the text, ``"allow"`` does nothing.
        where: Name of the place, for the error.

    Raises:
        ValueError: The policy is ``"error"`` and the text holds a token, or the policy is unknown.
    """
    if policy == "escape":
        return escape(text, prompt_format)
    if policy == "error":
        found = find(text, prompt_format)
        if found:
            raise ValueError(
                f"{where} holds the control token {found[0]}, which would change the turns of the prompt. "
                "Remove it, or use special_tokens='escape' to send it as harmless text."
            )
        return text
    if policy == "allow":
        return text
    raise ValueError(f"special_tokens must be one of {', '.join(get_args(SpecialTokens))}, not {policy!r}")
