"""The engine that needs nothing: it answers from what stands in the prompt, and says that it is no Llama.

It quotes the sentences of passages that fit a question, makes the obvious call of a tool that the prompt
offers, fills in a JSON schema, makes a follow-up question stand alone, and continues a turn that was begun
for it. It never invents. What a test needs beyond that, it scripts: see `ScriptedEngine`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.messages import ToolCall

from llama_bedrock.choices import Dialect
from llama_bedrock.local.engines.interface import EngineRequest
from llama_bedrock.local.engines.pieces import forms, pieces
from llama_bedrock.prompts.parse_back import ParsedTurn, parse_prompt
from llama_bedrock.prompts.passages import parse_follow_up, parse_passages, parse_question
from llama_bedrock.text import sentences
from llama_bedrock.tools.json_schema import is_valid, resolve, types_of
from llama_bedrock.tools.rendering import render_calls
from llama_bedrock.tools.spec import ToolSpec

WHO_I_AM = (
    "I am the local extractive engine, not a Llama: I answer questions with the sentences of the passages in "
    "the prompt, call the tools whose words fit a request, and fill in JSON schemas. I know nothing else."
)
_LONGEST_RESULT = 400  # characters of a tool's result that are repeated
_ENOUGH = 0.6  # what a tool's words must be worth: one of its name or description that no other tool has
_BEGUN_CALL = re.compile(
    r"\s*\[\s*(?:([^\s\[\](){}\"',=]+)\()?\s*\Z|\s*\{\s*\"(?:name|type)\"\s*:\s*\"([^\"]*)"
)
_CLAUSE = re.compile(
    r"(?<=[.?!;])\s+|\n+|,?\s+(?:and|then)\s+(?=(?:then )?(?:what|who|when|where|how|add|get|send|find)\b)",
    re.IGNORECASE,
)
_OPERATION = re.compile(r"\d\s*([-+*/])\s*\(?\d")
_CALCULATORS = {"+": "add adder sum plus", "-": "subtract minus", "*": "multiply times", "/": "divide"}
_SEARCHES = re.compile(r"search|retriev|look ?up|documents?\b|knowledge|query|wiki", re.IGNORECASE)
_GENERIC = frozenset({"get", "find", "make", "use", "call", "create", "tool", "function", "give", "value"})
_KEYS = re.compile(r"[^.\n]*\bjson\b[^.\n]*\b(?:key|field|propert)", re.IGNORECASE)
_PRONOUN = re.compile(r"\b(?:its?|they|them|their|this|that|these|those|he|him|his|she|her)\b", re.IGNORECASE)
_ELLIPSIS = re.compile(r"\W*(?:and )?(?:(?:what|how) about |and )(?:in |for )?(.+?)\W*\Z", re.IGNORECASE)
_NO = re.compile(r"\b(?:no|not|never|without|don't|false|disabled?|off)\b", re.IGNORECASE)
_MONTH = r"(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_CAPITAL = r"[^\W\d_a-z][\w'’-]*"
_MENTION = re.compile(
    r"(?P<url>https?://[^\s<>\"')\]]*\w/?)|(?P<email>[\w.+-]+@[\w-]+(?:\.[\w-]+)+)|"
    r"(?P<quoted>\"[^\"\n]+\"|“[^”\n]+”|(?<!\w)['‘][^'’\n]+['’](?!\w))|"
    r"(?P<date>\b\d{4}-\d{2}-\d{2}\b|\b\d{1,2}:\d{2}(?:\s?[ap]m)?\b|\b(?:today|tomorrow|yesterday)\b|"
    rf"\b{_MONTH} \d{{1,2}}(?:,? \d{{4}})?\b|\b\d{{1,2}} {_MONTH}(?: \d{{4}})?\b)|"
    r"(?P<number>(?<![\w.])[-+]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\w*\d))|"
    # "Llama 4" is a name, "Add 4" at the beginning of a sentence is none
    rf"(?P<name>(?:(?<=[^.!?] ){_CAPITAL}(?: \d[\w.]*\b)?|{_CAPITAL})"
    rf"(?:(?: (?:of|de|la|von))? {_CAPITAL}(?: \d[\w.]*\b)?)*(?:, [A-Z]{{2}}\b)?)"
)
_FIELDS = (
    ("request", {"query", "question", "search", "request", "task", "prompt", "instruction", "keyword"}),
    ("email", {"email", "mail", "to", "recipient"}),
    ("url", {"url", "uri", "link", "website"}),
    ("date", {"date", "day", "deadline", "time", "when"}),
    ("prose", {"body", "content", "message", "text", "note", "summary", "reason", "setup", "punchline"}),
)
"""Words in the names of text fields, and the kind of value that such a field takes."""
_KINDS = {"name": ("quoted", "name"), "prose": ("quoted",)}
_MAX_DEPTH = 8
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class _PlannedCall:
    """A call to make, and the required arguments that the request does not give."""

    name: str
    args: dict[str, Any]
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Offer:
    """The tools of a prompt, and how they are to be called."""

    tools: tuple[ToolSpec, ...] = ()
    dialect: Dialect = "pythonic"
    parallel: bool = True
    must_call: bool = False


class ExtractiveEngine:
    """Answers from the words of the prompt, offline and always the same."""

    name = "local extractive engine"

    def generate(self, request: EngineRequest) -> Iterator[str]:
        """Write the answer, in pieces of about a token.

        Raises:
            ImportError: The prompt holds passages, and the extra ``local`` is not installed.
        """
        return iter(pieces(_Scene(parse_prompt(request.prompt, request.prompt_format)).reply()))


class _Scene:
    """A prompt, read: what was said, what is offered, and what the turn to write begins with."""

    def __init__(self, turns: Sequence[ParsedTurn]) -> None:
        is_begun = bool(turns) and turns[-1].is_open and turns[-1].role == "assistant"
        self.opening = turns[-1].text if is_begun else ""
        self.turns = turns = list(turns[:-1] if is_begun else turns)
        # What stands in a document offers no tools and asks for no JSON.
        asking = [t for t in turns if t.role == "system" or (t.role == "user" and not parse_passages(t.text))]
        self.offer = _read_offer(asking)
        self.schema = _read_schema(asking)
        users = [at for at, turn in enumerate(turns) if turn.role in ("user", "text")]
        if len(users) > 1 and turns[users[-1]].images and turns[users[-1] - 1].role == "tool":
            users.pop()  # an image that a tool returned comes in a user turn of its own
        last = users[-1] if users else -1
        self.request = turns[last].text if users else ""
        self.earlier = [turn.text for turn in turns[: max(last, 0)] if turn.role == "user"]
        self.results = [turn.text for turn in turns[last + 1 :] if turn.role == "tool"]

    def reply(self) -> str:
        """The text that continues the prompt."""
        calls = self._calls() if self.offer.tools else []
        begun = self.opening.strip()
        if calls:
            forced: dict[str, Dialect] = {"{": "json", "[": "pythonic"}
            written = [ToolCall(name=call.name, args=call.args, id=None) for call in calls]
            text = render_calls(written, forced.get(begun[:1], self.offer.dialect))
            return _continued(text, self.opening)
        asks_json = any("json" in turn.text.lower() for turn in self.turns if turn.role in ("system", "user"))
        if self.schema is not None and (begun.startswith(("{", "[", "```")) or (not begun and asks_json)):
            said = re.split(r"\n|(?<=[.!?])\s", "\n".join([self.request, *self.results]))
            told = " ".join(text for text in said if "{" not in text and "json" not in text.lower())
            value, _ = fill(self.schema, told or self.request)
            return _continued(json.dumps(value, ensure_ascii=False), self.opening)
        return self._in_words()

    def _calls(self) -> list[_PlannedCall]:
        """The calls to make now; none where an answer in words is due."""
        begun = _BEGUN_CALL.match(self.opening) if self.opening.strip() else None
        if self.opening.strip() and begun is None:
            return []
        planned = plan_calls(self.request, self.offer.tools)[len(self.results) :]
        if begun is None and not self.offer.must_call:
            failed = any(result.startswith("Error") for result in self.results)
            planned = [call for call in planned if not call.missing and not failed]
        else:
            name = (begun[1] or begun[2]) if begun else None
            planned = [call for call in planned if name in (None, call.name)]
            if not planned:
                named = [tool for tool in self.offer.tools if tool.name == name] or self.offer.tools
                best = max(named, key=lambda tool: _fit(self.request, tool, ()))
                planned = [_make_call(best, "\n".join([self.request, *self.results]))]
        return planned if self.offer.parallel else planned[:1]

    def _in_words(self) -> str:
        follow_up = parse_follow_up(self.request)
        if follow_up is not None:
            return stand_alone(follow_up[1], [text for speaker, text in follow_up[0] if speaker == "User"])
        asked = [parse_passages(self.request), [p for result in self.results for p in parse_passages(result)]]
        for passages in filter(None, asked):
            from llama_bedrock.local.engines.passage_answers import answer_from_passages  # needs an extra

            return answer_from_passages(parse_question(self.request) or self.request, passages)
        if self.results:
            said = [result.strip() or "The tool returned nothing." for result in self.results]
            return "\n".join(s if len(s) <= _LONGEST_RESULT else f"{s[:_LONGEST_RESULT]} …" for s in said)
        lacking = [call for call in plan_calls(self.request, self.offer.tools) if call.missing]
        if lacking:
            needs = "; ".join(f"{', '.join(call.missing)} for {call.name}" for call in lacking)
            return f"I need to know more before I can do that: {needs}."
        images = sum(turn.images for turn in self.turns)
        if images:
            return f"I was given {images} image{'s' * (images > 1)}, but I cannot see. {WHO_I_AM}"
        return self._from_earlier() or WHO_I_AM

    def _from_earlier(self) -> str:
        """The sentence of the user's earlier turns that holds most words of the question."""
        asked = set(forms(self.request))
        said = [t[a:b] for t in self.earlier for a, b in sentences(t) if not t[a:b].endswith("?")]
        best = max(said, key=lambda sentence: len(asked.intersection(forms(sentence))), default="")
        return best if asked.intersection(forms(best)) else ""


