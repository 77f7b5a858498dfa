"""The generations of Llama: one record for each says all that its prompts and its answers are made of.

The renderer, the escaping of control tokens, the reader of prompts, the end of answers, the markers of the
tool call parser, the setting ``prompt_format`` and the estimate of image tokens read these records, nothing
else knows a generation by name. A new one is a record here and its golden tests. This module imports nothing
of the package but the choices, so that every layer may read it.

Sources: the tokenizers and ``prompt_format.md`` of meta-llama/llama-models (``models/llama3/tokenizer.py``,
which serves Llama 3 to 3.3, and ``models/llama4/tokenizer.py``); for Llama 2 ``llama/generation.py`` of
meta-llama/llama.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator

from llama_bedrock.choices import Dialect

_ROLES = MappingProxyType({"system": "system", "user": "user", "assistant": "assistant", "tool": "ipython"})


@dataclass(frozen=True, eq=False)
class LlamaFormat:
    """A generation of Llama.

    Attributes:
        name: What ``prompt_format`` calls it.
        begin: The token a prompt begins with.
        header: Tokens before and after the role of a turn; None where turns stand in Llama 2's ``[INST]``.
        end_of_turn: The token that ends a turn.
        end_of_message: The token that ends a message after which the turn may go on; None if there is none.
        end_of_text: The token that ends a text.
        padding: Tokens that are written only by a model that ran on.
        call_start: Tokens that say that what follows is meant for a tool.
        call_end: Tokens after it.
        image: Stands for an image.
        reserved: The other control tokens.
        numbered: Regular expression of the prefixes of ``reserved_special_token_N``, which is reserved for
            every N: releases of the tokenizers differ in how many there are. None if there are none.
        roles: What the header calls system, user, assistant and tool.
        knows_tools: Its chat models have learned to call tools.
        dialect: How they are asked to write calls where the caller does not say.
        image_tokens: Tokens of an image, given its width and height in pixels; None if no model reads images.
    """

    name: str
    begin: str
    header: tuple[str, str] | None
    end_of_turn: str
    end_of_text: str
    end_of_message: str | None = None
    padding: tuple[str, ...] = ()
    call_start: tuple[str, ...] = ()
    call_end: tuple[str, ...] = ()
    image: str = "<|image|>"
    reserved: frozenset[str] = frozenset()
    numbered: str | None = ""
    roles: Mapping[str, str] = field(default_factory=lambda: _ROLES)
    knows_tools: bool = True
    dialect: Dialect = "pythonic"
    image_tokens: Callable[[int, int], int] | None = None

    @property
    def reads_images(self) -> bool:
        """True if models of this generation read images."""
        return self.image_tokens is not None

    @cached_property
    def end_tokens(self) -> tuple[str, ...]:
        """The tokens at which generation ends; a host that decodes them leaves them in the answer."""
        ends = (self.end_of_turn, self.end_of_message, self.end_of_text)
        return tuple(dict.fromkeys(token for token in ends if token))

    @cached_property
    def control_tokens(self) -> frozenset[str]:
        """All control tokens that have names."""
        own = {self.begin, *(self.header or ()), *self.end_tokens, *self.padding}
        calls_and_images = {*self.call_start, *self.call_end, self.image} if self.header else set()
        return self.reserved | own | calls_and_images

    @cached_property
    def control_pattern(self) -> re.Pattern[str]:
        """Finds every control token, numbered ones too."""
        found = [re.escape(token) for token in sorted(self.control_tokens)]
        if self.numbered is not None:
            found.append(rf"<\|{self.numbered}reserved_special_token_(?:0|[1-9][0-9]*)\|>")
        return re.compile("|".join(found))

    @cached_property
    def header_pattern(self) -> re.Pattern[str] | None:
        """Finds headers of turns; the group is the role."""
        if self.header is None:
            return None
        return re.compile(rf"{re.escape(self.header[0])}\s*([a-z]+)\s*{re.escape(self.header[1])}")

    def write_header(self, role: str) -> str:
        """Write the header of a role's turn, with the two newlines that follow it."""
        start, end = self.header or ("", "")
        return f"{start}{self.roles[role]}{end}\n\n"


