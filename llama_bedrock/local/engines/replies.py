"""Answers in words: from passages, from what tools returned, from the conversation, or about the engine
itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from llama_bedrock.local.engines.calling import Call
from llama_bedrock.local.engines.lexicon import STOP_WORDS, terms, words
from llama_bedrock.local.engines.mentions import find_mentions
from llama_bedrock.local.engines.reader import Statement, answer
from llama_bedrock.prompts.passages import NO_ANSWER, Passage, parse_passages
from llama_bedrock.tools.rendering import render_calls

WHO_I_AM = (
    "I am the local extractive engine, not a Llama: I answer questions with the sentences of the passages in "
    "the prompt, call the tools whose words fit a request, and fill in JSON schemas. I know nothing else."
)
_LONG_RESULT = 400
_MOST_VALUES = 12
_REFERS_BACK = re.compile(
    r"\b(?:it|its|they|them|their|this|that|these|those|he|him|his|she|her|hers|there|one|ones)\b",
    re.IGNORECASE,
)
_VERSION = re.compile(r"\s\d[\w.]*\w|\s\d")
_ELLIPSIS = re.compile(
    r"^\W*(?:and\s+)?(?:what about|how about|what of|and)\s+(?P<rest>.+?)\W*\Z", re.IGNORECASE | re.DOTALL
)


def from_passages(question: str, passages: Sequence[Passage]) -> str:
    """An answer with citation marks; NO_ANSWER where the passages hold none."""
    return _marked(answer(question, passages)) or NO_ANSWER


def from_results(question: str, calls: Sequence[Call], results: Sequence[str]) -> str:
    """An answer out of what tools returned.

    Args:
        question: What the user asked.
        calls: The calls, in the order of their results where there are as many.
        results: The results as the prompt has them.
    """
    passages = [passage for result in results for passage in parse_passages(result)]
    if passages:
        return from_passages(question, passages)
    said = [_result_in_words(question, result) for result in results]
    if len(said) == 1:
        return said[0]
    labels = [render_calls([{"name": c.name, "args": c.args, "id": None}], "pythonic")[1:-1] for c in calls]
    if len(labels) != len(said):
        return "\n".join(f"- {text}" for text in said)
    return "\n".join(f"- {label}: {text}" for label, text in zip(labels, said, strict=True))


def from_conversation(question: str, earlier: Sequence[str], images: int) -> str:
    """An answer out of what the user said before, or what this engine is."""
    if images:
        seen = "an image" if images == 1 else f"{images} images"
        return f"I was given {seen}, but I cannot see. {WHO_I_AM}"
    said = [Passage(number, text, "conversation") for number, text in enumerate(earlier, start=1)]
    found = answer(question, said) if said else []
    return " ".join(statement.text for statement in found) or WHO_I_AM


def ask_for(calls: Sequence[Call]) -> str:
    """The request for the arguments that calls lack."""
    lacking = [f"{', '.join(call.missing)} for {call.name}" for call in calls if call.missing]
    return f"I need to know more before I can do that: {'; '.join(lacking)}."


def stand_alone(question: str, history: Sequence[tuple[str, str]]) -> str:
    """A follow-up question in a form that can be understood without the conversation before it.

    Args:
        question: The question.
        history: (speaker, text), oldest first.
    """
    asked = [text for speaker, text in history if speaker == "User"]
    if not asked:
        return question
    topic = _topic(asked)
    elliptical = _ELLIPSIS.match(question)
    if elliptical:
        swapped = _swapped(asked[-1], elliptical["rest"])
        return swapped or f"{_without_end(asked[-1])} {elliptical['rest']}?"
    if not topic or set(terms(topic)) <= set(terms(question)):
        return question
    pronoun = _REFERS_BACK.search(question)
    if pronoun:
        possessive = "'s" if pronoun[0].lower() in ("its", "their", "his", "hers") else ""
        return f"{question[: pronoun.start()]}{topic}{possessive}{question[pronoun.end() :]}"
    return f"{_without_end(question)} ({topic})?" if len(terms(question)) < 3 else question


def _marked(statements: Sequence[Statement]) -> str:
    """Statements with their marks: sentences run on, list items and table rows have a line each, code a
    block.
    """
    text = ""
    for statement in statements:
        if statement.is_code:
            text += f"{chr(10) if text else ''}```\n{statement.text}\n```\n[{statement.number}]\n"
            continue
        own_line = statement.is_line
        separator = "" if not text or text.endswith("\n") else "\n" if own_line else " "
        text += f"{separator}{statement.text} [{statement.number}]" + ("\n" if own_line else "")
    return text.strip()


def _result_in_words(question: str, result: str) -> str:
    try:
        value = json.loads(result)
    except ValueError:
        value = None
    if isinstance(value, (dict, list)):
        return _values_in_words(question, value)
    text = result.strip()
    if len(text) <= _LONG_RESULT:
        return text or "The tool returned nothing."
    found = answer(question, [Passage(1, text, "result")])
    return " ".join(statement.text for statement in found) or f"{text[:_LONG_RESULT].rsplit(None, 1)[0]} …"


def _values_in_words(question: str, value: Any) -> str:
    """The values of a JSON result, those that the question names first."""
    pairs = list(_flat(value, ""))
    asked = set(terms(question))
    named = [pair for pair in pairs if asked & set(terms(pair[0]))]
    chosen = named or pairs
    if len(chosen) == 1:
        return f"{chosen[0][0]}: {chosen[0][1]}" if chosen[0][0] else chosen[0][1]
    more = f", and {len(chosen) - _MOST_VALUES} more" if len(chosen) > _MOST_VALUES else ""
    shown = [f"{name}: {text}" if name else text for name, text in chosen[:_MOST_VALUES]]
    return ", ".join(shown) + more if shown else "The tool returned nothing."


def _flat(value: Any, name: str) -> list[tuple[str, str]]:
    if isinstance(value, dict):
        return [pair for key, item in value.items() for pair in _flat(item, f"{name} {key}".strip())]
    if isinstance(value, list):
        return [pair for item in value for pair in _flat(item, name)]
    return [(name, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))]


def _topic(asked: Sequence[str]) -> str:
    """What a conversation is about: the last name the user said, else the words of the last question."""
    for text in reversed(asked):
        named = [m for m in find_mentions(text) if m.kind in ("name", "quoted")]
        if named:
            longest = max(named, key=lambda m: len(m.text))
            version = _VERSION.match(text, longest.end)
            return longest.text + (version[0] if version else "")
    return " ".join(word for word in words(asked[-1]) if word not in STOP_WORDS)


def _swapped(before: str, instead: str) -> str | None:
    """The question before, about something else: the name in it replaced."""
    named = [m for m in find_mentions(before) if m.kind in ("name", "quoted", "date")]
    new = [m for m in find_mentions(instead) if m.kind in ("name", "quoted", "date")]
    old = next((m for m in reversed(named) if not new or m.kind == new[0].kind), None)
    if old is None:
        return None
    value = re.sub(r"^(?:in|for|at|on|with)\s+(?:the\s+)?", "", instead)
    return before[: old.start] + value + before[old.end :]


def _without_end(text: str) -> str:
    return text.rstrip().rstrip("?.!").rstrip()
