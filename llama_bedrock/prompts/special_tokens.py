"""The control tokens of each Llama generation, and what keeps them out of text that is only text.

A prompt is one string, so text that holds ``<|eot_id|>`` ends a turn as well as the renderer does. Meta's own
tokenizer never reads a control token out of message text; this module does the same for a string prompt:
every reserved token of the generation is changed so that it stays readable and no longer is the token.
Nothing else is changed: ``<|>``, ``a <| b`` or a token of another generation stay as they are.

Sources: the tokenizers of meta-llama/llama-models (``models/llama3/tokenizer.py``, which serves Llama 3 to
3.3, and ``models/llama4/tokenizer.py``) and the tags of meta-llama/llama (``llama/generation.py``) for Llama
2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from llama_bedrock.catalog import PromptFormat

Policy = Literal["escape", "error", "allow"]
"""What to do with control tokens in text: change them, refuse the text, or let them through."""

_LLAMA2 = frozenset({"<s>", "</s>", "[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"})

_LLAMA3 = frozenset(
    f"<|{name}|>"
    for name in (
        "begin_of_text",
        "end_of_text",
        "finetune_right_pad_id",
        "step_id",
        "start_header_id",
        "end_header_id",
        "eom_id",
        "eot_id",
        "python_tag",
        "image",
    )
)

_LLAMA4 = frozenset(
    f"<|{name}|>"
    for name in (
        "begin_of_text",
        "end_of_text",
        "fim_prefix",
        "fim_middle",
        "fim_suffix",
        "header_start",
        "header_end",
        "eom",
        "eot",
        "step",
        "python_start",
        "python_end",
        "finetune_right_pad",
        "image_start",
        "image_end",
        "image",
        "patch",
        "tile_x_separator",
        "tile_y_separator",
        "reasoning_thinking_start",
        "reasoning_thinking_end",
    )
)

CONTROL_TOKENS: Mapping[PromptFormat, frozenset[str]] = MappingProxyType(
    {
        "llama2": _LLAMA2,
        "llama3": _LLAMA3,
        "llama3.1": _LLAMA3,
        "llama3.2": _LLAMA3,
        "llama3.3": _LLAMA3,
        "llama4": _LLAMA4,
    }
)
"""The named control tokens. The numbered ones (``<|reserved_special_token_N|>`` and, in Llama 4, those with
the prefixes ``text_post_train_``, ``vision_`` and ``reasoning_``) are recognised for every N: releases of the
tokenizers differ in how many they reserve."""

_END3 = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")

END_TOKENS: Mapping[PromptFormat, tuple[str, ...]] = MappingProxyType(
    {
        "llama2": ("</s>",),
        "llama3": _END3,
        "llama3.1": _END3,
        "llama3.2": _END3,
        "llama3.3": _END3,
        "llama4": ("<|eot|>", "<|eom|>", "<|end_of_text|>"),
    }
)
"""The tokens at which generation ends. A host that decodes them leaves them at the end of an answer."""

_NUMBERED3 = r"<\|reserved_special_token_(?:0|[1-9][0-9]*)\|>"
_NUMBERED4 = r"<\|(?:(?:text_post_train|vision|reasoning)_)?reserved_special_token_(?:0|[1-9][0-9]*)\|>"


def _pattern(tokens: frozenset[str], numbered: str | None) -> re.Pattern[str]:
    alternatives = [re.escape(token) for token in sorted(tokens)] + ([numbered] if numbered else [])
    return re.compile("|".join(alternatives))


_PATTERN3 = _pattern(_LLAMA3, _NUMBERED3)
_PATTERNS: Mapping[str, re.Pattern[str]] = {
    "llama2": _pattern(_LLAMA2, None),
    "llama3": _PATTERN3,
    "llama3.1": _PATTERN3,
    "llama3.2": _PATTERN3,
    "llama3.3": _PATTERN3,
    "llama4": _pattern(_LLAMA4, _NUMBERED4),
}


def find(text: str, prompt_format: PromptFormat) -> list[str]:
    """The control tokens in a text, in order, with repetitions."""
    return _pattern_of(prompt_format).findall(text)


def escape(text: str, prompt_format: PromptFormat) -> str:
    """Put a space after the first character of every control token: ``<|eot_id|>`` becomes ``< |eot_id|>``.

    The result holds no control token and is its own escape. Call it on text that is complete: two pieces
    without a token can hold one once they are joined.
    """
    return _pattern_of(prompt_format).sub(lambda match: f"{match[0][0]} {match[0][1:]}", text)


def neutralise(text: str, prompt_format: PromptFormat, policy: Policy, where: str) -> str:
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
    raise ValueError(f"special_tokens must be one of {', '.join(get_args(Policy))}, not {policy!r}")


def _pattern_of(prompt_format: str) -> re.Pattern[str]:
    try:
        return _PATTERNS[prompt_format]
    except KeyError:
        known = ", ".join(_PATTERNS)
        raise ValueError(f"unknown prompt_format {prompt_format!r}; known: {known}") from None
