"""`--help` with its examples, and what the shell completes."""

import re
import shlex
import sqlite3

import pytest

from llama_bedrock.cli.command_list import _EXAMPLES, COMMANDS, load_command
from llama_bedrock.cli.main import app
from llama_bedrock.cli.user_folders import conversations_file


def shown(capsys, *args):
    with pytest.raises(SystemExit):
        app(list(args), prog_name="llama-bedrock")
    return capsys.readouterr().out


def commands():
    """The words of every command that is shown."""
    for name in COMMANDS:
        yield (name,)
        yield from ((name, inner) for inner in getattr(load_command(name), "commands", ()))


@pytest.mark.parametrize("words", list(commands()), ids=" ".join)
def test_every_command_has_examples_with_options_that_it_has(capsys, words):
    help_text = shown(capsys, *words, "--help")
    assert "\n  Examples:\n" in help_text
    for example in _EXAMPLES[" ".join(words)]:
        assert example in re.sub(r" \\\n +", " ", help_text)
        given = shlex.split(example.split(" | llama-bedrock ")[-1])
        at = next((n for n in (2, 1) if tuple(given[:n]) in set(commands())), 0)
        assert at, example
        options = [word for word in given[at:] if word.startswith("--")]
        own = help_text if tuple(given[:at]) == words else shown(capsys, *given[:at], "--help")
        if given[0] == "index" and at == 1:
            own = shown(capsys, "index", "build", "--help")
        for option in options:
            assert re.search(rf"{option}\b", own), (example, option)


def test_the_list_of_commands_cuts_no_sentence(capsys):
    assert "..." not in shown(capsys, "--help").partition("Commands:")[2]


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_help_fits_the_terminal(screen, columns):
    for words in [("ask",), ("batch", "submit"), ("import",)]:
        shown = screen(*words, "--help", columns=columns)
        assert max(map(len, shown.lines)) <= columns
        assert not re.search(r"<\w+|list\[", shown.text)  # types of Python are no words for people


def completed(capsys, monkeypatch, *words):
    monkeypatch.setenv("_LLAMA_BEDROCK_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", shlex.join(["llama-bedrock", *words]))
    monkeypatch.setenv("COMP_CWORD", str(len(words)))
    return shown(capsys).split()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["ask", "x", "--format", "llama3."], ["llama3.1", "llama3.2", "llama3.3"]),
        (["models", "--region", "eu-w"], ["eu-west-1", "eu-west-2", "eu-west-3"]),
        (["models", "us.meta.llama4-s"], ["us.meta.llama4-scout-17b-instruct-v1:0"]),
        (["chat", "--model", "meta.llama3-3"], ["meta.llama3-3-70b-instruct-v1:0"]),
    ],
)
def test_the_shell_completes_models_formats_and_regions(capsys, monkeypatch, words, expected):
    found = completed(capsys, monkeypatch, *words)
    assert found
    assert set(found) <= set(expected)


def test_the_shell_completes_threads_of_the_command(capsys, monkeypatch):
    assert completed(capsys, monkeypatch, "chat", "--thread", "w") == []
    path = conversations_file()
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE checkpoints (thread_id TEXT)")
        names = [("chat:work",), ("chat:work",), ("chat:home",), ("agent:website",)]
        database.executemany("INSERT INTO checkpoints VALUES (?)", names)
    database.close()
    assert completed(capsys, monkeypatch, "chat", "--thread", "w") == ["work"]
    assert completed(capsys, monkeypatch, "agent", "-t", "") == ["website"]
    path.write_text("no database")
    assert completed(capsys, monkeypatch, "chat", "--thread", "w") == []
