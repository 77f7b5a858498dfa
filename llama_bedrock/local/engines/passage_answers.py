"""Answers out of passages: the sentences that fit a question best, each with its mark; or that there is none.

Nothing is generated. BM25 ranks the sentences, list items, table rows and blocks of code of all passages,
their headings and neighbours with them, and those of the first passages are preferred: the best are taken
until the length of an answer is reached. On cookbook-docs such answers hold .06 to .1 more of the reference
answers than as many words from the beginning of the best passage; that holds for any weights near these. How
much of a question a passage must hold was set on every second question there: 4 % of those that have an
answer are refused wrongly, and a quarter of those whose documents were taken away are refused rightly, on the
other questions too. At the same 4 %, the best sentence's BM25 score refuses 6 % rightly, its share of the
question's words a fifth. Weights of a whole corpus, which no prompt has, would reach 29 to 38 %.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Literal

from llama_bedrock.local.engines.pieces import forms
from llama_bedrock.prompts.passages import NO_ANSWER, Passage
from llama_bedrock.text import language_of, sentences, words

_OWN_WEIGHT = 4  # times that a unit's own words count, where those of its heading and neighbours count once
_RANK_PRIOR = (0.4, 0.2, 0.1)  # the retriever knows more than the words
_NAME_WEIGHT = 1.5  # of names and numbers; other words of a question weigh 1
_NEEDED = 0.5
# Words of an answer; share of the best unit's worth that is worth saying.
_LONG_ANSWER = (130, 0.25)
_SHORT_ANSWER = (50, 0.75)  # where one fact is asked for
_LONG_CODE = 60  # words; of a longer block of code nobody reads an answer
_SHORT_QUESTION = 14  # words
_LIST_ITEMS = 12  # that follow a sentence with a colon
_ONE_FACT = re.compile(
    r"\s*(?:how (?:many|much|long|often|old|big|large|high|far)|when|who|where|(?:in )?wh(?:at|ich) "
    r"(?:year|date|day|city|region))\b",
    re.IGNORECASE,
)
_NAMES = re.compile(r"(?<!^)\b[A-Z][\w-]*|\b\w*\d[\w.]*|\b\w+_\w+")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_HEADING = re.compile(r"\s{0,3}#{1,6}\s+(.*?)\s*#*\s*\Z")
_RULE = re.compile(r"\s*([=\-~^\"'`*+#])\1{2,}\s*\Z|[\s|:\-+=]+\Z")
_ITEM = re.compile(r"\s*(?:[-*+•‣◦·]|\(?\d{1,3}[.)]|[a-zA-Z][.)])\s+(?=\S)")
_ROW = re.compile(r"\s*\|.*\|")
_STARTS = (_FENCE, _HEADING, _RULE, _ITEM, _ROW)
_BROKEN_LINE = 60  # characters; a shorter line that is followed by a capital was ended on purpose
_LISTED = ("item", "row", "code")
_MARK = re.compile(r"\s?\[\d+(?:,\s*\d+)*\]")


@dataclass(slots=True)
class Unit:
    """A piece of a passage that can be quoted."""

    text: str  # as it stands there, white space as single spaces (code: unchanged)
    kind: Literal["prose", "item", "row", "code", "heading"]
    heading: str  # the title of the passage and the nearest heading; for a row also the names of its columns
    block: int  # number of the paragraph, list, table or code block it belongs to
    number: int  # of the passage


def answer_from_passages(question: str, passages: Sequence[Passage]) -> str:
    """An answer with citation marks, list items and rows a line each; NO_ANSWER where there is none."""
    text = ""
    for unit in find_answer(question, passages):
        mark = f"[{unit.number}]"
        if unit.kind == "code":
            text += f"{chr(10) if text else ''}```\n{unit.text}\n```\n{mark}\n"
            continue
        is_line = unit.kind in ("item", "row")
        separator = "" if not text or text.endswith("\n") else "\n" if is_line else " "
        text += f"{separator}{_MARK.sub('', unit.text).strip()} {mark}" + ("\n" if is_line else "")
    return text.strip() or NO_ANSWER


def find_answer(question: str, passages: Sequence[Passage]) -> list[Unit]:
    """The units that answer a question, in reading order; none where the passages do not hold the answer."""
    language = language_of("\n".join([question, *(passage.text for passage in passages)]))
    asked = dict.fromkeys(forms(question, language) or [word.form for word in words(question, language)], 1.0)
    asked.update(
        (form, _NAME_WEIGHT) for form in forms(" ".join(_NAMES.findall(question)), language) if form in asked
    )
    units = [
        unit
        for passage in sorted(passages, key=lambda passage: passage.number)
        for unit in split_units(passage)
        if question.strip() not in unit.text
    ]
    own = [forms(unit.text, language) for unit in units]
    if not asked or not any(own):
        return []
    held: dict[int, set[str]] = {}  # by each passage
    for unit, said in zip(units, own, strict=True):
        held.setdefault(unit.number, set()).update(said, forms(unit.heading, language))
    needed = _NEEDED + 0.3 * math.exp(-(len(asked) - 1) / 2.5)  # more of a short question must be there
    covered = max(sum(asked[form] for form in asked.keys() & forms_held) for forms_held in held.values())
    if covered < needed * sum(asked.values()):
        return []
    scores = _bm25(list(asked), units, own, language)
    priors = dict(zip(held, _RANK_PRIOR, strict=False))
    worth: dict[int, float] = {}
    said_before: set[str] = set()  # passages overlap
    for at, unit in enumerate(units):
        if unit.kind == "row" or unit.text not in said_before:
            worth[at] = _quality(unit) * scores[at] * (1 + priors.get(unit.number, 0.0))
        said_before.add(unit.text)
    return [units[at] for at in sorted(_chosen(question, units, worth))]


def _bm25(asked: list[str], units: Sequence[Unit], own: Sequence[list[str]], language: str) -> list[float]:
    """The score of each unit."""
    headings = {unit.heading: forms(unit.heading, language) for unit in units}
    documents = []
    for at, unit in enumerate(units):
        beside = [n for n in (at - 1, at + 1) if 0 <= n < len(units) and units[n].number == unit.number]
        near = [form for n in beside for form in set(own[n])]
        documents.append(Counter(own[at] * _OWN_WEIGHT + headings[unit.heading] + near))
    return bm25(asked, documents)


def bm25(
    asked: Sequence[str], documents: Sequence[Counter[str]], k1: float = 1.2, b: float = 0.5
) -> list[float]:
    """The score of each document, as Lucene and bm25s compute it.

    A library would take longer to import than the few hundred sentences of a question take.
    """
    lengths = [document.total() for document in documents]
    average = sum(lengths) / len(lengths)
    scores = [0.0] * len(documents)
    for form in asked:
        counts = [document[form] for document in documents]
        held = len(counts) - counts.count(0)
        weight = math.log(1 + (len(counts) - held + 0.5) / (held + 0.5))
        for at, count in enumerate(counts):
            if count:
                scores[at] += weight * count / (count + k1 * (1 - b + b * lengths[at] / average))
    return scores


def _quality(unit: Unit) -> float:
    """What the shape of a unit says about its worth as an answer."""
    if unit.kind == "heading" or (unit.kind == "code" and len(unit.text.split()) > _LONG_CODE):
        return 0.2
    if unit.text.endswith("?") or (unit.kind == "row" and unit.heading.endswith(unit.text)):
        return 0.3  # a question, or the names of the columns
    return 0.5 if unit.kind == "code" else 1.0


def _chosen(question: str, units: Sequence[Unit], worth: dict[int, float]) -> set[int]:
    """The units of most worth, up to the length of an answer.

    What introduces a list brings the list along, a row its columns.
    """
    is_short = _ONE_FACT.match(question) and len(question.split()) <= _SHORT_QUESTION
    longest, share = _SHORT_ANSWER if is_short else _LONG_ANSWER
    ranked = sorted(worth, key=worth.__getitem__, reverse=True)
    chosen: set[int] = set()
    length = 0
    for best in ranked:
        if length >= longest or worth[best] < share * worth[ranked[0]]:
            break
        if best in chosen or (chosen and length + len(units[best].text.split()) > longest):
            continue
        for at in (best, *_introduced(units, best)):
            if at not in chosen and (at == best or length <= longest + 40):
                chosen.add(at)
                length += len(units[at].text.split())
    for row in [units[at] for at in chosen if units[at].kind == "row"]:
        chosen.add(next(n for n in worth if (units[n].number, units[n].block) == (row.number, row.block)))
    return chosen


def _introduced(units: Sequence[Unit], at: int) -> range:
    """The places of the list, table or code that a unit ending in a colon introduces."""
    following = units[at + 1 : at + 1 + _LIST_ITEMS] if units[at].text.endswith(":") else ()
    items = takewhile(lambda unit: unit.number == units[at].number and unit.kind in _LISTED, following)
    return range(at + 1, at + 1 + len(list(items)))


def split_units(passage: Passage) -> list[Unit]:
    """Cut a passage into what an answer can be made of.

    Works on plain text, Markdown and reStructuredText, and on text extracted from HTML and PDF, whose lines
    may be broken anywhere.
    """
    units: list[Unit] = []
    title = passage.title or ""
    heading = title
    columns = ""
    block = at = 0
    lines = passage.text.split("\n")
    while at < len(lines):
        line = lines[at]
        end = at + 1
        marked = _HEADING.match(line)
        if _FENCE.match(line):
            end = next((n for n in range(at + 1, len(lines)) if _FENCE.match(lines[n])), len(lines))
            code = "\n".join(lines[at + 1 : end]).strip("\n")
            if code.strip():
                units.append(Unit(code, "code", heading, block, passage.number))
            end += 1
            block += 1
        elif not line.strip():
            block, columns = block + 1, ""
        elif _RULE.match(line):
            pass
        elif marked:
            heading = f"{title} {marked[1]}"
            units.append(Unit(marked[1], "heading", heading, block, passage.number))
            block += 1
        elif _ROW.match(line):
            row = " ".join(line.split())
            columns = columns or row
            units.append(Unit(row, "row", f"{heading} {columns}", block, passage.number))
        else:
            # Lines that were one paragraph before they were broken; a short one was ended on purpose.
            while end < len(lines) and lines[end].strip() and not any(s.match(lines[end]) for s in _STARTS):
                if not lines[end].lstrip()[:1].islower() and len(lines[end - 1]) < _BROKEN_LINE:
                    break
                end += 1
            kind: Literal["item", "prose"] = "item" if _ITEM.match(line) else "prose"
            text = " ".join(" ".join(lines[at:end]).split())
            units += [Unit(text[a:b], kind, heading, block, passage.number) for a, b in sentences(text)]
        at = end
    return units
