"""How a turn looks while it runs: the answer on stdout, tool calls and remarks on stderr."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from llama_bedrock.cli.output import counted, note, note_part
from llama_bedrock.cli.session.answer_writer import answer_writer
from llama_bedrock.prompts.passages import EchoFilter

if TYPE_CHECKING:
    from langchain_core.messages import ToolMessage

    from llama_bedrock.grounding.answers import RagAnswerChunk

_LONGEST_CALL = 400
_LONGEST_RESULT = 160


class Screen(Protocol):
    """Shows one turn.

    Attributes:
        modes: LangGraph's stream modes that it shows.
        partial: What was written of the model's newest message.
    """

    modes: ClassVar[tuple[str, ...]]
    partial: str

    def show(self, mode: str, data: Any) -> None:
        """Show what the graph streams."""

    def end(self) -> None:
        """End the line."""


class AgentScreen:
    """Shows an agent's turn: its words and its tool calls as they come, and the results of the calls.

    Attributes:
        was_cut: Whether the model reached the most tokens of an answer.
    """

    modes: ClassVar[tuple[str, ...]] = ("messages",)

    def __init__(self, plain: bool = False) -> None:
        self.partial = ""
        self.was_cut = False
        self._message_id: str | None = None
        self._echo = EchoFilter()
        self._answer = answer_writer(plain)
        self._call = _ShownCall()

    def show(self, mode: str, data: Any) -> None:
        """Show a part of a message; `data` is the message and LangGraph's metadata of it."""
        from langchain_core.messages import AIMessage, AIMessageChunk, ToolMessage

        if mode != "messages":
            return
        message, _ = data
        if isinstance(message, AIMessageChunk):
            if message.id != self._message_id:
                self.end()
                self._message_id = message.id
            self._say(message.text)
            self.was_cut |= message.response_metadata.get("stop_reason") == "length"
            for part in message.tool_call_chunks:
                self._end_answer()
                self._call.feed(part.get("index"), part.get("name"), part.get("args"))
        elif isinstance(message, ToolMessage):
            self.end()
            sign = "✗" if message.status == "error" else "←"
            note(f"{sign} {message.name}: {_result(message)}", breaks=False)
        elif isinstance(message, AIMessage):  # a whole one: of middleware, such as "I stopped because …"
            self.end()
            self._say(message.text)

    def end(self) -> None:
        """End the line of the answer or the call, whatever state it is in."""
        self._end_answer()
        self._call.end()
        self.partial = ""

    def _say(self, text: str) -> None:
        if text:
            self._call.end()
            self.partial += text
            self._answer.feed(self._echo.feed(text))

    def _end_answer(self) -> None:
        self._answer.feed(self._echo.close())
        self._answer.end()


class _ShownCall:
    """A tool call that is being written: shown piece by piece in a terminal, else as a line when it ends."""

    def __init__(self) -> None:
        self._is_live = sys.stderr.isatty()
        self._index: Any = None
        self._text = ""

    def feed(self, index: Any, name: str | None, arguments: str | None) -> None:
        """Take a part of a call; another index begins the next call."""
        if self._text and index != self._index:
            self.end()
        piece = (arguments or "") if self._text else f"→ {name or ''}({arguments or ''}"
        self._index = index
        self._text += piece
        if self._is_live:
            note_part(piece)

    def end(self) -> None:
        """End the line of the call, if there is one."""
        if self._text:
            if self._is_live:
                note_part(")\n")
            else:
                note(shortened(f"{self._text})", _LONGEST_CALL))
        self._text = ""


class DocumentsScreen:
    """Shows the answer of a RAG chain, and keeps it for what is shown below it.

    Attributes:
        answer: The sum of what was shown.
    """

    modes: ClassVar[tuple[str, ...]] = ("custom",)

    def __init__(self, plain: bool = False) -> None:
        from llama_bedrock.grounding.answers import RagAnswerChunk

        self._writer = answer_writer(plain)
        self.answer: RagAnswerChunk = RagAnswerChunk()
        self.partial = ""

    def show(self, mode: str, data: Any) -> None:
        """Show a part of the answer."""
        if mode == "custom":
            self._writer.feed(data.text)
            self.partial += data.text
            self.answer = self.answer + data

    def end(self) -> None:
        """End the line of the answer."""
        self._writer.end()
        self.partial = ""


def _result(message: ToolMessage) -> str:
    """A tool's result on one line: passages of a search are counted, not shown."""
    found = message.artifact
    if isinstance(found, list) and found and message.status != "error":
        return counted(len(found), "passage")
    return shortened(message.text, _LONGEST_RESULT)


def shortened(text: str, longest: int) -> str:
    """A text on one line, and no longer than that."""
    line = " ".join(text.split())
    return line if len(line) <= longest else f"{line[:longest]} …"
