"""Who may run a tool that writes: the person at the terminal, `--yes`, or nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_bedrock.app.conversations.tool_approval import DECLINED, call_text
from llama_bedrock.cli.output import note
from llama_bedrock.cli.session.input_lines import choose, is_interactive

_NOBODY = "Refused: nobody can be asked to approve this call. Do not try it again; say that it was not done."


class Approver:
    """Decides about calls that a HumanInTheLoopMiddleware stopped.

    Attributes:
        refused: Whether a call was refused because nobody could be asked.
    """

    def __init__(self) -> None:
        self.refused = False
        self._always: set[str] = set()

    def decide(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """A decision for each call of an interrupt, in order."""
        return {"decisions": [self._decide(action) for action in question["action_requests"]]}

    def _decide(self, action: Mapping[str, Any]) -> dict[str, str]:
        name = action["name"]
        if name in self._always:
            return {"type": "approve"}
        if not is_interactive():
            self.refused = True
            call = call_text(name, action["args"])
            note(f"refused: {call} may write, and nobody can be asked; --yes allows it")
            return {"type": "reject", "message": _NOBODY}
        note(f"{call_text(name, action['args'])} may write.", breaks=False)
        answer = choose("Run it? yes, always, no", "yan")
        if answer == "a":
            self._always.add(name)
        return {"type": "reject", "message": DECLINED} if answer == "n" else {"type": "approve"}
