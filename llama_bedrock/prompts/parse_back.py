"""The inverse of `render`: a prompt read back into its turns, as a model would see them.

The local engines answer from it. It is lenient about white space between control tokens, because other
clients send prompts too, and takes a turn's text from header to end token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from llama_bedrock.catalog import PromptFormat

ParsedRole = Literal["system", "user", "assistant", "tool", "text"]


@dataclass(frozen=True, slots=True)
class ParsedTurn:
    """A turn of a prompt.

    Attributes:
        role: Who speaks; ``"text"`` for a prompt without turns, as base models get.
        text: Without control tokens and guardrail tags.
        images: How many images it holds.
        is_open: It has no end: the model is to continue it.
    """

    role: ParsedRole
    text: str
    images: int = 0
    is_open: bool = False


_HEADER3 = re.compile(r"<\|start_header_id\|>\s*([a-z]+)\s*<\|end_header_id\|>")
_HEADER4 = re.compile(r"<\|header_start\|>\s*([a-z]+)\s*<\|header_end\|>")
_END3 = re.compile(r"<\|(?:eot_id|eom_id|end_of_text)\|>")
_END4 = re.compile(r"<\|(?:eot|eom|end_of_text)\|>")
_NOT_TEXT = re.compile(
    r"<\|(?:python_tag|python_start|python_end|begin_of_text|image_start|image_end|patch)\|>"
)
_GUARD = re.compile(r"</?amazon-bedrock-guardrails-guardContent_[A-Za-z0-9]{1,20}>")
_INST = re.compile(r"\[INST\](.*?)\[/INST\](.*?)(?=<s>|\[INST\]|\Z)", re.DOTALL)
_SYS = re.compile(r"\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>(?:\n\n)?(.*)\Z", re.DOTALL)
_ROLES: dict[str, ParsedRole] = {
    "system": "system",
    "user": "user",
    "assistant": "assistant",
    "ipython": "tool",
    "tool": "tool",
}


def parse_prompt(text: str, prompt_format: PromptFormat | None = None) -> list[ParsedTurn]:
    """Read a prompt back into turns.

    Args:
        text: The prompt.
        prompt_format: Its generation; None finds it out by its first header.

    Returns:
        The turns; the last one is open where the model is to write on. A prompt without turns gives a single
        open one with the role ``"text"``.
    """
    if prompt_format == "llama2" or (prompt_format is None and "[INST]" in text and not _has_headers(text)):
        return _parse_llama2(text) or [_turn("text", text, is_open=True)]
    is_llama4 = prompt_format == "llama4" or (prompt_format is None and _begins_as_llama4(text))
    header, end = (_HEADER4, _END4) if is_llama4 else (_HEADER3, _END3)
    opened = list(header.finditer(text))
    if not opened:
        return [_turn("text", text, is_open=True)]
    turns = []
    for match, following in zip(opened, [*opened[1:], None], strict=True):
        start = match.end()
        stop = following.start() if following else len(text)
        ended = end.search(text, start, stop)
        body = text[start : ended.start() if ended else stop]
        role = _ROLES.get(match[1], "user")
        turns.append(_turn(role, _after_header(body), is_open=ended is None and following is None))
    return turns


def _begins_as_llama4(text: str) -> bool:
    """True if the first header is Llama 4's; text in a later turn may quote that of another generation."""
    first3, first4 = _HEADER3.search(text), _HEADER4.search(text)
    return first4 is not None and (first3 is None or first4.start() < first3.start())


def _has_headers(text: str) -> bool:
    return _HEADER3.search(text) is not None or _HEADER4.search(text) is not None


def _after_header(body: str) -> str:
    """Without the two newlines after the header; other clients write one, or none."""
    if body.startswith("\n\n"):
        return body[2:]
    return body[1:] if body.startswith("\n") else body


def _parse_llama2(text: str) -> list[ParsedTurn]:
    turns: list[ParsedTurn] = []
    for match in _INST.finditer(text):
        user, answer = match[1], match[2]
        system = _SYS.match(user)
        if system:
            turns.append(_turn("system", system[1]))
            user = system[2]
        turns.append(_turn("user", user.strip()))
        ended = "</s>" in answer
        is_open = not ended and match.end() == len(text)
        answer = answer.partition("</s>")[0]
        turns.append(_turn("assistant", answer.lstrip() if is_open else answer.strip(), is_open=is_open))
    return turns


def _turn(role: ParsedRole, text: str, *, is_open: bool = False) -> ParsedTurn:
    images = text.count("<|image|>")
    plain = _GUARD.sub("", _NOT_TEXT.sub("", text.replace("<|image|>", "")))
    return ParsedTurn(role, plain.removeprefix("<s>") if role == "text" else plain, images, is_open)
