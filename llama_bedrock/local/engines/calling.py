"""Which tools a request calls for, and with what arguments; told from their words alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from llama_bedrock.local.engines.filling import fill
from llama_bedrock.local.engines.lexicon import specificity, synonyms, terms, words
from llama_bedrock.local.engines.mentions import Mention, find_mentions
from llama_bedrock.tools.spec import ToolSpec

_NAME_WEIGHT = 1.0
_DESCRIPTION_WEIGHT = 0.6
_PARAMETER_WEIGHT = 0.5
_CALLED_BY_NAME = 10.0
_ENOUGH = 0.75
_ASKING = (
    "what|who|when|where|how|which|why|is|are|calculate|compute|add|multiply|subtract|divide|convert|find|search|"
    "get|give|tell|show|send|book|create|list|look|check|translate|summari[sz]e|write|set|open|play|remind|"
    "schedule|delete|update|draw|plot"
)
_CLAUSE = re.compile(
    r"(?<=[.?!;])\s+|\n+|,?\s+(?:and|then|also|and then|and also|plus)\s+"
    rf"(?=(?:then |also |please )?(?:{_ASKING})\b)",
    re.IGNORECASE,
)
_ELLIPSIS = re.compile(
    r"^\W*(?:and|what about|how about|and what about|now|also|same for|what of)\b", re.IGNORECASE
)
_SMALL_TALK = re.compile(
    r"^\W*(?:hello|hi|hey|good (?:morning|evening|afternoon|day)|thanks?|thank you|bye|goodbye|ok|okay|"
    r"how are you|who are you|what are you|what can you do|nice|great|cool|yes|no)\b[^?]*\??\W*\Z",
    re.IGNORECASE,
)
_SEARCHES = re.compile(
    r"\b(?:search|retriev|look ?up|lookup|documents?|knowledge|query|wiki|find information|faq)",
    re.IGNORECASE,
)
_ARITHMETIC = re.compile(r"\d\s*(?:[-+*/^×÷x]|plus|minus|times|divided by|multiplied by)\s*\d", re.IGNORECASE)
_CALCULATES = re.compile(
    r"\b(?:add|adds|sum|calculat|comput|arithmetic|math|multipl|subtract|divid|expression|product of)",
    re.IGNORECASE,
)
_OPERATIONS = {
    **dict.fromkeys(("+", "plus"), "add"),
    **dict.fromkeys(("-", "minus"), "subtract"),
    **dict.fromkeys(("*", "x", "×", "times", "multiplied"), "multiply"),
    **dict.fromkeys(("/", "÷", "divided"), "divide"),
    "^": "power",
}
_OPERATOR = re.compile(r"\d\s*([-+*/^×÷x]|plus|minus|times|divided|multiplied)\s*(?:by\s*)?\d", re.IGNORECASE)
_LIST_GAP = re.compile(
    r"\s*(?:,|;|&|and|or|,\s*and|,\s*or|versus|vs\.?)\s*(?:(?:in|for|at|to|of|the)\s+)*\Z", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Call:
    """A call to make.

    Attributes:
        name: The tool.
        args: Its arguments.
        missing: Required arguments that the request does not give.
    """

    name: str
    args: dict[str, Any]
    missing: tuple[str, ...] = ()


def plan_calls(request: str, tools: Sequence[ToolSpec], earlier: Sequence[str] = ()) -> list[Call]:
    """The calls that a request asks for.

    Args:
        request: What the user said last.
        tools: The tools offered.
        earlier: Names of tools called before in the conversation, the newest last; an elliptical request
            ("and in Oslo?") means the last one.
    """
    if _SMALL_TALK.match(request) or not tools:
        return []
    calls: list[Call] = []
    clauses = [clause for clause in _CLAUSE.split(request) if clause and clause.strip()]
    for clause in clauses:
        tool = _best_tool(clause, tools)
        if tool is not None:
            calls += [call for call in make_calls(tool, clause, request) if call not in calls]
    if calls:
        return _without_restated(calls)
    by_name = {tool.name: tool for tool in tools}
    if earlier and earlier[-1] in by_name and _ELLIPSIS.match(request) and find_mentions(request):
        return make_calls(by_name[earlier[-1]], request, request)
    searching = next((tool for tool in tools if _searches(tool)), None)
    if searching is not None and len(terms(request)) >= 2:
        return make_calls(searching, request, request)
    return []


def closest_tool(request: str, tools: Sequence[ToolSpec]) -> ToolSpec:
    """The tool to take where one must be called."""
    return max(tools, key=lambda tool: (_fit(request, tool, tools), _searches(tool)))


def make_calls(tool: ToolSpec, clause: str, request: str) -> list[Call]:
    """The call of a tool for one clause of a request; several where the clause lists values ("Oslo and
    Rome").
    """
    filling = fill(tool.parameters, clause)
    if filling.missing and clause != request:
        whole = fill(tool.parameters, request)
        if len(whole.missing) < len(filling.missing):
            filling, clause = whole, request
    first = Call(tool.name, filling.value, tuple(filling.missing))
    used = [mention for mention in filling.used if mention.kind in ("name", "quoted", "number")]
    if len(used) != 1 or filling.missing:
        return [first]
    (mention,) = used
    key = next((key for key, value in first.args.items() if value in (mention.text, mention.number)), None)
    if key is None:
        return [first]
    calls = [first]
    for sibling in _siblings(mention, clause):
        value = sibling.number if mention.kind == "number" else sibling.text
        calls.append(Call(tool.name, {**first.args, key: value}))
    return calls


def _siblings(mention: Mention, text: str) -> list[Mention]:
    """The mentions that stand with one in an enumeration."""
    same = [m for m in find_mentions(text) if m.kind == mention.kind and m.start >= mention.start]
    found: list[Mention] = []
    for before, after in pairwise(same):
        if not _LIST_GAP.match(text[before.end : after.start]):
            break
        found.append(after)
    return found


def _best_tool(clause: str, tools: Sequence[ToolSpec]) -> ToolSpec | None:
    scored = [(_fit(clause, tool, tools), -at) for at, tool in enumerate(tools)]
    best, at = max(scored)
    return tools[-at] if best >= _ENOUGH else None


def _fit(clause: str, tool: ToolSpec, tools: Sequence[ToolSpec]) -> float:
    """How well the words of a tool fit a clause; about 1 for a rare word of its name."""
    if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", clause):
        return _CALLED_BY_NAME
    name, description, parameters = _vocabulary(tool)
    others = [_vocabulary(other) for other in tools if other is not tool]
    fit = 0.0
    for term in dict.fromkeys(terms(clause)):
        weight = max(
            _NAME_WEIGHT * _holds(name, term),
            _DESCRIPTION_WEIGHT * _holds(description, term),
            _PARAMETER_WEIGHT * _holds(parameters, term),
        )
        shared = sum(_holds(other[0] | other[1], term) > 0 for other in others)
        fit += weight * specificity(term) / (1 + shared)
    return fit + _arithmetic_fit(clause, tool, description | name)


def _arithmetic_fit(clause: str, tool: ToolSpec, vocabulary: frozenset[str]) -> float:
    if not _ARITHMETIC.search(clause) or not _CALCULATES.search(
        f"{' '.join(words(tool.name))} {tool.description}"
    ):
        return 0.0
    operator = _OPERATOR.search(clause)
    operation = _OPERATIONS.get(operator[1].lower()) if operator else None
    if operation is not None and _holds(vocabulary, terms(operation)[0]) > 0:
        return 2.0
    return 1.0


def _vocabulary(tool: ToolSpec) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The terms of a tool's name, of its description, and of its parameters with their enum values."""
    said: list[str] = []
    for key, schema in tool.properties.items():
        said.append(key)
        if isinstance(schema, dict):
            said.append(str(schema.get("description") or ""))
            said += [str(option) for option in schema.get("enum") or ()]
    description = tool.description.split("\n\nArgs:")[0]
    return frozenset(terms(tool.name)), frozenset(terms(description)), frozenset(terms(" ".join(said)))


def _holds(vocabulary: frozenset[str], term: str) -> float:
    return 1.0 if term in vocabulary else 0.8 if synonyms(term) & vocabulary else 0.0


def _searches(tool: ToolSpec) -> bool:
    takes_text = any(
        isinstance(s, dict) and s.get("type", "string") == "string" for s in tool.properties.values()
    )
    return takes_text and _SEARCHES.search(f"{tool.name.replace('_', ' ')} {tool.description}") is not None


def _without_restated(calls: list[Call]) -> list[Call]:
    """Without calls that repeat another one with less: "Use the tool." after the question itself."""
    return [
        call
        for call in calls
        if not (call.missing and any(other.name == call.name and not other.missing for other in calls))
    ]
