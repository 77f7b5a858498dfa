"""A claim, taken apart: what each part of it says that a document would have to say, too."""

from __future__ import annotations

import re
from dataclasses import dataclass

from llama_bedrock.grounding.claim_words import Word, content_words, words
from llama_bedrock.grounding.clauses import leading_name, names_in, split_clauses, subject_of
from llama_bedrock.grounding.meaning import NEGATING, Polarity, bounds, denied, is_general, polarity
from llama_bedrock.grounding.quantities import Quantity, is_unit, quantities

_NUMBER_WEIGHT = 2.0
_GENERAL_WEIGHT = 0.4
_CODE = re.compile(r"`+([^`\n]+)`+")
_IDENTIFIER = re.compile(
    r"(?<![\w-])--[a-z][\w-]+|\b[A-Za-z]\w*(?:_\w+)+|\b[a-z]+[A-Z]\w*|\b[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+\(|"
    r"\b\w+\(\)|https?://[^\s)\]>]+|[\w.+-]+@[\w-]+\.\w+"
)
_ENUMERATOR = re.compile(r"(^\s*)\d{1,2}\.\s+(?=\S)|(?<=\s)\(?\d{1,2}\)\s+(?=\S)")
_LEADING = re.compile(
    r"\W*(?:(?:and|but|while|whereas|so)\s+)?(?:(?:the|an?|every|each|all|no|die|der|das|le|la|les|el|los|las)\s+)?\W*",
    re.IGNORECASE,
)
_ARGUMENT = re.compile(r"\b[A-Za-z_]\w*\s*=\s*(?:'[^']*'|\"[^\"]*\"|[\w.-]+)")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a claim.

    Attributes:
        text: As written.
        words: All words of it.
        weights: What each content word counts, by form.
        numbers: With their units.
        names: Forms of its capitalised words.
        leading_name: Forms of the capitalised words it begins with.
        acronyms: Those of them that are written in capitals: "API", "AWS".
        subject: Form of its first content word, if it does not begin with a pronoun.
        subject_leads: Nothing but an article stands before the subject, which is no form such as "using".
        polarity: Whether it denies, by itself or by the line above its list.
        denied: Forms of the words that the negation is about.
        bounds: The kinds of bounds of its numbers.
        literals: Code and identifiers that must stand in the document as they are.
    """

    text: str
    words: tuple[Word, ...]
    weights: dict[str, float]
    numbers: tuple[Quantity, ...]
    names: frozenset[str]
    leading_name: frozenset[str]
    acronyms: frozenset[str]
    subject: str | None
    subject_leads: bool
    polarity: Polarity
    denied: frozenset[str]
    bounds: frozenset[str]
    literals: tuple[str, ...]

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return sum(self.weights.values())


def read_parts(claim: str, lead: str = "") -> list[Part]:
    """The parts of a claim that say something.

    Args:
        claim: A statement, a list item or a row, without marks.
        lead: The line that leads the list it is from, if it is from one: "It does not support:".
    """
    claim = _ENUMERATOR.sub("", claim)
    pieces: list[str] = []
    for start, end in split_clauses(claim):
        piece = claim[start:end]
        thin = len(content_words(piece)) < 2 and not polarity(piece).is_negated and not quantities(piece)
        if pieces and (thin or (len(content_words(pieces[-1])) < 2 and not polarity(pieces[-1]).is_negated)):
            pieces[-1] += piece
        else:
            pieces.append(piece)
    parts = [_part(piece, lead) for piece in pieces]
    return [part for part in parts if part.weights or part.literals]


def _part(text: str, lead: str) -> Part:
    found = [w for w in content_words(text) if w.form not in NEGATING and not is_unit(text, w)]
    subject = subject_of(text, found)
    first = next((word for word in found if word.form == subject), None)
    literals = [*_literals(text)]
    return Part(
        text,
        tuple(words(text)),
        {word.form: _weight(word) for word in found},
        tuple(quantities(text)),
        names_in(text),
        leading_name(text),
        frozenset(word.form for word in found if text[word.start : word.end].isupper()),
        subject,
        first is not None
        and _LEADING.fullmatch(text[: first.start]) is not None
        and not text[: first.end].endswith("ing"),
        polarity(_CODE.sub(" ", text)).under(polarity(lead)),
        frozenset(w.form for w in content_words(denied(text)) if w.form not in NEGATING),
        bounds(_CODE.sub(" ", text)),
        tuple(dict.fromkeys(literals)),
    )


def _weight(word: Word) -> float:
    return _NUMBER_WEIGHT if word.is_number else _GENERAL_WEIGHT if is_general(word.form) else 1.0


def _literals(text: str) -> list[str]:
    found: list[str] = []
    for match in _CODE.finditer(text):
        inner = match[1].strip()
        arguments = _ARGUMENT.findall(inner)
        called = re.match(r"[\w.]+\(", inner)
        found += [called[0]] if called else [] if arguments else [inner]
        found += arguments
    found += [match[0].rstrip(".,;:") for match in _IDENTIFIER.finditer(_CODE.sub(" ", text))]
    return found


def holds_literal(text: str, literal: str) -> bool:
    """Whether code stands in a text, whatever the white space and the quotes."""
    wanted = re.sub(r"\s+", "", literal).replace('"', "'").removesuffix("()").casefold()
    there = re.sub(r"\s+", "", text).replace('"', "'").casefold()
    at = there.find(wanted)
    while at >= 0:
        after = there[at + len(wanted) : at + len(wanted) + 1]
        inside = re.match(r"[\w]", after) and re.match(r"[\w]", wanted[-1])
        if not inside or not re.match(r".*\d$", wanted):
            return True
        at = there.find(wanted, at + 1)
    return False
