"""A program in a real terminal, and a Llama that says what the test told it to say."""

import io
import os
import re
import sys
import termios
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import pexpect
import pytest

from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

TOOLS = '''
from pathlib import Path
from langchain_core.tools import tool

def herd_size(farm: str) -> int:
    """Number of llamas on a farm."""
    return len(farm) * 7

herd_size.read_only = True

def send_mail(to: str, text: str) -> str:
    """Send a mail to somebody."""
    with Path("sent.txt").open("a") as file:
        file.write(to + "\\n")
    return f"Sent to {to}."

def slow(seconds: float) -> str:
    """Wait, then say so."""
    import time
    Path("slow-started").touch()
    time.sleep(seconds)
    return "Waited."

slow.read_only = True

@tool(extras={})
def weather(city: str) -> str:
    """Current weather of a city."""
    return f"Sunny in {city}."

weather.metadata = {"readOnlyHint": True}
BOTH = [herd_size, weather]
NUMBER = 7

def untyped(a):
    return a
'''


@dataclass
class Shown:
    """What a terminal got: with its escape sequences, and without."""

    raw: str
    code: int

    @property
    def text(self):
        links = re.sub(r"\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)", "", self.raw)
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", links)

    @property
    def lines(self):
        return self.text.splitlines()

    @property
    def final(self):
        """What stands on the screen in the end: what was drawn over is gone."""
        rows, row, column = [""], 0, 0
        parts = r"(?s)\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)|\x1b\[([0-9;?]*[a-zA-Z])|(.)"
        for escape, sign in re.findall(parts, self.raw):
            if escape and escape[-1] == "A":
                row -= int(escape[:-1] or 1)
            elif escape == "2K":
                rows[row] = ""
            elif sign == "\n":
                row, column = row + 1, 0
                rows += [""] * (row + 1 - len(rows))
            elif sign == "\r":
                column = 0
            elif sign:
                rows[row] = rows[row][:column].ljust(column) + sign + rows[row][column + 1 :]
                column += 1
        return "\n".join(line.rstrip() for line in rows).rstrip("\n")


@pytest.fixture(autouse=True)
def _own_conversations(monkeypatch, tmp_path):
    """Conversations of the tests are not those of the person who runs them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))


@pytest.fixture
def llama(monkeypatch, aws_credentials):
    """Function: answers → the server that gives them, and that the program takes for Bedrock."""
    with ExitStack() as stack:

        def start(*answers, **options):
            engine = ScriptedEngine(answers)
            server = stack.enter_context(LocalBedrock(engine, **options))
            monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", server.endpoint_url)
            return server

        yield start


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working directory of the program, with tools in `farm_tools.py`."""
    place = tmp_path / "work"
    place.mkdir()
    (place / "farm_tools.py").write_text(TOOLS)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def terminal(folder):
    """Function: arguments → the program in a pseudo-terminal of its own."""
    children = []

    def spawn(*args):
        code = "from llama_bedrock.cli.main import main; main()"
        child = pexpect.spawn(
            sys.executable,
            ["-c", code, *map(str, args)],
            encoding="utf-8",
            timeout=100,
            dimensions=(40, 200),
            env={**os.environ, "TERM": "xterm", "INPUTRC": os.devnull},
        )
        child.delaybeforesend = None
        children.append(child)
        return child

    yield spawn
    for child in children:
        child.close(force=True)


@pytest.fixture
def at_prompt():
    """Function: waits for the prompt, and returns what was shown before it, without colours."""

    def wait(child):
        child.expect(r"(?:\n|^|\x1b\[[0-9;?]*[a-z])> ")
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", child.before).replace("\r", "")

    return wait


@pytest.fixture
def reads_keys():
    """Function: waits until readline reads the program's keys. A Ctrl-C before that waits for the end of the line."""

    def wait(child):
        deadline = time.monotonic() + 60
        while termios.tcgetattr(child.child_fd)[3] & termios.ICANON and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.2)  # from there to its waiting

    return wait


@pytest.fixture
def screen(monkeypatch):
    """Function: arguments → what they show on a terminal of so many columns, with its exit code.

    In this process, on a pseudo-terminal: `isatty`, encoding and width are what a program of its own would find.
    """
    from typer.main import get_command

    from llama_bedrock.cli.main import app

    def show(*args, columns=80, encoding="utf-8", stdin="", **variables):
        for name, value in {"TERM": "xterm-256color", "COLUMNS": str(columns), **variables}.items():
            monkeypatch.setenv(name, value)
        master, slave = os.openpty()
        attributes = termios.tcgetattr(slave)
        attributes[1] &= ~termios.OPOST  # lines as they are written
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        shown = bytearray()

        def read():
            with suppress(OSError):  # the other end is closed
                while block := os.read(master, 65536):
                    shown.extend(block)

        reader = threading.Thread(target=read)
        reader.start()
        code = 0
        terminal = open(slave, "w", encoding=encoding, errors="strict", newline="")  # noqa: SIM115 - closed below
        with terminal, monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", terminal)
            patch.setattr(sys, "stderr", terminal)
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            try:
                get_command(app).main(args=list(map(str, args)), prog_name="llama-bedrock")
            except SystemExit as end:
                code = end.code or 0
        reader.join()
        os.close(master)
        return Shown(shown.decode(encoding), code)

    return show


@pytest.fixture
def final_screen():
    """Function: what a program wrote → what stands on its terminal in the end."""
    return lambda raw: Shown(raw, 0).final