def _continued(text: str, opening: str) -> str:
    """What is left of a text when its beginning stands there already, whatever its white space."""
    begun = "".join(opening.split())
    if begun.startswith("```"):
        return f"{text}\n```"
    at = 0
    for end, character in enumerate(text):
        if at == len(begun):
            return text[end:]
        if character == begun[at]:
            at += 1
        elif not character.isspace():
            break
    return "" if at == len(begun) else text


def _json_values(text: str, opening: str) -> Iterator[tuple[int, Any]]:
    """The JSON values of a text that begin so, with their places; what lies inside one is passed over."""
    decoder, at = json.JSONDecoder(), 0
    for _ in range(64):  # attempts
        match = re.compile(opening).search(text, at)
        if match is None:
            return
        try:
            value, at = decoder.raw_decode(text, match.start())
            yield match.start(), value
        except (ValueError, RecursionError):
            at = match.start() + 1


def _read_offer(turns: Sequence[ParsedTurn]) -> _Offer:
    """The tools offered in a system turn, or else in a user turn, as Meta's examples do."""
    for turn in sorted(turns, key=lambda turn: turn.role != "system"):
        for start, value in _json_values(turn.text, r"\[\s*\{"):
            found = [item.get("function", item) if isinstance(item, dict) else {} for item in value]
            if all(isinstance(one, dict) and isinstance(one.get("name"), str) for one in found):
                tools = [
                    ToolSpec(one["name"], str(one.get("description") or ""), one.get("parameters") or {})
                    for one in found
                ]
                how = turn.text[:start]
                dialect: Dialect = "json" if '{"name"' in how else "pythonic"
                return _Offer(tuple(tools), dialect, "one call at a time" not in how, "must call" in how)
    return _Offer()


