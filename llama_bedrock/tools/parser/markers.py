"""Control tokens and tags around calls, and the words that make a call an example."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache

from llama_bedrock.prompts.formats import FORMATS, LlamaFormat

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


@dataclass(frozen=True, eq=False)
class Markers:
    """The markers of an answer, for a set of generations: a Llama also writes what others have taught it.

    Attributes:
        call_tokens: What follows is meant for a tool.
        after_tokens: A call ended here; the token says nothing more.
        message_end: The message ended, the turn may go on with another call.
        header_tokens: Some models repeat these, or a few of them, before they answer.
        turn_end: The turn ended: what follows was made up by a model that ran on.
        roles: Headers of other turns than the assistant's, without the token before.
        own_role: What a header leaves behind when its tokens are not shown, or leads up to its last one.
    """

    call_tokens: tuple[str, ...]
    after_tokens: tuple[str, ...]
    message_end: tuple[str, ...]
    header_tokens: tuple[str, ...]
    turn_end: tuple[str, ...]
    roles: tuple[str, ...]
    own_role: tuple[str, ...]

    @cached_property
    def all(self) -> frozenset[str]:
        """All tokens and tags."""
        tokens = (*self.call_tokens, *self.after_tokens, *self.message_end, *self.turn_end)
        return frozenset((*tokens, *OPENING_TAGS, *CLOSING_TAGS, FUNCTION_TAG))

    @cached_property
    def beginnings(self) -> frozenset[str]:
        """What a marker may begin with, whole ones included."""
        return frozenset(marker[:end] for marker in self.all for end in range(1, len(marker) + 1))

    @cached_property
    def around_calls(self) -> re.Pattern[str]:
        """Finds tokens that only frame calls."""
        return _any_of(*self.call_tokens, *self.after_tokens)

    @cached_property
    def last(self) -> re.Pattern[str]:
        """Finds what ends a message or a turn."""
        return _any_of(*self.message_end, *self.turn_end)

    @cached_property
    def end(self) -> re.Pattern[str]:
        """Finds what ends a message, a turn or a call."""
        return _any_of(*self.message_end, *self.turn_end, *self.after_tokens)

    def begun(self, text: str) -> int:
        """Return where a marker begins that the text does not hold whole; its length if none does."""
        longest = max(map(len, self.all))
        for start in range(max(0, len(text) - longest + 1), len(text)):
            if text[start:] in self.beginnings:
                return start
        return len(text)


def markers() -> Markers:
    """Return the markers of all generations."""
    return _markers(tuple(FORMATS.values()))


@lru_cache(maxsize=8)
def _markers(generations: tuple[LlamaFormat, ...]) -> Markers:
    chats = [generation for generation in generations if generation.header]
    headers = _distinct((generation.begin, *(generation.header or ())) for generation in chats)
    closers = _distinct((generation.header or ("", ""))[1:] for generation in chats)
    ends = ((chat.end_of_turn, chat.end_of_text, *chat.padding) for chat in chats)
    others = {role for chat in chats for own, role in chat.roles.items() if own != "assistant"} | {"tool"}
    return Markers(
        call_tokens=_distinct(chat.call_start for chat in chats),
        after_tokens=_distinct(chat.call_end for chat in chats),
        message_end=_distinct((chat.end_of_message,) for chat in chats),
        header_tokens=headers,
        turn_end=(*_distinct(ends), *headers),
        roles=tuple(f"{role}{closer}" for role in sorted(others) for closer in closers),
        own_role=("assistant\n\n", *(f"assistant{closer}" for closer in closers)),
    )


def _distinct(groups: Iterable[Iterable[str | None]]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(token for group in groups for token in group if token))


def _any_of(*tokens: str) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, tokens)))


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
