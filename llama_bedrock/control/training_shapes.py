"""Shapes of public training sets (Alpaca, Dolly, ShareGPT, questions with answers) as lists of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_QUESTIONS = ("prompt", "instruction", "question")
_BESIDE = ("input", "context")  # what the question is about: it follows the question
_ANSWERS = ("completion", "output", "response", "answer")
_TEXTS = frozenset((*_QUESTIONS, *_BESIDE, *_ANSWERS, "system"))
_SPEAKERS = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
}
_TURNS = ("conversations", "conversation")
_EMPTY: tuple[Any, ...] = (None, "", [])


def read_texts(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Make messages of a record that holds a question and an answer by other names; None if it holds none.

    Alpaca has "instruction", "input" and "output", Dolly "instruction", "context" and "response"; "question"
    and "answer", or "prompt" and "response", are the names of many others.

    Raises:
        ValueError: It holds two of a kind, so that one of them would be dropped, or no texts.
    """
    held = {name: value for name, value in record.items() if name in _TEXTS and value not in _EMPTY}
    question, answer = _one(held, _QUESTIONS, "question"), _one(held, _ANSWERS, "answer")
    beside = _one(held, _BESIDE, "text beside the question")
    if question is None or answer is None:
        return None
    if not all(isinstance(value, str) for value in held.values()):
        kinds = ", ".join(
            f"{name!r} is {type(v).__name__}" for name, v in held.items() if not isinstance(v, str)
        )
        raise ValueError(f"texts are needed: {kinds}")
    asked = held[question] if beside is None else f"{held[question]}\n\n{held[beside]}"
    turns = [("system", held.get("system")), ("user", asked), ("assistant", held[answer])]
    rest = {name: value for name, value in record.items() if name not in _TEXTS}
    return {**rest, "messages": [{"role": role, "content": text} for role, text in turns if text is not None]}


def read_turns(record: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Make messages of a record in ShareGPT's shape: turns with "from" and "value"; None if it holds none.

    Raises:
        ValueError: It holds messages too, or a turn is of nobody that Bedrock trains.
    """
    names = [name for name in _TURNS if isinstance(record.get(name), Sequence) and record[name]]
    turns = record[names[0]] if names else []
    if not names or not all(isinstance(turn, Mapping) and {"from", "value"} <= turn.keys() for turn in turns):
        return None
    if "messages" in record or names[1:]:
        raise ValueError(
            f"it holds {', '.join(map(repr, names))} and other turns: one of them would be dropped"
        )
    messages = []
    for turn in turns:
        role = _SPEAKERS.get(turn["from"])
        if role is None:
            raise ValueError(f"Bedrock trains no turns of {turn['from']!r}; there are {', '.join(_SPEAKERS)}")
        rest = {name: value for name, value in turn.items() if name not in ("from", "value")}
        messages.append({**rest, "role": role, "content": turn["value"]})
    rest = {name: value for name, value in record.items() if name not in _TURNS}
    return {**rest, "messages": messages}


def _one(held: Mapping[str, Any], names: Sequence[str], what: str) -> str | None:
    found = [name for name in names if name in held]
    if found[1:]:
        raise ValueError(f"it holds {' and '.join(map(repr, found))}: which one is the {what}?")
    return found[0] if found else None