def _read_schema(turns: Sequence[ParsedTurn]) -> Mapping[str, Any] | None:
    """The JSON schema that the answer is to follow, or one of the keys that a request for JSON names."""
    for turn in reversed(turns):
        for _, value in _json_values(turn.text, r"\{\s*\""):
            if {"properties", "items", "$defs", "$schema"}.intersection(value) and "parameters" not in value:
                return dict(value)
    for turn in reversed(turns):
        asked = _KEYS.search(turn.text)
        keys = re.findall(r"[\"'`“]([\w -]+)[\"'`”]", asked[0]) if asked else []
        if keys:
            return {
                "type": "object",
                "properties": {key: {"type": "string"} for key in keys},
                "required": keys,
            }
    return None


def plan_calls(request: str, tools: Sequence[ToolSpec]) -> list[_PlannedCall]:
    """The calls that a request asks for: of tools whose words it uses, or else of one that searches."""
    calls: list[_PlannedCall] = []
    for clause in _CLAUSE.split(request):
        best, at = max(((_fit(clause, tool, tools), -at) for at, tool in enumerate(tools)), default=(0.0, 0))
        if best >= _ENOUGH:
            tried = [_make_call(tools[-at], clause), _make_call(tools[-at], request)]
            call = min(tried, key=lambda call: len(call.missing))
            calls += [call] if call not in calls else []
    if calls:
        whole = {call.name for call in calls if not call.missing}
        return [call for call in calls if not call.missing or call.name not in whole]
    searching = [t for t in tools if t.properties and _SEARCHES.search(f"{t.name} {t.description}")]
    return [_make_call(searching[0], request)] if searching and len(forms(request)) >= 2 else []


def _make_call(tool: ToolSpec, text: str) -> _PlannedCall:
    value, missing = fill(tool.parameters, text)
    return _PlannedCall(tool.name, value, tuple(missing))


