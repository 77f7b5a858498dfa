"""The inverse of `render`: a prompt read back into its turns, as a model would see them.

The local engines answer from it. It is lenient about white space between control tokens, because other
clients send prompts too, and takes a turn's text from header to end token.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, cast

from llama_bedrock.prompts.formats import FORMATS, LlamaFormat, PromptFormat, format_of

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


_GUARD = re.compile(r"</?amazon-bedrock-guardrails-guardContent_[A-Za-z0-9]{1,20}>")
# No turn reaches over the beginning of the next: else one that is not closed would be searched to the end.
_INST = re.compile(r"\[INST\]((?:(?!\[INST\]).)*?)\[/INST\](.*?)(?=<s>|\[INST\]|\Z)", re.DOTALL)
_SYS = re.compile(r"\A\s*<<SYS>>\n?(.*?)\n?<</SYS>>(?:\n\n)?(.*)\Z", re.DOTALL)


def parse_prompt(text: str, prompt_format: PromptFormat | None = None) -> list[ParsedTurn]:
    """Read a prompt back into turns.

    Args:
        text: The prompt.
        prompt_format: Its generation; None finds it out by its first header.

    Returns:
        The turns; the last one is open where the model is to write on. A prompt without turns gives a single
        open one with the role ``"text"``.
    """
    generation = format_of(prompt_format) if prompt_format else _generation(text)
    pattern = generation.header_pattern
    if pattern is None:
        return _parse_llama2(text, generation) or [_turn("text", text, generation, is_open=True)]
    opened = list(pattern.finditer(text))
    if not opened:
        return [_turn("text", text, generation, is_open=True)]
    end = re.compile("|".join(map(re.escape, generation.end_tokens)))
    roles = {"tool": "tool", **{written: role for role, written in generation.roles.items()}}
    turns = []
    for match, following in zip(opened, [*opened[1:], None], strict=True):
        start = match.end()
        stop = following.start() if following else len(text)
        ended = end.search(text, start, stop)
        body = text[start : ended.start() if ended else stop]
        role = cast("ParsedRole", roles.get(match[1], "user"))
        is_open = ended is None and following is None
        turns.append(_turn(role, _after_header(body), generation, is_open=is_open))
    return turns


def _generation(text: str) -> LlamaFormat:
    """The generation of the first header; text in a later turn may quote that of another one."""
    headers = [
        (found.start(), generation)
        for generation in FORMATS.values()
        if generation.header_pattern and (found := generation.header_pattern.search(text))
    ]
    if headers:
        return min(headers, key=lambda header: header[0])[1]
    begun = [generation for generation in FORMATS.values() if text.lstrip().startswith(generation.begin)]
    inst = [generation for generation in FORMATS.values() if generation.header is None]
    return next(iter(inst if "[INST]" in text else begun), FORMATS["llama3"])


def _after_header(body: str) -> str:
    """Without the two newlines after the header; other clients write one, or none."""
    if body.startswith("\n\n"):
        return body[2:]
    return body[1:] if body.startswith("\n") else body


def _parse_llama2(text: str, generation: LlamaFormat) -> list[ParsedTurn]:
    turns: list[ParsedTurn] = []
    for match in _INST.finditer(text):
        user, answer = match[1], match[2]
        system = _SYS.match(user)
        if system:
            turns.append(_turn("system", system[1], generation))
            user = system[2]
        turns.append(_turn("user", user.strip(), generation))
        ended = "</s>" in answer
        is_open = not ended and match.end() == len(text)
        answer = answer.partition("</s>")[0]
        turns.append(
            _turn("assistant", answer.lstrip() if is_open else answer.strip(), generation, is_open=is_open)
        )
    return turns


def _turn(role: ParsedRole, text: str, generation: LlamaFormat, *, is_open: bool = False) -> ParsedTurn:
    plain = _GUARD.sub("", generation.control_pattern.sub("", text))
    return ParsedTurn(role, plain, text.count(generation.image), is_open)