def _named(*names: str) -> frozenset[str]:
    return frozenset(f"<|{name}|>" for name in names)


def _four_tiles(width: int, height: int) -> int:
    """1,601 for each of up to 2 x 2 tiles of 560 px.

    https://docs.aws.amazon.com/bedrock/latest/userguide/model-customization-prepare.html
    """
    return min(2, max(height // 560, 1)) * min(2, max(width // 560, 1)) * 1601


def _sixteen_tiles(width: int, height: int) -> int:
    """144 for each of up to 16 tiles of 336 px and for the overview, plus separators.

    ``chat_format.py`` of meta-llama/llama-models.
    """
    columns, rows = math.ceil(width / 336), math.ceil(height / 336)
    if columns * rows > 16:  # scaled down to at most 16 tiles, in the same proportions
        scale = math.sqrt(16 / (columns * rows))
        columns = min(16, max(1, math.floor(columns * scale)))
        rows = min(16 // columns, max(1, math.floor(rows * scale)))
    tiles = columns * rows
    # Every tile but the last of a row, and every row, ends in a separator.
    overview = 0 if tiles == 1 else 144 + tiles
    return tiles * 144 + overview + 3


_LLAMA2 = LlamaFormat(
    "llama2",
    begin="<s>",
    header=None,
    end_of_turn="</s>",
    end_of_text="</s>",
    reserved=frozenset({"[INST]", "[/INST]", "<<SYS>>", "<</SYS>>"}),
    numbered=None,
    knows_tools=False,
)
_LLAMA3 = LlamaFormat(
    "llama3",
    begin="<|begin_of_text|>",
    header=("<|start_header_id|>", "<|end_header_id|>"),
    end_of_turn="<|eot_id|>",
    end_of_message="<|eom_id|>",
    end_of_text="<|end_of_text|>",
    padding=("<|finetune_right_pad_id|>",),
    call_start=("<|python_tag|>",),
    reserved=_named("step_id"),
)
_LLAMA4 = LlamaFormat(
    "llama4",
    begin="<|begin_of_text|>",
    header=("<|header_start|>", "<|header_end|>"),
    end_of_turn="<|eot|>",
    end_of_message="<|eom|>",
    end_of_text="<|end_of_text|>",
    padding=("<|finetune_right_pad|>",),
    call_start=("<|python_start|>",),
    call_end=("<|python_end|>",),
    reserved=_named(
        *("fim_prefix", "fim_middle", "fim_suffix", "step", "image_start", "image_end", "patch"),
        *("tile_x_separator", "tile_y_separator", "reasoning_thinking_start", "reasoning_thinking_end"),
    ),
    numbered="(?:(?:text_post_train|vision|reasoning)_)?",
    image_tokens=_sixteen_tiles,
)

FORMATS: dict[str, LlamaFormat] = {
    generation.name: generation
    for generation in (
        _LLAMA2,
        _LLAMA3,
        replace(_LLAMA3, name="llama3.1"),
        replace(_LLAMA3, name="llama3.2", image_tokens=_four_tiles),
        replace(_LLAMA3, name="llama3.3"),
        _LLAMA4,
    )
}
"""The generations by name, oldest first."""


def format_of(name: str) -> LlamaFormat:
    """Return the record of a generation.

    Raises:
        ValueError: There is none of this name.
    """
    try:
        return FORMATS[name]
    except KeyError:
        raise ValueError(f"unknown prompt_format {name!r}; known: {', '.join(map(repr, FORMATS))}") from None


def _known(name: str) -> str:
    return format_of(name).name


PromptFormat = Annotated[str, AfterValidator(_known)]
"""The name of a generation; it decides the prompt text. One of `FORMATS`."""
