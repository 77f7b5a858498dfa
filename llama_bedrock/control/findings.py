"""What a check before an upload has found: one line for each thing, with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Level: TypeAlias = Literal["error", "warning", "note"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check has found.

    Attributes:
        level: ``"error"`` where the job would fail or the model be useless, ``"warning"`` where it may
            surprise, ``"note"`` for what is good to know.
        where: The file, with the line where there is one.
        what: What is wrong.
        fix: What to do about it.
    """

    level: Level
    where: str
    what: str
    fix: str = ""

    def __str__(self) -> str:
        return f"{self.level}: {self.where}: {self.what}" + (f"; {self.fix}" if self.fix else "")


def errors_of(findings: Iterable[Finding]) -> list[Finding]:
    """Those that stop a job."""
    return [finding for finding in findings if finding.level == "error"]


def refuse_errors(what: str, findings: Iterable[Finding]) -> None:
    """Raise what would make a job fail, before anything is sent.

    Raises:
        ValueError: There are errors; it lists them.
    """
    errors = errors_of(findings)
    if errors:
        lines = "\n".join(str(finding) for finding in errors)
        raise ValueError(f"{what} would fail, and nothing was uploaded:\n{lines}")
