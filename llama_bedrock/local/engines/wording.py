"""Values told from the wording around them: "name: value", an enumeration, what a request searches for."""

from __future__ import annotations

import re

from llama_bedrock.local.engines.lexicon import words

_REQUEST = re.compile(
    r"^(?:please|can you|could you|would you|i (?:want|need|would like)(?: you)? to|i'd like to|now|then|"
    r"also|and|use the (?:\w+ )?tool to|using the (?:\w+ )?tool,?)\s+",
    re.IGNORECASE,
)
_SEARCH_VERB = re.compile(
    r"^(?:search|look up|find|google|retrieve|look)"
    r"(?: (?:for|up|in|through|the (?:documents?|web|internet|docs)(?: for)?|me|out))*\s+",
    re.IGNORECASE,
)
_AFTER_VERB = re.compile(
    r"\b(?:that|saying|says|say|text|message|note|follows|translate|summarize|summarise)\b:?\s+(.+)",
    re.DOTALL,
)


def after_verb(text: str) -> str | None:
    """What follows "saying", "that" or the like."""
    match = _AFTER_VERB.search(text)
    return match[1].strip() if match else None


def stated(text: str, name: str) -> str | None:
    """What follows the name of a field with a colon, an equals sign or "is"."""
    spoken = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", name) if part)
    if not spoken or len(name) < 2:
        return None
    quoted = re.search(rf"\b{spoken}\b\s+[\"'“]([^\"'”\n]+)[\"'”]", text, re.IGNORECASE)
    if quoted:
        return quoted[1].strip()
    match = re.search(
        rf"\b{spoken}\b\s*(?:[:=]|\bis\b|\bare\b)\s*[\"'“]?([^\"'”\n,;]+?)[\"'”]?(?=[,;\n]|\.\s|\.?\Z)",
        text,
        re.I,
    )
    return match[1].strip() if match else None


def listed(text: str, name: str, description: str) -> list[str]:
    """The parts of an enumeration that follows a colon, or one of the field's words."""
    match = re.search(r":\s*([^.:\n]+(?:,|\band\b)[^.:\n]+)", text)
    if not match:
        for word in [*name.split("_"), *words(description)]:
            match = re.search(
                rf"\b{re.escape(word)}s?\s+([^.:\n]+(?:,|\band\b)[^.:\n]+)", text, re.IGNORECASE
            )
            if match:
                break
    if not match:
        return []
    parts = re.split(r",\s*(?:and\s+|or\s+)?|\s+and\s+|\s+or\s+", match[1].strip(" ."))
    return [part.strip("\"' ") for part in parts if part.strip("\"' ")]


def query(text: str) -> str:
    """A request as a search would be given it: without the words that only ask for the search."""
    query = " ".join(text.split())
    for pattern in (_REQUEST, _REQUEST, _SEARCH_VERB):
        query = pattern.sub("", query, count=1)
    return query.strip() or text


def matches(pattern: str, text: str) -> bool:
    """Whether a schema's ``pattern`` is in a text; one that Python cannot read counts as fulfilled."""
    try:
        return re.search(pattern, text) is not None
    except re.error:
        return True


def first_match(pattern: str, text: str) -> str | None:
    """The first part of a text that a schema's ``pattern`` describes."""
    try:
        match = re.search(pattern.removeprefix("^").removesuffix("$"), text)
    except re.error:
        return None
    return match[0] if match and match[0] else None
