"""What a question asks for: its words, its names, and the kind of answer."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_bedrock.local.engines.lexicon import STOP_WORDS, stem, terms, words

_KINDS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        ("amount", r"\bhow (?:many|much|long|often|old|far|big|large|high|tall|fast)\b|\bwhat (?:is|was) the (?:\w+ )?"
                   r"(?:number|amount|price|cost|size|limit|percentage|maximum|minimum|length|population)\b"),
        ("time", r"\bwhen\b|\bwhat (?:year|date|day|month|time)\b|\bsince when\b"),
        ("person", r"\bwho(?:m|se)?\b"),
        ("place", r"\bwhere\b|\bwhat (?:city|country|place|region)\b"),
        ("reason", r"\bwhy\b|\bwhat (?:is|was) the (?:reason|cause|purpose)\b|\bhow come\b"),
        ("method", r"\bhow (?:can|do|does|should|would|could|to|is|are|did)\b|\bsteps?\b|\bwhat should\b"),
        ("list", r"\b(?:which|what|list|name)\b.{0,40}\b(?:are|types|kinds|ways|steps|examples|options|benefits|"
                 r"advantages|factors|metrics|models|languages|tools|features|\w+s)\b"),
    )
)  # fmt: skip
_CUES = {
    "amount": re.compile(r"\d|\b(?:one|two|three|four|five|six|seven|eight|nine|ten|dozen|hundred|thousand|million|"
                         r"half|twice|unlimited|no limit)\b", re.IGNORECASE),
    "time": re.compile(r"\b(?:1[0-9]{3}|20[0-9]{2})\b|\b(?:january|february|march|april|may|june|july|august|september|"
                       r"october|november|december|monday|tuesday|wednesday|thursday|friday|saturday|sunday|today|"
                       r"yesterday|tomorrow|century|\d{1,2}:\d{2})\b|\b\d+ (?:days?|weeks?|months?|years?|hours?)\b",
                       re.IGNORECASE),
    "person": re.compile(r"\b[A-Z][a-z]+ (?:[A-Z]\. )?[A-Z][a-z]+\b|\b(?:he|she|by the|team|founder|author)\b"),
    "place": re.compile(r"\b(?:in|at|on|near|from) (?:the )?[A-Z]\w+|\b(?:page|tab|section|menu|folder|file|console)\b"),
    "reason": re.compile(r"\b(?:because|since|so that|due to|as a result|therefore|in order to|reason|ensures?|"
                         r"allows?|helps?|enables?|prevents?|avoids?)\b", re.IGNORECASE),
    "method": re.compile(r"\b(?:use|using|click|run|call|set|add|create|specify|provide|include|pass|step|first|then|"
                         r"by \w+ing|you can|should|must|need to|to \w+,)\b", re.IGNORECASE),
    "list": re.compile(r"(?:,[^,]+){2,}|\band\b.*,|:\s*\Z|^\s*[-*•]"),
}  # fmt: skip
_CODE = re.compile(
    r"\b(?:code|snippet|command|syntax|example|write|call|import|install|config)\b", re.IGNORECASE
)
_LONG = re.compile(r"\b(?:explain|describe|compare|difference|differ|summari[sz]e|overview|how do|how does|and how|"
                   r"and what|and why|and which|steps|ways|factors|considerations|metrics)\b", re.IGNORECASE)  # fmt: skip
_NAME = re.compile(r"(?<![.!?]\s)(?<!^)\b[A-Z][\w\-]*(?:\.\w+)*|\b\w*\d[\w.]*|\b[a-z]+[A-Z]\w*|\b\w+_\w+")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, read.

    Attributes:
        text: As it was asked.
        terms: Stems of its words, in order, once each, without stop words.
        names: The stems among them that are names, numbers or identifiers.
        kind: What is asked for: ``amount time person place reason method list`` or ``fact``.
        statements: Most statements a good answer has.
        wants_code: Whether code can be the answer.
    """

    text: str
    terms: tuple[str, ...]
    names: frozenset[str]
    kind: str
    statements: int
    wants_code: bool

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
        statements = 4 if _LONG.search(text) else 3 if kind in ("list", "method", "reason") else 2
        return cls(
            text, tuple(dict.fromkeys(found)), frozenset(names), kind, statements, bool(_CODE.search(text))
        )

    def fits(self, statement: str) -> bool:
        """Whether a statement holds the kind of thing that is asked for."""
        cue = _CUES.get(self.kind)
        return cue is not None and cue.search(statement) is not None
