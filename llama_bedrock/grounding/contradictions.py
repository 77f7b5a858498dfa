"""Whether a place that has the words of a claim says something else with them.

Each rule looks for one way to alter a statement: another subject, the contrary, another bound, a number of
something else, a value of another column, who did it and to whom, a word exchanged.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise

from llama_bedrock.grounding.claim_parts import Part
from llama_bedrock.grounding.claim_words import STOP_WORDS, content_words
from llama_bedrock.grounding.clauses import Clause
from llama_bedrock.grounding.meaning import NEGATING, bounds_differ, is_ordered, is_swapped, opposites
from llama_bedrock.grounding.quantities import Quantity, quantities

_EXCHANGED = 0.5  # share of a part's words from which on it repeats a clause
_DETERMINER_WORDS = """
the a an in by of from for with on at to into every each all no der die das dem den im am ein eine von mit
le la les un une de du des en dans el los las una del na no da do
"""
_DETERMINERS = frozenset(_DETERMINER_WORDS.split())
_NOT_THIS = re.compile(
    r"\W*(?:no|none|never|false|nein|non|nicht|não|✗|✘|❌|–|—|-|n/a|not\b.*|un\w+)?\W*", re.IGNORECASE
)
_THIS = frozenset(("yes", "true", "ja", "oui", "sí", "sim", "✓", "✔", "✅"))
_PASSIVE = re.compile(
    r"\b(?:is|are|was|were|been|be|being|wurde|wurden|wird|fue|fueron|a été|ont été|fut)\b"
    r".*\b(?:by|von|par|por)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Place:
    """A place of a document, beside a part of a claim.

    Attributes:
        part: The part.
        core: The clause that holds most of it.
        window: That one and those that go on about the same.
        numbers: All numbers of the window and of the headings.
        there: Forms of all words of the window and of what counts as said in it.
        found: Forms of the part's words that are there.
        alike: For each word of the part the forms that can stand for it.
    """

    part: Part
    core: Clause
    window: tuple[Clause, ...]
    numbers: tuple[Quantity, ...]
    there: frozenset[str]
    found: frozenset[str]
    alike: Mapping[str, frozenset[str]]

    def holds(self, forms: frozenset[str], form: str) -> bool:
        """Whether some forms have one of the part, or what can stand for it."""
        return not forms.isdisjoint(self.alike.get(form, (form,)))

    @property
    def said(self) -> frozenset[str]:
        """The forms of the part and what can stand for them."""
        return frozenset(self.part.weights).union(*self.alike.values())


def contradicts(place: Place) -> bool:
    """Whether a place says something else with the words of a part."""
    kind = place.core.block
    rules = {
        "code": (_is_exchanged,),
        "heading": (_is_exchanged,),
        "row": (_is_of_another, _is_denied_by_its_cell, _is_in_another_column),
    }.get(kind, _OF_PROSE)
    return any(rule(place) for rule in rules)


def _is_of_another(place: Place) -> bool:
    """Whether the clause says of its own subject what the part says of another one."""
    subject = place.part.subject
    if subject is None or not place.part.subject_leads or subject in place.found:
        return False
    return place.core.subject is not None and place.core.subject not in place.said


def _is_bounded_otherwise(place: Place) -> bool:
    """Whether a number is a limit from the other side: at least for at most."""
    part = place.part
    holding = [
        c for c in place.window if c is place.core or any(n.is_backed_by(c.quantities) for n in part.numbers)
    ]
    return any(bounds_differ(part.bounds, clause.bounds) for clause in holding)


def _is_denied(place: Place) -> bool:
    """Whether only one of the two denies what both speak of, or says its opposite."""
    part, core = place.part, place.core
    flips = part.polarity.differs_from(core.polarity)
    if flips == _is_opposite(place):
        return False
    return not flips or _denies_shared(place)


def _denies_shared(place: Place) -> bool:
    """Whether a negation that only one of the two has is about words that both have."""
    if place.part.polarity.is_negated:
        about = place.part.denied
        core = place.core.content
        shared = [f for f in about if place.holds(core, f) or not opposites(f).isdisjoint(core)]
    else:
        about = place.core.denied
        said = place.said.union(*(opposites(form) for form in place.part.weights))
        shared = [f for f in about if f in said]
    return len(shared) >= 2 or 2 * len(shared) > len(about)


def _is_opposite(place: Place) -> bool:
    """Whether an odd number of words of the part stands in the clause as its opposite."""
    mine = [word.form for word in place.part.words]
    theirs = [word.form for word in place.core.words]
    flips = 0
    for form in dict.fromkeys(mine):
        if form in theirs:
            flips += is_ordered(form) and is_swapped(form, mine, form, theirs)
            continue
        for other in opposites(form) - NEGATING:
            if form not in NEGATING and other in theirs and other not in mine:
                flips += not (is_ordered(form) and is_swapped(form, mine, other, theirs))
                break
    return flips % 2 == 1


def _counts_others(place: Place) -> bool:
    """Whether a number stands there before another noun, while this noun has another number."""
    for number in place.part.numbers:
        nouns = place.alike.get(number.noun, frozenset((number.noun,)))
        equal = [q for q in place.numbers if number.is_backed_by([q])]
        others = [q for q in place.numbers if q not in equal and q.noun in nouns]
        if number.noun and others and all(q.noun and q.noun not in nouns for q in equal):
            return True
    return False


def _numbers_are_apart(place: Place) -> bool:
    """Whether a number belongs to a clause beside the one that gives another number, or to one that
    has nothing else of the part but names.
    """
    part, core = place.part, place.core
    plain = {form for form in place.alike if form not in part.names and form != part.subject}
    for number in part.numbers:
        if number.raw or number.is_word:
            continue
        holding = [clause for clause in place.window if number.is_backed_by(clause.quantities)]
        if not holding or number.form in place.core.context:
            continue
        if core not in holding and any(
            not q.raw and not q.is_backed_by(part.numbers) for q in core.quantities
        ):
            return True
        said = [clause.content | clause.context for clause in holding]
        if plain & place.found and not any(place.holds(forms, form) for forms in said for form in plain):
            return True
    return False


def _names_are_apart(place: Place) -> bool:
    """Whether a name stands only in sentences that have nothing else of the part but names and numbers."""
    part = place.part
    names = part.names | part.leading_name
    plain = [f for f in place.alike if (f not in names or f == part.subject) and f in place.found]
    for name in part.names - part.leading_name - {part.subject}:
        holding = [clause for clause in place.window if place.holds(clause.content, name)]
        if any(name in clause.leading_name for clause in holding):
            continue  # what "it" stands for in the sentences after it
        sentences = {clause.sentence for clause in holding}
        said = [c.content | c.context for c in place.window if c.sentence in sentences]
        if plain and said and not any(place.holds(forms, form) for forms in said for form in plain):
            return True
    return False


def _are_turned_round(place: Place) -> bool:
    """Whether two numbers stand side by side in the other order: 80 of 62 for 62 of 80."""
    mine = [number.form for number in place.part.numbers if not number.raw]
    theirs = [number.form for number in place.core.quantities]
    pairs = set(pairwise(theirs))
    return any((b, a) in pairs and (a, b) not in pairs and a != b for a, b in pairwise(mine))


def _changes_roles(place: Place) -> bool:
    """Whether who does it and to whom are exchanged: two names on both sides of the same verb."""
    mine = [word.form for word in place.part.words]
    theirs = [word.form for word in place.core.words]
    names = place.part.names | place.core.names | ({place.part.subject} if place.part.subject else set())
    shared = [
        form
        for form in dict.fromkeys(mine)
        if form in names and form in theirs and form in place.core.content
    ]
    verbs = [f for f in mine if f in place.alike and f not in names and f not in STOP_WORDS and f in theirs]
    passive = bool(_PASSIVE.search(place.part.text)) != bool(_PASSIVE.search(place.core.text))
    for first, second in pairwise(shared):
        between = mine[mine.index(first) : mine.index(second)]
        if not any(verb in between for verb in verbs):
            continue
        span = sorted((theirs.index(first), theirs.index(second)))
        if not any(verb in theirs[span[0] : span[1]] for verb in verbs):
            continue
        turned = theirs.index(first) > theirs.index(second)
        if turned != passive:
            return True
    return False


def _is_exchanged(place: Place) -> bool:
    """Whether the part repeats the clause with one word exchanged for another: "the dog sat on the mat"."""
    mine = [word.form for word in place.part.words]
    theirs = [word.form for word in place.core.words]
    codes = SequenceMatcher(None, mine, theirs, autojunk=False).get_opcodes()
    same = sum(a2 - a1 for tag, a1, a2, _, _ in codes if tag == "equal")
    if same < _EXCHANGED * len(mine):
        return False
    for n, (tag, a1, a2, b1, b2) in enumerate(codes):
        if tag != "replace":
            continue
        new = [
            f
            for f in mine[a1:a2]
            if _is_word(f) and f in place.part.weights and not place.holds(place.there, f)
        ]
        old = [f for f in theirs[b1:b2] if _is_word(f) and f not in place.said]
        if len(new) == len(old) == 1 and _is_noun(mine, mine.index(new[0], a1), is_last=n == len(codes) - 1):
            return True
    return False


def _is_word(form: str) -> bool:
    return form not in STOP_WORDS and not form[:1].isdecimal()


def _is_noun(forms: list[str], at: int, *, is_last: bool) -> bool:
    """Whether a word stands where nouns do: at the end, or after an article or a preposition."""
    return is_last or at == len(forms) - 1 or (at > 0 and forms[at - 1] in _DETERMINERS)


def _columns(core: Clause) -> list[tuple[frozenset[str], str]]:
    """The words above each cell of a row but the first, and the cell."""
    above, cells = (
        [cell.strip() for cell in row.strip().strip("|").split("|")] for row in (core.columns, core.text)
    )
    return [(frozenset(w.form for w in content_words(a)), c) for a, c in zip(above, cells, strict=False)][1:]


def _is_denied_by_its_cell(place: Place) -> bool:
    """Whether the part affirms what the cell of that column denies, or the other way round."""
    if place.core.columns == place.core.text:
        return False
    for above, cell in _columns(place.core):
        asked = [form for form in place.alike if place.holds(above, form)]
        denies = bool(cell) and _NOT_THIS.fullmatch(cell) is not None
        affirms = cell.lower().strip("*_ ") in _THIS
        if asked and (denies or affirms) and denies != place.part.polarity.is_negated:
            return True
    return False


def _is_in_another_column(place: Place) -> bool:
    """Whether a number stands in a column that the part does not speak of, while it speaks of another one."""
    columns = _columns(place.core)
    asked = [above for above, _ in columns if any(place.holds(above, form) for form in place.alike)]
    for number in place.part.numbers:
        above = [names for names, cell in columns if number.is_backed_by(quantities(cell))]
        if asked and above and not any(names in asked for names in above):
            return True
    return False


_OF_PROSE = (
    _is_of_another,
    _is_bounded_otherwise,
    _is_denied,
    _counts_others,
    _numbers_are_apart,
    _names_are_apart,
    _are_turned_round,
    _changes_roles,
    _is_exchanged,
)