def _fit(clause: str, tool: ToolSpec, tools: Sequence[ToolSpec]) -> float:
    """How well the words of a tool fit a clause: about 1 for a word of its name that no other tool has."""
    if re.search(rf"(?<!\w){re.escape(tool.name)}(?!\w)", clause):
        return 10.0
    name, description = (
        set(forms(tool.name)),
        set(forms(tool.description.split("\n\nArgs:")[0])),
    )
    parameters = set(forms(" ".join(tool.properties)))
    others = [forms(f"{other.name} {other.description}") for other in tools if other is not tool]
    fit = 0.0
    for form in set(forms(clause)) - _GENERIC:
        weight = 1.0 if form in name else 0.6 if form in description else 0.5 if form in parameters else 0.0
        fit += weight / (1 + sum(form in other for other in others))
    operation = _OPERATION.search(clause)
    calculating = forms(f"{_CALCULATORS[operation[1]]} calculate math expression") if operation else ()
    return fit + len((name | description).intersection(calculating))


def stand_alone(question: str, asked: Sequence[str]) -> str:
    """A follow-up question that can be understood without what the user asked before it, oldest first."""
    named = [(text, m) for text in asked for m in _mentions(text) if m.lastgroup in ("name", "quoted")]
    if not named:
        return question
    before, topic = named[-1]
    elliptical = _ELLIPSIS.match(question)
    if elliptical:
        return f"{before[: topic.start()]}{elliptical[1]}{before[topic.end() :]}"
    pronoun = _PRONOUN.search(question)
    if pronoun is None or set(forms(topic[0])) <= set(forms(question)):
        return question
    possessive = "'s" if pronoun[0].lower() in ("its", "their", "his") else ""
    return f"{question[: pronoun.start()]}{topic[0]}{possessive}{question[pronoun.end() :]}"


def _mentions(text: str) -> list[re.Match[str]]:
    """The values in a text, in order; a word that is capitalised because it begins a sentence is no name."""
    return [m for m in _MENTION.finditer(text) if m.lastgroup != "name" or not _only_begins(text, m)]


def _only_begins(text: str, match: re.Match[str]) -> bool:
    if not forms(match[0]):
        return True
    before = text[: match.start()].rstrip()
    following = re.match(r"\s+([\w'’]+)", text[match.end() :])
    orders = following is None or following[1][0].isdigit() or not forms(following[1])
    says = following is not None and following[1] in ("is", "was", "has", "are")
    return (not before or before[-1] in ".!?") and " " not in match[0] and orders and not says


def fill(schema: Mapping[str, Any], text: str) -> tuple[Any, list[str]]:
    """Fill a JSON schema from a text.

    A field takes what follows its name ("age: 7"), else the value of its type that stands nearest to its
    words and was not used yet. What the text does not say is left out where the schema allows it.

    Returns:
        A value for the schema, and the required fields that the text says nothing about.
    """
    filler = _Filler(schema, text.strip())
    return filler.value(schema, "", required=True, depth=0), filler.missing


