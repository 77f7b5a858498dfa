"""What the parser reports, in the order it is certain of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class TextDelta:
    """Words for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A piece of a call.

    Attributes:
        index: Position of the call in the answer, from 0.
        id: Identifier of the call, on its first delta only.
        name: The tool, on its first delta only.
        args: Piece of the JSON text of the arguments; the pieces of one index add up to one JSON object.
    """

    index: int
    id: str | None
    name: str | None
    args: str


@dataclass(frozen=True, slots=True)
class InvalidCall:
    """A call that must not be run: unknown tool, cut off, unreadable, or against the schema.

    Attributes:
        index: Position of the call in the answer; the same as that of its deltas, if it had any.
        id: Identifier of the call.
        name: The tool as the model wrote it, None where that cannot be told.
        raw: What the model wrote, or the arguments as JSON where they could be read.
        error: What is wrong, in words.
        announced: True if deltas of this index came before.
        closer: What completes the JSON text of those deltas, empty where the arguments are not complete.
    """

    index: int
    id: str
    name: str | None
    raw: str
    error: str
    announced: bool = False
    closer: str = ""


Event: TypeAlias = TextDelta | CallDelta | InvalidCall
