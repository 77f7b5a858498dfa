"""A JSON schema filled with what a text says: the arguments of a call, or the fields of a structured answer.

Every field takes the value of its type that fits it best: by its name and description, by the words around
the value ("from", "named", "per"), by an enum value that the text holds. A value is used once. What the text
does not say is left out where the schema allows it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llama_bedrock.local.engines.lexicon import STOP_WORDS, stem, synonyms, terms, words
from llama_bedrock.local.engines.mentions import Mention, find_mentions
from llama_bedrock.local.engines.roles import Role, role_of
from llama_bedrock.local.engines.sentences import split_sentences
from llama_bedrock.local.engines.wording import after_verb, first_match, listed, matches, query, stated

_MAX_DEPTH = 8
_ABSENT = object()
_YES = re.compile(r"\b(?:yes|true|enabled?|on|with|include|including|please do)\b", re.IGNORECASE)
_NO = re.compile(
    r"\b(?:no|not|false|disabled?|off|without|never|don't|do not|exclude|excluding)\b", re.IGNORECASE
)


@dataclass(slots=True)
class Filling:
    """A value for a schema, and the required fields the text says nothing about."""

    value: Any
    missing: list[str] = field(default_factory=list)
    used: list[Mention] = field(default_factory=list)


def fill(schema: Mapping[str, Any], text: str) -> Filling:
    """Fill the schema of an object from a text.

    Args:
        schema: JSON schema; ``$ref`` is resolved inside it.
        text: What the values are taken from.

    Returns:
        A value that has every required field. Those in ``missing`` hold a default, an empty value, or for
        texts the nearest words there are.
    """
    filler = _Filler(schema, text)
    value = filler.value(schema, "", "", required=True, depth=0)
    return Filling({} if value is _ABSENT else value, filler.missing, filler.used)


class _Filler:
    def __init__(self, root: Mapping[str, Any], text: str) -> None:
        self._root = root
        self._text = text.strip()
        self._mentions = find_mentions(self._text)
        self._sentences = split_sentences(" ".join(self._text.split()))
        self._said: list[str] = []
        self.used: list[Mention] = []
        self.missing: list[str] = []

    def value(self, schema: Any, name: str, description: str, *, required: bool, depth: int) -> Any:
        """A value for one schema, or `_ABSENT`."""
        schema = self._resolved(schema)
        description = description or str(schema.get("description") or "")
        if depth > _MAX_DEPTH:
            return self._fallback(schema, name, required=required)
        found = self._choice(schema, name, description, required=required, depth=depth)
        if found is not _ABSENT:
            return found
        kind = _type_of(schema)
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            found = self._array(schema, name, description, depth)
        elif kind in ("integer", "number"):
            found = self._number(schema, name, description, is_integer=kind == "integer")
        elif kind == "boolean":
            found = self._boolean(name, description)
        elif kind == "string":
            found = self._string(schema, name, description, required=required)
        return self._fallback(schema, name, required=required) if found is _ABSENT else found

    def _resolved(self, schema: Any) -> Mapping[str, Any]:
        for _ in range(_MAX_DEPTH):
            if not isinstance(schema, Mapping):
                return {}
            reference = schema.get("$ref")
            if isinstance(reference, str) and reference.startswith("#/"):
                target: Any = self._root
                for part in reference[2:].split("/"):
                    target = target.get(part) if isinstance(target, Mapping) else None
                rest = {key: value for key, value in schema.items() if key != "$ref"}
                schema = {**target, **rest} if isinstance(target, Mapping) else rest
            elif isinstance(schema.get("allOf"), Sequence) and schema["allOf"]:
                rest = {key: value for key, value in schema.items() if key != "allOf"}
                schema = {**self._resolved(schema["allOf"][0]), **rest}
            else:
                return schema
        return {}

    def _choice(
        self, schema: Mapping[str, Any], name: str, description: str, *, required: bool, depth: int
    ) -> Any:
        """A constant, an enum value or an alternative."""
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), Sequence) and schema["enum"]:
            return self._enum(list(schema["enum"]), schema, required=required)
        options = schema.get("anyOf") or schema.get("oneOf")
        if not isinstance(options, Sequence) or not options:
            return _ABSENT
        resolved = [self._resolved(option) for option in options]
        wanted = [option for option in resolved if _type_of(option) != "null"]
        before = len(self.missing)
        for option in wanted:
            found = self.value(option, name, description, required=False, depth=depth + 1)
            if found is not _ABSENT:
                return found
        del self.missing[before:]
        if "default" in schema:
            return schema["default"] if required else _ABSENT
        if len(wanted) < len(resolved):
            return None if required else _ABSENT
        return self.value(wanted[0], name, description, required=required, depth=depth + 1)

    def _enum(self, options: list[Any], schema: Mapping[str, Any], *, required: bool) -> Any:
        said = [stem(word) for word in words(self._text)]
        scored = [(self._enum_fit(option, said), -at) for at, option in enumerate(options)]
        best, at = max(scored)
        if best > 0:
            return options[-at]
        if not required:
            return _ABSENT
        return schema.get("default", options[0])

    def _enum_fit(self, option: Any, said: Sequence[str]) -> float:
        wanted = [stem(word) for word in words(str(option)) if word not in STOP_WORDS] or [
            str(option).lower()
        ]
        hits = [1.0 if term in said else 0.6 if synonyms(term) & set(said) else 0.0 for term in wanted]
        return sum(hits) / len(hits) if min(hits, default=0) > 0 else 0.0

    def _object(self, schema: Mapping[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, Mapping) else {}
        required = set(schema.get("required") or ())
        # the fields that only few values fit choose first; then those that must be there
        order = sorted(
            properties, key=lambda key: (*self._turn_of(key, properties[key]), key not in required)
        )
        values: dict[str, Any] = {}
        for key in order:
            found = self.value(properties[key], key, "", required=key in required, depth=depth + 1)
            if found is not _ABSENT:
                values[key] = found
        return {key: values[key] for key in properties if key in values}

    def _turn_of(self, name: str, schema: Any) -> tuple[bool, int]:
        """When a field chooses its value: the text that names a field settles it, then the narrow ones."""
        resolved = self._resolved(schema)
        is_stated = _type_of(resolved) == "string" and stated(self._text, name) is not None
        return not is_stated, _openness(name, resolved)

    def _array(self, schema: Mapping[str, Any], name: str, description: str, depth: int) -> Any:
        items = self._resolved(schema.get("items") or {})
        if isinstance(items.get("enum"), Sequence):
            said = [stem(word) for word in words(self._text)]
            return [option for option in items["enum"] if self._enum_fit(option, said) > 0] or _ABSENT
        kind = _type_of(items)
        if kind in ("integer", "number"):
            numbers = [m for m in self._free("number") if _fits_number(m, is_integer=kind == "integer")]
            self.used += numbers
            return [m.number for m in numbers] or _ABSENT
        if kind == "object":
            return [self._object(items, depth + 1)]
        parts = listed(self._text, name, description)
        if parts:
            return parts
        named = [*self._free("quoted"), *self._free("name"), *self._free("email")]
        self.used += named
        return [m.text for m in named] or _ABSENT

    def _number(self, schema: Mapping[str, Any], name: str, description: str, *, is_integer: bool) -> Any:
        free = [
            m for m in self._free("number") if _fits_number(m, is_integer=is_integer) and _in_range(m, schema)
        ]
        if not free:
            return _ABSENT
        wanted = _vocabulary(name, description)
        best = max(free, key=lambda m: (_nearness(m, wanted), -m.start))
        self.used.append(best)
        return best.number

    def _boolean(self, name: str, description: str) -> Any:
        wanted = _vocabulary(name, "")
        for sentence in self._sentences:
            if wanted & set(terms(sentence)):
                return not _NO.search(sentence)
        if self._text and len(self._text.split()) <= 3:
            return False if _NO.search(self._text) else True if _YES.search(self._text) else _ABSENT
        return _ABSENT

    def _string(self, schema: Mapping[str, Any], name: str, description: str, *, required: bool) -> Any:
        role = role_of(name, description, str(schema.get("format") or ""))
        found: Any = stated(self._text, name)
        if found is not None:
            self.used += [m for m in self._mentions if m.text == found]
        else:
            found = self._by_role(role, name, description, required=required)
        pattern = schema.get("pattern")
        if isinstance(pattern, str) and (found is None or not matches(pattern, str(found))):
            found = first_match(pattern, self._text)
        if found is None or not str(found).strip():
            return _ABSENT
        longest = schema.get("maxLength")
        return str(found)[:longest] if isinstance(longest, int) else str(found)

    def _by_role(self, role: Role, name: str, description: str, *, required: bool) -> str | None:
        if role.takes == "request":
            return query(self._text)
        if role.takes == "body":
            quoted = self._take(role, name, description, ("quoted",))
            said = after_verb(self._text)
            if quoted is not None or said is not None:
                return quoted if quoted is not None else said
            if required:
                self.missing.append(name)
            return self._sentence(name, description) if required else None
        found = self._take(role, name, description, role.kinds)
        if found is None and role.takes == "text" and required:
            return self._sentence(name, description)
        return found

    def _take(self, role: Role, name: str, description: str, kinds: Sequence[str]) -> str | None:
        """The free mention that fits a field best, if any does."""
        free = [m for kind in kinds for m in self._free(kind)]
        if not free:
            return None
        wanted = _vocabulary(name, description)
        best = max(free, key=lambda m: (_mention_fit(m, role, wanted, kinds, self._text), -m.start))
        if role.needs_preposition and not set(best.before[:2]) & role.prepositions:
            return None
        self.used.append(best)
        return best.text

    def _free(self, kind: str) -> list[Mention]:
        return [m for m in self._mentions if m.kind == kind and m not in self.used]

    def _sentence(self, name: str, description: str) -> str | None:
        """The sentence that fits a free text best; one that was not used yet before others."""
        if not self._sentences:
            return None
        wanted = _vocabulary(name, description)

        def fit(sentence: str) -> tuple[float, bool]:
            overlap = len(wanted & set(terms(sentence)))
            return overlap - (2 if sentence in self._said else 0), sentence not in self._said

        best = max(self._sentences, key=fit)
        self._said.append(best)
        return best

    def _fallback(self, schema: Mapping[str, Any], name: str, *, required: bool) -> Any:
        if not required:
            return _ABSENT
        if "default" in schema:
            return schema["default"]
        if name:
            self.missing.append(name)
        examples = schema.get("examples")
        if isinstance(examples, Sequence) and examples:
            return examples[0]
        kind = _type_of(schema)
        least = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        empty: dict[str, Any] = {
            "integer": least,
            "number": least,
            "boolean": False,
            "array": [],
            "object": {},
        }
        return empty.get(kind, None if kind == "null" else self._text or name)


def _type_of(schema: Mapping[str, Any]) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if isinstance(kind, str):
        return {"dict": "object", "list": "array", "int": "integer", "float": "number", "str": "string"}.get(
            kind, kind
        )
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _openness(name: str, schema: Mapping[str, Any]) -> int:
    """How much a field takes: a number or a date few things, a free text anything."""
    if _type_of(schema) != "string" or "enum" in schema or "const" in schema:
        return 1
    role = role_of(name, str(schema.get("description") or ""), str(schema.get("format") or ""))
    return {"value": 0, "name": 2, "body": 3, "text": 4, "request": 5}[role.takes]


def _vocabulary(name: str, description: str) -> set[str]:
    return set(terms(name.replace("_", " "))) | set(terms(description))


def _fits_number(mention: Mention, *, is_integer: bool) -> bool:
    return mention.number is not None and (not is_integer or isinstance(mention.number, int))


def _in_range(mention: Mention, schema: Mapping[str, Any]) -> bool:
    number, low, high = mention.number, schema.get("minimum"), schema.get("maximum")
    return number is not None and (low is None or number >= low) and (high is None or number <= high)


def _nearness(mention: Mention, wanted: set[str]) -> float:
    """How close to a number words of a field stand."""
    near = [(word, 1 / (1 + at)) for at, word in enumerate(mention.before)]
    near += [(word, 1.2 / (1 + at)) for at, word in enumerate(mention.after)]
    return max((weight for word, weight in near if _touches(stem(word), wanted)), default=0.0)


def _touches(term: str, wanted: set[str]) -> bool:
    return term in wanted or bool(synonyms(term) & wanted)


def _mention_fit(mention: Mention, role: Role, wanted: set[str], kinds: Sequence[str], text: str) -> float:
    fit = 1.0 - 0.2 * kinds.index(mention.kind)
    if mention.before and set(mention.before[:2]) & role.prepositions:
        fit += 1.0
    elif mention.before and mention.before[0] in role.other_prepositions:
        fit -= 0.5
    fit += 0.5 * _nearness(mention, wanted)
    if mention.kind == "name" and mention.start == 0 and " " not in mention.text:
        fit -= 0.3  # it may be capitalised because it comes first
    return fit
