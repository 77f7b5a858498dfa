"""What `ask`, `chat` and others look like on terminals of several kinds; whole screens are kept in screens/.

UPDATE_SCREENS=1 writes them anew.
"""

import os
import random
import re
from importlib.metadata import version
from pathlib import Path

import pytest

from llama_bedrock.cli.session.answer_writer import block_ends

SCREENS = Path(__file__).parent / "screens"
ANSWER = """\
# Pumps

The **pump** hums at `50 Hz` [1], and it is oiled once a year by somebody who has time for it [1].
It knows <b>no</b> other tone.

| Part | Tone |
|---|---|
| pump | 50 Hz |
| fan | none |

1. Switch it off.

2. Oil it:

   ```python
   pump.oil(1)

   pump.on()
   ```

[1]: is no definition of a link; see [the manual](https://example.org/manual).
"""
PLAIN = ANSWER.rstrip("\n")


@pytest.fixture
def pump(tmp_path, monkeypatch):
    """A folder with documents, named the same in every run."""
    (tmp_path / "farm").mkdir()
    (tmp_path / "farm" / "pump.md").write_text("# Pump\n\nThe pump hums at 50 Hz. It is oiled once a year.\n")
    monkeypatch.chdir(tmp_path)
    return "farm"


def check(name, shown):
    """Compare a screen with the one that is kept."""
    text = re.sub(r"in \d+\.\d s", "in 0.0 s", shown) + "\n"
    path = SCREENS / f"{name}.txt"
    if os.environ.get("UPDATE_SCREENS"):
        path.write_text(text, "utf-8")
    if version("rich").startswith("15."):  # each draws tables and code a little differently
        assert text == path.read_text("utf-8")


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_an_answer_is_rendered_and_breaks_between_words(screen, llama, pump, columns):
    llama(ANSWER)
    shown = screen("ask", pump, "At what does the pump hum?", columns=columns)
    assert shown.code == 0
    check(f"ask-{columns}", shown.final)
    assert max(map(len, shown.final.splitlines())) <= columns


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("no-color", {"NO_COLOR": "1"}),
        ("dumb", {"TERM": "dumb"}),
        ("ascii", {"encoding": "ascii"}),
        ("cp1252", {"encoding": "cp1252"}),
        ("cp437", {"encoding": "cp437"}),
    ],
)
def test_terminals_that_have_less_are_written_for(screen, llama, pump, name, options):
    llama(ANSWER)
    shown = screen("ask", pump, "At what does the pump hum?", **options)
    assert shown.code == 0
    check(f"ask-{name}", shown.final)
    if name == "dumb":
        assert "\x1b" not in shown.raw
    if name == "no-color":
        assert not re.search(r"\x1b\[[0-9;]*(?:3[0-7]|4[0-7]|9[0-7])m", shown.raw)


def test_a_pipe_and_plain_get_the_answer_as_it_was_written(screen, llama, pump, capfd):
    from llama_bedrock.cli.main import app

    llama(ANSWER, ANSWER)
    with pytest.raises(SystemExit):
        app(["ask", pump, "At what does the pump hum?"])
    piped = capfd.readouterr().out
    assert piped.startswith(PLAIN)
    assert "\x1b" not in piped
    assert re.search(r"^\[1\] farm/pump\.md, line 3( \(.*\))?$", piped, re.M)
    assert PLAIN in screen("ask", pump, "At what does the pump hum?", "--plain").text


@pytest.mark.parametrize(
    ("options", "linked"), [({}, True), ({"TERM": "linux"}, False), ({"FORCE_HYPERLINK": "0"}, False)]
)
def test_sources_are_links_where_the_terminal_has_them(screen, llama, pump, options, linked):
    llama("It hums at 50 Hz [1].")
    shown = screen("ask", pump, "At what does the pump hum?", **options)
    address = f"{Path(pump, 'pump.md').absolute().as_uri()}\x1b\\"
    assert (address in shown.raw) is linked
    assert re.search(r"^\[1\] farm/pump\.md, line 3 (✓ supported|\? not decided)$", shown.final, re.M)


def test_the_question_comes_from_stdin(screen, llama, pump):
    engine = llama("It hums [1].", "It hums [1].").engine
    screen("ask", pump, "-", stdin="At what does\nit hum?\n")
    screen("ask", pump, stdin="At what does\nit hum?\n")
    assert [("At what does\nit hum?" in request.prompt) for request in engine.requests] == [True, True]
    assert "the question is empty" in screen("ask", pump, stdin=" \n").text


def test_a_chat_renders_its_answers_too(screen, llama, folder):
    llama("The **pump** hums.\n\n- at 50 Hz")
    shown = screen("chat", stdin="What does it do?\n")
    assert shown.final.splitlines()[-3:] == ["The pump hums.", "", " • at 50 Hz"]


def test_blocks_end_only_where_another_one_begins():
    assert block_ends("one\n\n") == []
    assert block_ends("one\n\ntwo") == [5]
    assert block_ends("1. a\n\n   b\n\n") == []
    assert block_ends("```\na\n\nb\n```\n\nc") == [14]
    assert block_ends("````\n```\n\nb") == []
    assert block_ends("~~~\n\nb\n~~~\n\n") == []


@pytest.mark.parametrize("seed", range(5))
def test_where_the_stream_is_cut_changes_nothing(seed, monkeypatch, final_screen):
    """However an answer comes, the screen is in the end as if it had come at once."""
    import io

    from rich.console import Console

    from llama_bedrock.cli.session import answer_writer

    monkeypatch.setattr(answer_writer, "_REDRAW_SECONDS", 0.0)

    def shown(cuts):
        console = Console(file=io.StringIO(), force_terminal=True, width=50, height=60, _environ={})
        writer = answer_writer.RenderedAnswer(console)
        for start, end in zip([0, *cuts], [*cuts, len(ANSWER)], strict=True):
            writer.feed(ANSWER[start:end])
        writer.end()
        return final_screen(console.file.getvalue())

    cuts = sorted(random.Random(seed).sample(range(1, len(ANSWER)), 40))
    assert shown(cuts) == shown([])


@pytest.mark.parametrize("columns", [60, 80])
def test_rows_of_an_evaluation_stand_alone_on_their_lines(screen, llama, tmp_path, monkeypatch, columns):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "questions").mkdir()
    (tmp_path / "questions" / "corpus.jsonl").write_text('{"_id": "a", "text": "Llamas hum."}\n')
    (tmp_path / "questions" / "queries.jsonl").write_text('{"_id": "1", "text": "What do llamas do?"}\n')
    llama("Llamas hum [1].")
    shown = screen("eval", "questions", columns=columns)
    assert re.search(r"^[✓?] 1/1 What do llamas do\? \(", shown.final, re.M)
    assert "━" not in shown.final
    assert max(map(len, shown.final.splitlines())) <= columns
