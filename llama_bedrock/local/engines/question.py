"""What a question asks for: its words, its names, and the kind of answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_bedrock.local.engines.lexicon import STOP_WORDS, stem, terms, words


def _phrases(text: str) -> re.Pattern[str]:
    """A pattern for any of some phrases, which are separated by bars."""
    parts = [" ".join(part.split()) for part in text.split("|")]
    return re.compile(rf"\b(?:{'|'.join(parts)})\b", re.IGNORECASE)


_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = (
    (
        "amount",
        _phrases(
            r"""how (?:many|much|long|often|old|far|big|large|high|tall|fast) | what (?:is|was) the (?:\w+ )?
            (?:number|amount|price|cost|size|limit|percentage|maximum|minimum|length|population)"""
        ),
    ),
    ("time", _phrases("when | what (?:year|date|day|month|time) | since when")),
    ("person", _phrases("who | whom | whose")),
    ("place", _phrases("where | what (?:city|country|place|region)")),
    ("reason", _phrases("why | what (?:is|was) the (?:reason|cause|purpose) | how come")),
    ("method", _phrases("how (?:can|do|does|should|would|could|to|is|are|did) | steps? | what should")),
    ("list", _phrases(r"(?:which|what|list|name) .{0,40}\w+s")),
)
_CUES = {
    "amount": re.compile(
        r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million|half|twice|unlimited)\b",
        re.IGNORECASE,
    ),
    "time": _phrases(
        r"""1[0-9]{3} | 20[0-9]{2} | january | february | march | april | may | june | july | august
        | september | october | november | december | monday | tuesday | wednesday | thursday | friday
        | saturday | sunday | today | yesterday | tomorrow | century | \d{1,2}:\d{2}
        | \d+ (?:days?|weeks?|months?|years?|hours?)"""
    ),
    "person": re.compile(
        r"\b[A-Z][a-z]+ (?:[A-Z]\. )?[A-Z][a-z]+\b|\b(?:[Hh]e|[Ss]he|by the|team|founder)\b"
    ),
    "place": re.compile(
        r"\b(?:in|at|on|near|from) (?:the )?[A-Z]\w+|\b(?:page|tab|section|menu|folder|file)\b"
    ),
    "reason": _phrases(
        """because | since | so that | due to | as a result | therefore | in order to | reason | ensures?
        | allows? | helps? | enables? | prevents? | avoids?"""
    ),
    "method": _phrases(
        r"""use | using | click | run | call | set | add | create | specify | provide | include | pass | step
        | first | then | by \w+ing | you can | should | must | need to"""
    ),
    "list": re.compile(r"(?:,[^,]+){2,}|\band\b.*,|:\s*\Z|^\s*[-*•]"),
}
_CODE = _phrases(
    """code (?:snippet|example|sample) | (?:example|sample|source) code | snippet | command | syntax | example
    | write | call | import | install | config | how (?:do|can) (?:i|you|we)"""
)
_LONG = _phrases(
    """explain | describe | compare | difference | differ | summari[sz]e | overview | how do | how does
    | and how | and what | and why | and which | steps | ways | factors | considerations | metrics"""
)
_VERSION = re.compile(r"\b([A-Z][A-Za-z]*)[ -]?v?(\d+(?:\.\d+)*)\b")
_PARTS = re.compile(
    r"[?.;]\s+|,?\s+and\s+(?:also\s+)?(?=(?:what|how|when|where|who|why|which|is|are|does|do|can)\b)",
    re.IGNORECASE,
)
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w\-]*(?:\.\w+)*|\b\w*\d[\w.]*|\b[a-z]+[A-Z]\w*|\b\w+_\w+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read.

    Attributes:
        text: As it was asked.
        terms: Stems of its words, in order, once each, without stop words.
        names: The stems among them that are names, numbers or identifiers.
        parts: The terms of each question in it, where there are several.
        kind: What is asked for: ``amount time person place reason method list`` or ``fact``.
        length: Words a good answer has at most.
        worth: Share of the best sentence's score that another one must have to be said, too.
        wants_code: Whether code can be the answer.
        versions: Names with their numbers, as in "Llama 3.3", in lower case.
    """

    text: str
    terms: tuple[str, ...]
    names: frozenset[str]
    parts: tuple[tuple[str, ...], ...]
    kind: str
    length: int
    worth: float
    wants_code: bool
    versions: frozenset[tuple[str, str]]

    @classmethod
    def read(cls, text: str) -> Question:
        """Read a question."""
        found = terms(text)
        if not found:  # "Who are you?" has stop words only
            found = [stem(word) for word in words(text)]
        names = {
            stem(word) for match in _NAME.finditer(text) for word in words(match[0]) if word not in STOP_WORDS
        }
        kind = next((kind for kind, pattern in _KINDS if pattern.search(text)), "fact")
        is_long = _LONG.search(text) is not None
        is_short = kind in ("amount", "time", "person", "place") and not is_long
        length = 160 if is_long else 45 if is_short else 100 if kind != "fact" else 70
        worth = 0.75 if is_short else 0.35
        asked = [tuple(dict.fromkeys(terms(part))) for part in _PARTS.split(text)]
        parts = tuple(part for part in asked if len(part) > 1) if len(asked) > 1 else ()
        return cls(
            text,
            tuple(dict.fromkeys(found)),
            frozenset(names),
            parts,
            kind,
            length,
            worth,
            bool(_CODE.search(text)),
            versions_in(text),
        )

    def fits(self, statement: str) -> bool:
        """Whether a statement holds the kind of thing that is asked for."""
        cue = _CUES.get(self.kind)
        return cue is not None and cue.search(statement) is not None

    def is_about_another(self, statement: str) -> bool:
        """Whether a statement is about another version of what is asked: "Llama 3.1" where 3.3 is meant."""
        if not self.versions:
            return False
        said = set(words(statement))
        if any(number in said for _, number in self.versions):
            return False
        named = {name for name, _ in self.versions}
        return any(name in named for name, _ in versions_in(statement))


def versions_in(text: str) -> frozenset[tuple[str, str]]:
    """The pairs of a capitalised word and the number after it."""
    return frozenset((name.lower(), number) for name, number in _VERSION.findall(text))
