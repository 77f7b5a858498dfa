"""The seam of verification: claims go in, verdicts come out, any LangChain runnable may stand between."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from langchain_core.documents import Document
from langchain_core.runnables import Runnable


@dataclass(frozen=True, slots=True)
class Claim:
    """A statement of an answer, with what it is said to rest on.

    Attributes:
        statement: One statement, without citation marks.
        passages: The documents that it cites, as the model saw them.
        question: What was asked.
        lead: The sentence before it, or the line above the list of which it is an item: what "it" and "these"
            stand for.
    """

    statement: str
    passages: Sequence[Document]
    question: str = ""
    lead: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verifier says of a claim.

    Attributes:
        supported: True or False; None where it was not decided, which is no "no".
        score: How much speaks for the claim, 0 to 1; from 0.5 it is rather supported. None without one.
        passage: Index of the passage that backs it; None where none was singled out.
        span: Start and end of the backing place in the text of that passage.
        reason: Why, in a few words for people.
        by: Name of the verifier that decided, such as ``"words"``.
    """

    supported: bool | None = None
    score: float | None = None
    passage: int | None = None
    span: tuple[int, int] | None = None
    reason: str = ""
    by: str = ""


Verifier: TypeAlias = Runnable[list[Claim], list[Verdict]]
"""Takes all claims of an answer, gives one verdict for each, in their order."""


def checked(verdicts: Any, count: int, verifier: object) -> list[Verdict]:
    """The verdicts of a verifier, one for each of ``count`` claims.

    Raises:
        TypeError: They are none.
        ValueError: There are more or fewer of them than claims.
    """
    name = type(verifier).__name__
    if not isinstance(verdicts, (list, tuple)) or not all(isinstance(v, Verdict) for v in verdicts):
        raise TypeError(f"the verifier {name} must give a list of Verdict, not {type(verdicts).__name__}")
    if len(verdicts) != count:
        raise ValueError(f"the verifier {name} gave {len(verdicts)} verdicts for {count} claims")
    return list(verdicts)
