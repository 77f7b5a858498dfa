"""`llama-bedrock agent`: tools, approval, MCP servers, budgets and resumption."""

import inspect
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app

DOCUMENTS = Path(__file__).resolve().parents[2] / "examples" / "documents"
MAIL = "farm_tools:send_mail"
RUNNER = CliRunner(**{"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {})
PROGRAM = [sys.executable, "-c", "from llama_bedrock.cli.main import main; main()"]

FARM_SERVER = '''
import os

from mcp.server.fastmcp import FastMCP
from mcp.types import ToolAnnotations

server = FastMCP("farm", log_level="ERROR")
count = 0

@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def tick() -> int:
    """Count one further."""
    global count
    count += 1
    return count

@server.tool()
def sell(farm: str) -> str:
    """Sell a farm."""
    return f"{farm} is sold"

@server.tool(annotations=ToolAnnotations(readOnlyHint=True))
def leave() -> str:
    """Leave."""
    os._exit(1)

server.run()
'''


def call(name, **arguments):
    """A tool call as Llama writes it."""
    return f"[{name}({', '.join(f'{key}={json.dumps(value)}' for key, value in arguments.items())})]"


SEND = call("send_mail", to="amaru@example.org", text="Fine.")


def run(*args, stdin="", code=0):
    result = RUNNER.invoke(app, [str(arg) for arg in args], input=stdin)
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def _fresh_modules(monkeypatch):
    """Each test has a farm_tools.py of its own."""
    monkeypatch.delitem(sys.modules, "farm_tools", raising=False)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture
def farm_server(folder):
    """The command of an MCP server that counts its calls."""
    (folder / "farm server.py").write_text(FARM_SERVER)
    return f'{sys.executable} "{folder / "farm server.py"}"'


@pytest.mark.usefixtures("folder")
class TestTools:
    @pytest.mark.parametrize("spec", ["farm_tools:herd_size", "farm_tools.py:herd_size", "farm_tools:BOTH"])
    def test_a_tool_that_only_reads_runs_and_is_shown(self, llama, spec):
        server = llama(call("herd_size", farm="Andes"), "There are 35.")
        result = run("agent", "How many llamas are on Andes?", "--tools", spec)
        assert result.stdout == "There are 35.\n"
        assert result.stderr.splitlines()[-2:] == ['→ herd_size({"farm": "Andes"})', "← herd_size: 35"]
        assert "35" in server.engine.requests[1].prompt

    def test_lines_of_a_pipe_are_turns_of_one_conversation(self, llama):
        server = llama(call("herd_size", farm="Andes"), "35.", "As I said, 35.")
        result = run("agent", "-T", "farm_tools:herd_size", stdin="How many on Andes?\nAgain?\n")
        assert result.stdout == "35.\nAs I said, 35.\n"
        assert "How many on Andes?" in server.engine.requests[2].prompt

    def test_an_agent_that_repeats_itself_is_stopped(self, llama):
        llama(*[call("herd_size", farm="Andes")] * 9)
        result = run("agent", "How many?", "--tools", "farm_tools:herd_size")
        assert result.stderr.count("← herd_size: 35") <= 3
        assert result.stdout.strip()

    def test_a_budget_ends_the_run(self, llama):
        server = llama(*[call("herd_size", farm=f"Farm {n}") for n in range(9)])
        result = run("agent", "How many?", "--tools", "farm_tools:herd_size", "--max-usd", "0.0000001")
        assert "budget" in result.stdout
        assert len(server.engine.requests) == 1

    def test_documents_are_searched_and_cited(self, llama):
        llama(
            call("search_documents", query="end of life of Llama 4 Maverick"),
            "Their end of life is 30 March 2027 [1].",
        )
        result = run("agent", "When does Maverick end?", "--docs", DOCUMENTS)
        assert result.stdout.startswith("Their end of life is 30 March 2027 [1].\n")
        assert "\n[1] " in result.stdout
        assert "passages" in result.stderr.splitlines()[-1]

    def test_a_model_judges_the_citations_once(self, llama):
        server = llama(
            call("search_documents", query="end of life of Llama 4 Maverick"),
            "The farm ends in 2027 [1].",
            " yes",
        )
        result = run("agent", "When does Maverick end?", "--docs", DOCUMENTS, "--verify", "llama")
        assert len(server.engine.requests) == 3
        assert server.engine.requests[2].prompt.endswith("1:")
        assert "\n[1] " in result.stdout
        assert "--docs" in run("agent", "Hi", "--verify", "llama", code=2).stderr


class TestApproval:
    def test_in_a_pipe_a_tool_that_writes_is_refused_and_the_exit_code_says_so(self, llama, folder):
        server = llama(SEND, "I could not send it.")
        result = run("agent", "Mail Amaru.", "--tools", MAIL, code=3)
        assert "nobody can be asked; --yes allows it" in result.stderr
        assert result.stdout == "I could not send it.\n"
        assert not (folder / "sent.txt").exists()
        assert "nobody can be asked to approve" in server.engine.requests[1].prompt

    @pytest.mark.parametrize("option", [["--yes"], ["--allow", "send_mail"]])
    def test_it_runs_where_that_was_allowed_before(self, llama, folder, option):
        llama(SEND, "Sent.")
        assert run("agent", "Mail Amaru.", "--tools", MAIL, *option).stdout == "Sent.\n"
        assert (folder / "sent.txt").read_text() == "amaru@example.org\n"

    def test_a_person_is_asked_and_may_say_no_yes_or_always(self, llama, terminal, at_prompt, folder):
        sent = folder / "sent.txt"
        server = llama(SEND, "You said no.", SEND, "Sent.", SEND, "Sent again.", SEND, "And again.")
        child = terminal("agent", "--tools", MAIL)
        at_prompt(child)
        for answer, words, times in (("n", "You said no.", 0), ("y", "Sent.", 1), ("a", "again.", 2)):
            child.sendline("Mail Amaru.")
            child.expect_exact("Run it? yes, always, no [y/a/N]")
            assert "amaru@example.org" in child.before
            child.sendline(answer)
            assert words in at_prompt(child)
            assert (sent.read_text().count("\n") if sent.exists() else 0) == times
        child.sendline("Mail Amaru.")
        assert "Run it?" not in at_prompt(child)
        assert sent.read_text().count("\n") == 3
        assert "declined" in server.engine.requests[1].prompt

    def test_what_is_shown_at_the_question_is_what_runs(self, llama, terminal, at_prompt, folder):
        """No letter can hide, turn the line around or look like another, and no long value hides its end.

        A line that was pasted with the question, before this was shown, answers nothing.
        """
        drives = "\x1b]8;;http://a\x07\x9b2J\t\r\x08e\u0301"
        address = "amaru@example.org\u202e\u200b\n" + drives + "x" * 2_000 + "; rm -rf ~"
        server = llama(call("send_mail", to=address), "No.")
        child = terminal("agent", "--tools", MAIL)
        at_prompt(child)
        child.sendline("Mail Amaru.\ny")
        child.expect_exact("may write.")
        shown = child.before.rsplit("send_mail(", 1)[1]
        driven = "\\u001b]8;;http://a\\u0007\\u009b2J\\t\\r\\be\\u0301"
        assert '"amaru@example.org\\u202e\\u200b\\n' + driven + "xxx" in shown
        assert "; rm -rf ~" in shown
        assert " of 2,0" in shown
        child.expect_exact("Run it? yes, always, no [y/a/N]")
        child.sendline("n")
        assert "No." in at_prompt(child)
        assert "declined" in server.engine.requests[1].prompt

    @pytest.mark.usefixtures("folder")
    def test_tools_that_run_unasked_are_listed_once(self, llama):
        llama("Fine.")
        options = ["--tools", MAIL, "--tools", "farm_tools:herd_size", "--allow", "send_mail"]
        result = run("agent", "How are you?", *options)
        listed = [line for line in result.stderr.splitlines() if line.startswith("Run without asking")]
        assert len(listed) == 1
        assert "send_mail" in listed[0]

    def test_ctrl_c_at_the_question_runs_nothing(self, llama, terminal, at_prompt, reads_keys, folder):
        llama(SEND, "As you like.")
        child = terminal("agent", "--tools", MAIL)
        at_prompt(child)
        child.sendline("Mail Amaru.")
        child.expect_exact("Run it?")
        reads_keys(child)
        child.sendintr()
        assert "Stopped." in at_prompt(child)
        child.sendline("Leave it.")
        assert "As you like." in at_prompt(child)
        assert not (folder / "sent.txt").exists()

    @pytest.mark.slow
    def test_ctrl_c_stops_a_tool_and_the_conversation_goes_on(self, llama, terminal, at_prompt, folder):
        server = llama(call("slow", seconds=8), "Good.")
        child = terminal("agent", "--tools", "farm_tools:slow")
        at_prompt(child)
        child.sendline("Wait.")
        child.expect_exact("slow(")
        deadline = time.monotonic() + 20
        while not (folder / "slow-started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        started = time.monotonic()
        child.sendintr()
        assert "Stopped." in at_prompt(child)
        assert time.monotonic() - started < 5
        child.sendline("Never mind.")
        assert "Good." in at_prompt(child)
        assert "Stopped by the user" in server.engine.requests[1].prompt


@pytest.mark.slow
class TestResume:
    @pytest.mark.parametrize("answer", ["y", "n"])
    def test_a_run_that_was_killed_in_a_tool_goes_on_only_if_a_person_wants_it(
        self, llama, terminal, at_prompt, folder, answer
    ):
        server = llama(call("slow", seconds=1.5), "Done waiting.", "Good.")
        with subprocess.Popen(
            [*PROGRAM, "agent", "Wait.", "--tools", "farm_tools:slow", "--thread", "t"],
            stdin=subprocess.DEVNULL,
            cwd=folder,
        ) as process:
            deadline = time.monotonic() + 40
            while not (folder / "slow-started").exists() and time.monotonic() < deadline:
                time.sleep(0.02)
            process.kill()
        child = terminal("agent", "--tools", "farm_tools:slow", "--thread", "t")
        child.expect_exact("cut off before the result of slow(")
        child.expect_exact("Go on with it, and run what has no result? [y/N]")
        child.sendline(answer)
        assert ("Done waiting." in at_prompt(child)) == (answer == "y")
        child.sendline("And now?")
        at_prompt(child)
        assert "Wait." in server.engine.requests[-1].prompt

    def test_a_thread_goes_on_in_a_new_process_and_is_not_that_of_chat(self, llama, folder):
        server = llama("I will.", "Llamas.", "Nothing.")
        run("agent", "Remember llamas.", "--thread", "a")
        run("agent", "What?", "--thread", "a")
        run("chat", "--thread", "a", stdin="What?\n")
        assert ["Remember llamas." in r.prompt for r in server.engine.requests] == [True, True, False]


class TestMcp:
    @pytest.mark.slow
    def test_one_session_serves_all_calls_and_hints_decide_who_is_asked(self, llama, farm_server):
        llama(call("tick"), call("tick"), call("sell", farm="Andes"), "Twice, and not sold.")
        args = ["agent", "Tick twice, then sell.", "--mcp", farm_server]
        result = subprocess.run([*PROGRAM, *args], capture_output=True, text=True, input="", check=False)
        assert result.returncode == 3, result.stderr
        lines = result.stderr.splitlines()
        assert [line for line in lines if line.startswith("← tick")] == ["← tick: 1", "← tick: 2"]
        assert any(line.startswith("refused: sell(") for line in lines)
        assert result.stdout == "Twice, and not sold.\n"

    @pytest.mark.slow
    def test_a_server_that_dies_in_a_call_is_a_failed_call(self, llama, farm_server):
        llama(call("leave"), call("tick"), "It has left.")
        args = ["agent", "Leave, then tick.", "--mcp", farm_server]
        result = subprocess.run([*PROGRAM, *args], capture_output=True, text=True, input="", check=False)
        assert result.returncode == 0, result.stderr
        failed = [line.partition(" The tool failed: ") for line in result.stderr.splitlines() if "✗" in line]
        assert [(call, bool(why)) for call, _, why in failed] == [("✗ leave:", True), ("✗ tick:", True)]
        assert result.stdout == "It has left.\n"

    @pytest.mark.slow
    async def test_a_server_that_says_nothing_is_named(self, monkeypatch, capsys):
        from llama_bedrock.cli.session import agent_tools

        monkeypatch.setattr(agent_tools, "_QUIET_SECONDS", 0.05)
        monkeypatch.setattr(agent_tools, "_CONNECT_SECONDS", 0.2)
        server = f"{sys.executable} -c 'import time; time.sleep(99)'"
        with pytest.raises(ConnectionError, match=r"time.sleep.* runs, but does not answer"):
            async with agent_tools.mcp_sessions([server]):
                pass
        assert f"Waiting for --mcp {server!r}" in capsys.readouterr().err

    @pytest.mark.usefixtures("folder")
    @pytest.mark.parametrize(
        "server", ["no-such-command-anywhere", f"{sys.executable} -c pass", "http://127.0.0.1:9/mcp"]
    )
    def test_a_server_that_does_not_work_is_one_line(self, server):
        result = run("agent", "Go.", "--local", "--mcp", server, code=1)
        line = result.stderr.splitlines()[-1]
        assert line.startswith("llama-bedrock: --mcp ")
        assert server in line
        assert "Traceback" not in result.stderr


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ([""], "the question is empty"),
        (["Count", "them."], "one question at a time"),
        (["Go.", "--tools", "farm_tools"], "module:function"),
        (["Go.", "--tools", "no_such_module:f"], "no module 'no_such_module'"),
        (["Go.", "--tools", "missing.py:f"], "no such file"),
        (["Go.", "--tools", "farm_tools:missing"], "no 'missing' in farm_tools"),
        (["Go.", "--tools", "farm_tools:NUMBER"], "is a int, not a function"),
        (["Go.", "--tools", "farm_tools:untyped"], "cannot be a tool"),
        (
            ["Go.", "-T", "farm_tools:herd_size", "-T", "farm_tools:BOTH"],
            "two tools are named 'herd_size'",
        ),
        (["Go.", "--tools", "farm_tools:herd_size", "--allow", "sell"], "--allow sell"),
        (["Go.", "--mcp", 'python "open'], "--mcp"),
        (["Go.", "--mcp", " "], "--mcp"),
        (["Go.", "--max-usd", "0"], "max_usd must be positive"),
        (["Go.", "--docs", "nowhere"], "no such file or folder"),
    ],
)
def test_mistakes_are_one_line(args, words):
    result = run("agent", *args, "--local", code=2)
    lines = [line for line in result.stderr.splitlines() if line.startswith("llama-bedrock:")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in result.output


def test_one_option_names_several_tools(llama, folder):
    server = llama("Fine.")
    run("agent", "--tools", "farm_tools:herd_size", "farm_tools:send_mail", "How are you?")
    prompt = server.engine.requests[0].prompt
    assert "herd_size" in prompt
    assert "send_mail" in prompt
    assert "How are you?" in prompt
