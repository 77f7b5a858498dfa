"""What `chat` and `agent` share: lines of the user in, turns out, and the commands with a slash."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from llama_bedrock.cli.exit_codes import report
from llama_bedrock.cli.output import note
from llama_bedrock.cli.session.input_lines import is_interactive

if TYPE_CHECKING:
    from llama_bedrock import ChatLlamaBedrock
    from llama_bedrock.app.conversations.kept_thread import Graph
    from llama_bedrock.cli.backend import Backend
    from llama_bedrock.cli.session.conversation_graph import KeptConversation
    from llama_bedrock.cli.session.screen import Screen

_COMMAND = re.compile(r"/([a-z]+)(?:\s+(.*))?", re.DOTALL)  # a path such as /etc/hosts is none
_HELP = """\
/help         this list
/model [ID]   show the model, or go on with another one
/save FILE    write the conversation: Markdown, or JSON (.json)
/clear        forget the conversation
/exit         leave (also Ctrl-D)
Ctrl-C stops an answer."""


@dataclass
class Session:
    """A conversation with a person, or with a pipe.

    Attributes:
        conversation: Where the turns go.
        backend: What answers.
        make_graph: The graph of a chat model, for `/model`.
        new_screen: What shows the next turn.
        below: Shows what belongs under a turn, such as sources.
    """

    conversation: KeptConversation
    backend: Backend
    make_graph: Callable[[ChatLlamaBedrock], Graph]
    new_screen: Callable[[], Screen]
    below: Callable[[Screen], None] = lambda screen: None
    _saved: Path | None = None

    def run(self, lines: Iterable[str], *, go_on: bool = True) -> None:
        """Answer each line, until there are no more or one of them is `/exit`.

        Args:
            lines: What the user says.
            go_on: Whether in a terminal the session goes on after a turn that fails or that Ctrl-C stops. In
                a pipe it never does.
        """
        go_on = go_on and is_interactive()
        for line in lines:
            try:
                if not self._take(line):
                    return
            except KeyboardInterrupt:
                if not go_on:
                    raise
                note("Stopped.")
            except Exception as error:
                if not go_on:
                    raise
                report(error, debug=False)

    def turn(self, text: str) -> None:
        """One turn, and what belongs under it."""
        screen = self.new_screen()
        self.conversation.turn(text, screen)
        self.below(screen)

    def resume(self) -> None:
        """Go on with a turn that another process did not end."""
        screen = self.new_screen()
        self.conversation.resume(screen)
        self.below(screen)

    def _take(self, line: str) -> bool:
        """Do what a line says; False if that is to leave."""
        match = _COMMAND.fullmatch(line)
        if match is None:
            self.turn(line)
            return True
        name, argument = match[1], (match[2] or "").strip()
        if name in ("exit", "quit"):
            return False
        commands: dict[str, Callable[[str], None]] = {
            "help": lambda _: note(_HELP),
            "model": self._switch,
            "save": self._save,
            "clear": self._clear,
        }
        if name not in commands:
            raise ValueError(f"there is no command /{name}; /help lists them")
        commands[name](argument)
        return True

    def _switch(self, model: str) -> None:
        if model:
            llm = self.backend.connect(model)
            self.conversation.graph = self.make_graph(llm)
            note(f"{llm.model} answers from now on.")
        else:
            note(
                f"{self.backend.name}; /model ID goes on with another one, `llama-bedrock models` lists them."
            )

    def _save(self, name: str) -> None:
        from llama_bedrock.app.conversations.transcript import transcript

        if not name:
            raise ValueError("/save needs the name of a file")
        path = Path(name).expanduser()
        if path.exists() and path != self._saved:
            raise ValueError(f"{path} exists already; /save takes another name")
        messages = self.conversation.messages()
        path.write_text(transcript(messages, as_json=path.suffix == ".json"), encoding="utf-8")
        self._saved = path
        note(f"{path}: {len(messages)} messages")

    def _clear(self, _: str) -> None:
        self.conversation.clear()
        note("The conversation is forgotten.")


def show_cut(screen: Screen) -> None:
    """Say that the model had more to say."""
    from llama_bedrock.cli.session.screen import AgentScreen

    if isinstance(screen, AgentScreen) and screen.was_cut:
        note("The answer was cut; --max-tokens allows more.")
