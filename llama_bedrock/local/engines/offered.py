"""What a prompt asks for besides an answer in words: tools that may be called, or JSON of a given form."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from llama_bedrock.choices import Dialect
from llama_bedrock.prompts.parse_back import ParsedTurn
from llama_bedrock.tools.spec import ToolSpec

_ARRAY = re.compile(r"\[\s*\{")
_OBJECT = re.compile(r"\{\s*\"")
_JSON_CALL = re.compile(
    r"\{\s*\"(?:type|name)\"\s*:\s*\"[^\"]*\"\s*,\s*\"(?:name|parameters|arguments)\"\s*:"
)
_ONE_CALL = re.compile(
    r"\b(?:one call at a time|only (?:call )?one (?:function|call|tool)|a single (?:call|function))\b", re.I
)
_MUST_CALL = re.compile(r"\bmust call\b", re.IGNORECASE)
_WANTS_JSON = re.compile(r"\bjson\b", re.IGNORECASE)
_KEYS = re.compile(
    r"(?:\bkeys?\b|\bfields?\b|\bpropert(?:y|ies)\b)[^\"'`“\n]{0,30}"
    r"((?:[\"'`“][\w -]+[\"'`”](?:,? and |, | or )?)+)"
)
_KEYS_FIRST = re.compile(
    r"((?:[\"'`“][\w -]+[\"'`”](?:,? and |, | or )?)+)\s*(?:\bkeys?\b|\bfields?\b|\bpropert(?:y|ies)\b)"
)
_QUOTED = re.compile(r"[\"'`“]([\w -]+)[\"'`”]")
_MAX_TRIES = 64


@dataclass(frozen=True, slots=True)
class Offer:
    """The tools of a prompt.

    Attributes:
        tools: What can be called.
        dialect: How calls are to be written.
        parallel: Several calls at once are allowed.
        must_call: An answer in words is not allowed.
    """

    tools: tuple[ToolSpec, ...]
    dialect: Dialect
    parallel: bool
    must_call: bool


def read_offer(turns: Sequence[ParsedTurn]) -> Offer | None:
    """The tools offered in the system turns, or else in a user turn, as Meta's examples do; None without
    any.
    """
    for roles in (("system",), ("user",)):
        for turn in turns:
            if turn.role not in roles or turn.is_open:
                continue
            for start, value in _json_values(turn.text, _ARRAY):
                tools = _tools(value)
                if tools:
                    instructions = turn.text[:start]
                    return Offer(
                        tools,
                        "json" if _JSON_CALL.search(instructions) else "pythonic",
                        _ONE_CALL.search(instructions) is None,
                        _MUST_CALL.search(instructions) is not None,
                    )
    return None


def read_schema(turns: Sequence[ParsedTurn]) -> dict[str, Any] | None:
    """The JSON schema that the answer is to follow; None where no JSON is asked for.

    A schema in the prompt counts; else the keys that a request for JSON names, as texts.
    """
    asked = [turn for turn in turns if turn.role in ("system", "user")]
    for turn in reversed(asked):
        schemas = [value for _, value in _json_values(turn.text, _OBJECT) if _is_schema(value)]
        if schemas:
            schema: dict[str, Any] = schemas[-1]
            return schema
    last = asked[-1].text if asked else ""
    everything = "\n".join(turn.text for turn in asked if turn.role == "system" or turn is asked[-1])
    if not _WANTS_JSON.search(everything):
        return None
    listed = (
        _KEYS.search(last)
        or _KEYS_FIRST.search(last)
        or _KEYS.search(everything)
        or _KEYS_FIRST.search(everything)
    )
    keys = _QUOTED.findall(listed[1]) if listed else []
    if not keys:
        return None
    return {"type": "object", "properties": {key: {"type": "string"} for key in keys}, "required": keys}


def wants_json(turns: Sequence[ParsedTurn]) -> bool:
    """Whether the newest request asks for JSON in words."""
    last = next((turn.text for turn in reversed(turns) if turn.role == "user"), "")
    return _WANTS_JSON.search(last) is not None


def _json_values(text: str, opening: re.Pattern[str]) -> Iterator[tuple[int, Any]]:
    """The JSON values of a text that begin at a match, with their places; what lies inside one is passed
    over.
    """
    decoder = json.JSONDecoder()
    at = 0
    for _ in range(_MAX_TRIES):
        match = opening.search(text, at)
        if match is None:
            return
        try:
            value, at = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            at = match.start() + 1
        else:
            yield match.start(), value


def _tools(value: Any) -> tuple[ToolSpec, ...]:
    found = []
    for item in value if isinstance(value, list) else []:
        definition = item.get("function", item) if isinstance(item, dict) else {}
        if not isinstance(definition, dict) or not isinstance(definition.get("name"), str):
            return ()
        parameters = definition.get("parameters") or {}
        if not isinstance(parameters, dict):
            return ()
        found.append(ToolSpec(definition["name"], str(definition.get("description") or ""), parameters))
    return tuple(found)


def _is_schema(value: Any) -> bool:
    if not isinstance(value, dict) or ("name" in value and "parameters" in value):
        return False
    if isinstance(value.get("properties"), dict):
        return True
    return (
        "$schema" in value
        or "$defs" in value
        or (value.get("type") in ("object", "array") and "items" in value)
    )
