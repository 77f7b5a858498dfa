"""What the tests of the parser share: tools, and events summed up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from llama_bedrock.tools.events import CallDelta, Event, InvalidCall, TextDelta
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.spec import ToolSpec, to_tool_specs


def tool(name: str, required: Sequence[str] = (), /, **properties: Any) -> ToolSpec:
    """A tool whose parameters have these schemas, given by type name or whole."""
    schemas = {key: {"type": value} if isinstance(value, str) else value for key, value in properties.items()}
    return ToolSpec(name, "", {"type": "object", "properties": schemas, "required": list(required)})


TOOLS = (
    tool(
        "get_weather",
        ["city"],
        city="string",
        unit={"type": "string", "enum": ["celsius", "fahrenheit"]},
        days="integer",
    ),
    tool("add", ["a", "b"], a="integer", b="integer"),
    tool(
        "search",
        ["query"],
        query="string",
        filters="object",
        tags={"type": "array", "items": {"type": "string"}},
    ),
    tool("now"),
)


@dataclass(frozen=True)
class Answer:
    """Events of a whole answer, summed up."""

    text: str
    calls: list[tuple[str, dict[str, Any]]]
    invalid: list[tuple[str | None, str]]
    """Name and error of each invalid call."""


def answer(events: Iterable[Event]) -> Answer:
    """Sum up events, and check what must hold of any: ids and names come once and first, indices in order."""
    text: list[str] = []
    args: dict[int, str] = {}
    names: dict[int, str | None] = {}
    ids: dict[int, str] = {}
    invalid: dict[int, tuple[str | None, str]] = {}
    for event in events:
        if isinstance(event, TextDelta):
            assert event.text
            text.append(event.text)
        elif isinstance(event, CallDelta):
            assert event.index not in invalid
            if event.index in names:
                assert event.id is None
                assert event.name is None
            else:
                assert event.index == len(names)
                assert event.id
                assert event.name
                names[event.index], ids[event.index] = event.name, event.id
            args[event.index] = args.get(event.index, "") + event.args
        elif isinstance(event, InvalidCall):
            assert event.error
            assert event.announced == (event.index in names)
            if event.announced:
                assert event.id == ids[event.index]
            else:
                assert event.index == len(names)
            names.setdefault(event.index, event.name)
            ids[event.index] = event.id
            invalid[event.index] = (event.name, event.error)
    assert len(set(ids.values())) == len(names)
    calls = [(str(names[i]), json.loads(text_)) for i, text_ in args.items() if i not in invalid]
    return Answer("".join(text), calls, list(invalid.values()))


def read(
    pieces: str | Iterable[str],
    tools: Sequence[Any] = TOOLS,
    *,
    stop: str | None = "stop",
    prefix: str = "",
    strict: bool = False,
) -> Answer:
    """Parse an answer, given whole or in pieces."""
    parser = ToolCallParser(to_tool_specs(tools), prefix=prefix, strict=strict)
    events: list[Event] = []
    for piece in [pieces] if isinstance(pieces, str) else pieces:
        events += parser.feed(piece)
    return answer([*events, *parser.close(stop)])


def splits(text: str, limit: int = 300) -> Iterable[list[str]]:
    """The text a character at a time, and at each split point if it is short."""
    yield list(text)
    if len(text) <= limit:
        for at in range(1, len(text)):
            yield [text[:at], text[at:]]
