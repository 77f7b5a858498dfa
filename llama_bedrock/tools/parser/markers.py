"""Control tokens and tags around calls, and the words that make a call an example."""

from __future__ import annotations

import re

CALL_TOKENS = ("<|python_tag|>", "<|python_start|>")
"""What follows is meant for a tool."""

AFTER_TOKENS = ("<|python_end|>",)
"""A call ended here; the token says nothing more."""

MESSAGE_END = ("<|eom_id|>", "<|eom|>")
"""The message ended, the turn may go on with another call."""

HEADER_TOKENS = (
    "<|begin_of_text|>",
    "<|start_header_id|>",
    "<|end_header_id|>",
    "<|header_start|>",
    "<|header_end|>",
)
"""Some models repeat these, or a few of them, before they answer."""

TURN_END = (
    "<|eot_id|>",
    "<|eot|>",
    "<|end_of_text|>",
    "<|finetune_right_pad_id|>",
    "<|finetune_right_pad|>",
    *HEADER_TOKENS,
)
"""The turn ended: what follows was made up by a model that ran on."""

ROLES = tuple(f"{role}<|" for role in ("user", "system", "ipython", "tool"))
"""Headers of other turns than the assistant's."""

OWN_ROLE = ("assistant\n\n", "assistant<|")
"""What a header leaves behind when its tokens are not shown, or leads up to its last one."""

_TAG_NAMES = ("call", "calls", "use", "code", "call_begin")
OPENING_TAGS = (
    *(f"<tool{joint}{name}>" for joint in "_-" for name in _TAG_NAMES),
    *(f"<function{joint}{name}>" for joint in "_-" for name in ("call", "calls")),
    *("<|tool_call|>", "<|tool_calls|>", "<tool>", "<tools>"),
)
"""Tags of other models' formats, which Llamas have learned too."""

CLOSING_TAGS = (
    *(tag.replace("<", "</", 1) for tag in OPENING_TAGS if "|" not in tag),
    *(tag.replace("<|", "<|/", 1) for tag in OPENING_TAGS if "|" in tag),
    "</function>",
    "<function>",
    "<|/function|>",
    "</s>",
)

FUNCTION_TAG = "<function"

LIST_MARKER = "[TOOL_CALLS]"
"""Mistral's token, before a list."""

TOKENS = (*CALL_TOKENS, *AFTER_TOKENS, *MESSAGE_END, *TURN_END)
MARKERS = (*TOKENS, *OPENING_TAGS, *CLOSING_TAGS, FUNCTION_TAG)

CALL_TOKEN = re.compile("|".join(map(re.escape, (*CALL_TOKENS, *AFTER_TOKENS))))
LAST_TOKEN = re.compile("|".join(map(re.escape, (*MESSAGE_END, *TURN_END))))
TOKEN_BEGINNING = re.compile(r"<(?:\|[a-z_]{0,24}(?:\|)?)?\Z")
END_TOKEN = re.compile("|".join(map(re.escape, (*MESSAGE_END, *TURN_END, *AFTER_TOKENS))))

INTERPRETERS = ("code_interpreter", "python", "python_interpreter", "ipython")
"""Tools that get what follows ``<|python_tag|>`` as code."""

CALL_FENCES = frozenset(
    {"", "json", "tool_code", "tool_call", "tool_calls", "tool", "tool_use", "function_call"}
)
"""Languages of fenced code that may hold a call after prose; ``python`` there is an example."""

_HYPOTHETICAL = re.compile(
    r"\b(?:(?:you|one|users?|they|developers?)\s+(?:can|could|may|might|would|should|must|need to)|"
    r"could|might|if you|example|usage|e\.g\.|for instance|such as|schema|syntax|template|documentation|"
    r"instead of|looks? like|like this|how to|(?:will|would|should) not|won't|never)\b",
    re.IGNORECASE,
)
_PAST = re.compile(r"\b(?:was|were|called|returned|responded|previously|earlier)\b", re.IGNORECASE)
_SENTENCE = re.compile(r"[.!?](?=\s)|\n\s*\n")


def is_example(lead: str, *, inline: bool) -> bool:
    """Tell whether the sentence that leads up to a call speaks of it instead of making it.

    Args:
        lead: The words before.
        inline: The call stands within the sentence, where it may also be one that was made before.
    """
    begin = 0
    for match in _SENTENCE.finditer(lead):
        if lead[match.end() :].strip():
            begin = match.end()
    if _HYPOTHETICAL.search(lead, begin):
        return True
    return inline and _PAST.search(lead, begin) is not None
