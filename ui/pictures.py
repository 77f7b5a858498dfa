"""The pictures of docs/images, by `make pictures`: the page and a terminal, of the running program."""

import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / "docs" / "images"
PROGRAM = Path(sys.executable).with_name("llama-bedrock")
QUESTION = "When does Llama 3.3 70B leave Bedrock, and what stays after that?"
COMMAND = ("ask", "examples/documents", QUESTION, "--local")
SIZES = {"light": (1280, 760), "dark": (1280, 760), "phone": (360, 720)}
COLUMNS = 100
# Rich's own has its fonts from a content network; a picture asks no server.
FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.S)


@contextmanager
def serving(home: str) -> Iterator[str]:
    """The address of `llama-bedrock ui` on the examples' documents."""
    command = [PROGRAM, "ui", "examples/documents", "--local", "--port", "0", "--no-browser"]
    environment = {**os.environ, "XDG_CACHE_HOME": home, "XDG_DATA_HOME": home, "PYTHONUNBUFFERED": "1"}
    server = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        for line in server.stdout or ():
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        raise RuntimeError("the page was not served")
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


def take_page(address: str) -> None:
    """ui-light.png, ui-dark.png and ui-phone.png."""
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name, (width, height) in SIZES.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme="dark" if name == "dark" else "light",
                reduced_motion="reduce",
            )
            page.goto(address)
            page.wait_for_selector(".questions button")
            page.fill("#question", QUESTION)
            page.press("#question", "Enter")
            page.wait_for_selector(".facts")
            if name != "phone":
                page.locator("button.mark[aria-label*='.pdf']").first.click()
                page.wait_for_selector(".source mark")
            page.wait_for_timeout(500)
            page.screenshot(path=IMAGES / f"ui-{name}.png")
        browser.close()


def take_terminal(home: str) -> None:
    """terminal.svg: what a terminal shows of a command, colours and all."""
    environment = {
        **{name: value for name, value in os.environ.items() if name != "NO_COLOR"},
        "XDG_CACHE_HOME": home,
        "XDG_DATA_HOME": home,
        "TERM": "xterm-256color",
        "COLORTERM": "truecolor",
        "COLUMNS": str(COLUMNS),
        "LINES": "40",
    }
    asked = subprocess.run(  # once before: the picture is of an index that is there
        [PROGRAM, *COMMAND],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert asked.stdout
    controller, terminal = pty.openpty()
    child = subprocess.Popen(
        [PROGRAM, *COMMAND], cwd=ROOT, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    )
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(controller, 65536):
            shown += piece
    except OSError:  # Linux: the program has ended
        pass
    if child.wait():
        sys.exit(shown.decode())
    console = Console(record=True, width=COLUMNS, file=open(os.devnull, "w"), color_system="truecolor")  # noqa: SIM115
    spoken = " ".join(f'"{part}"' if " " in part else part for part in COMMAND)
    console.print(Text.assemble(("$ ", "green"), f"llama-bedrock {spoken}"))
    console.print(Text.from_ansi(last_frame(shown.decode())))
    from rich._export_format import CONSOLE_SVG_FORMAT

    picture = console.export_svg(
        title="llama-bedrock",
        theme=MONOKAI,
        code_format=FONT_FACE.sub("", CONSOLE_SVG_FORMAT),
        unique_id="terminal",
    )
    (IMAGES / "terminal.svg").write_text(picture.rstrip() + "\n")


def last_frame(shown: str) -> str:
    """What stands on the terminal at the end: lines that were drawn over are gone."""
    lines: list[str] = [""]
    row = 0
    for token in re.findall(
        r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\r|\n|[^\x1b\r\n]+", shown
    ):
        if token == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif token == "\r":
            continue
        elif up := re.fullmatch(r"\x1b\[(\d*)A", token):
            row = max(0, row - int(up[1] or 1))
        elif re.fullmatch(r"\x1b\[[02]?K", token):
            lines[row] = ""
        elif re.fullmatch(r"\x1b\[[0-9;]*m", token) or not token.startswith("\x1b"):
            lines[row] += token
    return "\n".join(line.rstrip() for line in lines).rstrip()


def main() -> None:
    """Take the pictures."""
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as home:
        take_terminal(home)
        with serving(home) as address:
            take_page(address)


if __name__ == "__main__":
    main()