class _Filler:
    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root, self._text, self._free = root, text, _mentions(text)
        self._sentences = [text[a:b] for a, b in sentences(text)]
        self.missing: list[str] = []

    def value(self, schema: Any, name: str, *, required: bool, depth: int) -> Any:
        """A valid value, or _ABSENT for a field that may be left out."""
        schema = resolve(schema, self._root)
        for part in schema.get("allOf") or ():
            schema = {**resolve(part, self._root), **schema}
        found = self._found(schema, name, required=required, depth=depth) if depth < _MAX_DEPTH else _ABSENT
        if found is not _ABSENT and is_valid(found, schema, self._root):
            return found
        return self._empty(schema, name, depth) if required else _ABSENT

    def _found(self, schema: Mapping[str, Any], name: str, *, required: bool, depth: int) -> Any:
        if "const" in schema:
            return schema["const"]
        if schema.get("enum"):
            said = set(forms(self._text))
            return next((one for one in schema["enum"] if said.intersection(forms(str(one)))), _ABSENT)
        for option in schema.get("anyOf") or schema.get("oneOf") or ():
            found = self.value(option, name, required=False, depth=depth + 1)
            if found is not _ABSENT and found is not None:
                return found
        kind = next((kind for kind in types_of(schema) if kind != "null"), "")
        wanted = set(forms(f"{name} {schema.get('description') or ''}"))
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, name, depth)
        if kind in ("integer", "number"):
            return self._number(schema, wanted)
        if kind == "boolean":
            about = next((s for s in self._sentences if set(forms(name)).intersection(forms(s))), None)
            return _ABSENT if about is None else _NO.search(about) is None
        return self._text_value(name, wanted, required=required) if kind == "string" else _ABSENT

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties: Mapping[str, Any] = schema.get("properties") or {}
        required = set(schema.get("required") or ())

        def turn(key: str) -> tuple[bool, bool, bool]:
            """Fields that the text names choose first, then those that only few values fit."""
            takes_text = types_of(resolve(properties[key], self._root)) == ("string",)
            return self._stated(key) is None, takes_text, key not in required

        values = {
            key: self.value(properties[key], key, required=key in required, depth=depth + 1)
            for key in sorted(properties, key=turn)
        }
        return {key: values[key] for key in properties if values[key] is not _ABSENT}

    def _array(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        items = resolve(schema.get("items") or {}, self._root)
        if items.get("enum"):
            said = set(forms(self._text))
            return [one for one in items["enum"] if said.intersection(forms(str(one)))] or _ABSENT
        if {"integer", "number"}.intersection(types_of(items)):
            return list(iter(lambda: self._number(items, set()), _ABSENT)) or _ABSENT
        if "object" in types_of(items) or "properties" in items:
            return [self.value(items, "", required=True, depth=depth + 1)]
        listed = re.search(rf"\b{re.escape(name)}\w*:?\s+([^.\n]+)", self._text, re.IGNORECASE)
        parts = re.split(r",\s*(?:and\s+)?|\s+and\s+", listed[1]) if listed and name else []
        return [part.strip("\"' ") for part in parts if part.strip("\"' ")] or _ABSENT

    def _number(self, schema: Mapping[str, Any], wanted: set[str]) -> Any:
        fitting = []
        for match in self._free:
            plain = match[0].replace(",", "").lstrip("+")
            number = (float(plain) if "." in plain else int(plain)) if match.lastgroup == "number" else None
            if number is not None and is_valid(number, schema, self._root):
                fitting.append((self._nearness(match, wanted), -match.start(), match, number))
        if not fitting:
            return _ABSENT
        _, _, match, number = max(fitting, key=lambda found: found[:2])
        self._free.remove(match)
        return number

    def _nearness(self, match: re.Match[str], wanted: set[str]) -> int:
        around = self._text[max(0, match.start() - 24) : match.end() + 16]
        return len(wanted.intersection(forms(around)))

    def _text_value(self, name: str, wanted: set[str], *, required: bool) -> Any:
        parts = set(name.lower().split("_"))
        kind = next((kind for kind, names in _FIELDS if parts & names), "name")
        stated = self._stated(name)
        if stated is not None:
            self._free = [match for match in self._free if match[0] not in stated]
            return stated
        if kind == "request":
            return self._text or _ABSENT
        free = [match for match in self._free if match.lastgroup in _KINDS.get(kind, (kind,))]
        if free:
            best = max(free, key=lambda m: (m.lastgroup == "quoted", self._nearness(m, wanted), -m.start()))
            self._free.remove(best)
            return best[0].strip("\"'“”‘’")
        return self._sentences.pop(0) if kind == "prose" and required and self._sentences else _ABSENT

    def _stated(self, name: str) -> str | None:
        """What follows the name of a field with a colon, an equals sign or "is"."""
        spoken = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", name) if part)
        ends = r"(?=[\"'”,;\n]|\.\s|\.?\Z)"
        stated = rf"\b{spoken}\s*(?:[:=]|\bis\b)\s*[\"'“]?([^\"'”\n,;]+?){ends}"
        found = re.search(stated, self._text, re.IGNORECASE) if len(name) > 1 else None
        return found[1].strip() if found else None

    def _empty(self, schema: Mapping[str, Any], name: str, depth: int) -> Any:
        """A valid value that says nothing: the default, an example, or the least there is."""
        if "default" in schema:
            return schema["default"]
        self.missing += [name] if name else []
        options = [resolve(one, self._root) for one in schema.get("anyOf") or schema.get("oneOf") or ()]
        texts = [self._text or name, name, self._text[: schema.get("maxLength") or 0]]
        candidates = [
            *(schema.get("examples") or ()),
            *(schema.get("enum") or ()),
            *([self._empty(option, "", depth + 1) for option in options] if depth < _MAX_DEPTH else ()),
            *([None] if "null" in types_of(schema) else ()),
            *([self._object(schema, depth)] if "properties" in schema and depth < _MAX_DEPTH else ()),
            *(*texts, schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1), False, [], {}, None),
        ]
        return next((one for one in candidates if is_valid(one, schema, self._root)), candidates[0])
