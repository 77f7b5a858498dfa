"""What a check of `llama-bedrock doctor` found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.text import Text

State = Literal["ok", "note", "broken"]

_MARKS: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "note": ("·", "yellow"),
    "broken": ("✗", "bold red"),
}


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check found.

    Attributes:
        name: What was checked.
        state: ``"ok"``; ``"note"``, worth knowing; or ``"broken"``, has to be mended.
        found: What is the case, and what to do where it is not good.
    """

    name: str
    state: State
    found: str

    def to_dict(self) -> dict[str, Any]:
        """The result as JSON-able values."""
        return asdict(self)

    def head(self) -> Text:
        """What was checked and how it is, for a terminal."""
        from rich.text import Text

        mark, style = _MARKS[self.state]
        return Text.assemble((mark, style), f" {self.name:<12} ")
