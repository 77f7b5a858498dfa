"""What others wrote cannot drive the terminal, and a call is shown as it is."""

import io

import pytest
from langchain_core.tools import StructuredTool
from rich.table import Table

from llama_bedrock.app.conversations.tool_approval import call_text, is_read_only
from llama_bedrock.cli import exit_codes, output

HOSTILE = "a\x1b]0;owned\x07\x1b[2Jb\x9b31m\u202ec"


def test_errors_are_printed_without_control_characters(capsys):
    exit_codes.report(ValueError(f"no such file: {HOSTILE}"), debug=False)
    shown = capsys.readouterr().err
    assert "no such file: a" in shown
    assert not set(shown) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("as_table", [True, False])
def test_what_rich_prints_holds_no_control_character_of_others(as_table):
    console = output.stdout()
    console.file = io.StringIO()
    shown = HOSTILE
    if as_table:
        shown = Table("name")
        shown.add_row(HOSTILE)
    console.print(shown, markup=False)
    assert not set(console.file.getvalue()) & set("\x1b\x07\x9b\u202e")
    assert "owned" in console.file.getvalue()


def test_a_call_is_shown_in_ascii_on_one_line():
    assert call_text("pаy", {"tо": "x\n\u202e\u200b"}) == 'p\\u0430y(t\\u043e="x\\n\\u202e\\u200b")'


@pytest.mark.parametrize(
    ("name", "arguments", "shown"),
    [
        ("pay", {"amount=1, note": 2}, 'pay("amount=1, note"=2)'),
        ("pay", {'to="Ana", cc': "eve"}, 'pay("to=\\"Ana\\", cc"="eve")'),
        ('read(file="a") or send', {}, '"read(file=\\"a\\") or send"()'),
        ("pay", {"": 1, "a b": 2}, 'pay(""=1, "a b"=2)'),
        ("pay", {"a\t\r\x08\x7f\x9b": "e\u0301\x9d8;;http://a\x9c"}, 'pay("a\\t\\r\\b\\u007f\\u009b"="e\\u0301\\u009d8;;http://a\\u009c")'),
        ("pay", {"x": "a … 9 of 10 characters … b"}, 'pay(x="a \\u2026 9 of 10 characters \\u2026 b")'),
        ("pay", {"x": '", y="2'}, 'pay(x="\\", y=\\"2")'),
    ],
)  # fmt: skip
def test_no_name_or_value_passes_for_another_argument(name, arguments, shown):
    assert call_text(name, arguments) == shown


def test_of_many_arguments_the_first_and_last_and_their_number_are_shown():
    text = call_text("run" * 1_000, {f"a{number}" * 100: number for number in range(10_000)})
    assert len(text) < 25_000
    assert "… 9,970 of 10,000 arguments …" in text
    assert "of 3,002 characters" in text
    assert text.endswith('"=9999)')


@pytest.mark.parametrize("number", [*range(9), *range(11, 32), *range(127, 160), 0x202E, 0x2066, 0x200F])
def test_no_control_character_reaches_the_terminal(number):
    assert chr(number) not in output.printable(f"a{chr(number)}b")


def test_of_a_long_value_head_tail_and_length_are_shown():
    text = call_text("run", {"command": "a" * 5_000 + "; rm -rf ~"})
    assert text.startswith('run(command="aaa')
    assert text.endswith('; rm -rf ~")')
    assert "of 5,012 characters" in text
    assert len(text) < 700


@pytest.mark.parametrize(
    ("said", "reads"),
    [
        ({"readOnlyHint": True}, True),
        ({"readOnlyHint": True, "destructiveHint": False}, True),
        ({"readOnlyHint": True, "destructiveHint": True}, False),
        ({"readOnlyHint": "yes"}, False),
        ({}, False),
        (None, False),
    ],
)
def test_a_tool_that_may_destroy_is_asked_for_whatever_else_it_says(said, reads):
    tool = StructuredTool.from_function(lambda: None, name="t", description="d", metadata=said)
    assert is_read_only(tool) is reads
