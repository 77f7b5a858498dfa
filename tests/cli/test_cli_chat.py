"""`llama-bedrock chat` in a real terminal and in pipes."""

import inspect
import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app

DOCUMENTS = Path(__file__).resolve().parents[2] / "examples" / "documents"
LONG = " ".join(f"word{i}" for i in range(2000))
RUNNER = CliRunner(**{"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {})


def run(*args, stdin="", code=0):
    result = RUNNER.invoke(app, [str(arg) for arg in args], input=stdin)
    assert result.exit_code == code, result.output
    return result


def wait_until(holds):
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert holds()


class TestTerminal:
    @pytest.mark.slow
    def test_a_conversation_with_its_commands_goes_on_in_a_new_process(
        self, llama, terminal, at_prompt, folder
    ):
        server = llama("Hello Amaru.", "Your name is Amaru.", "You said hello.", "I know nothing.")
        child = terminal("chat")
        assert "Conversation 'default'" in " ".join(at_prompt(child).split())
        child.sendline("I am Amaru.")
        assert "Hello Amaru." in at_prompt(child)
        child.sendline("/help")
        assert "/save FILE" in at_prompt(child)
        child.sendline("/nonsense")
        assert "there is no command /nonsense" in at_prompt(child)
        child.sendline("/save talk.md")
        assert "2 messages" in at_prompt(child)
        assert (folder / "talk.md").read_text() == "## You\n\nI am Amaru.\n\n## Llama\n\nHello Amaru.\n"
        child.sendeof()
        child.expect_exact("\r\n")
        child.wait()
        assert child.exitstatus == 0

        child = terminal("chat")
        assert "2 messages so far" in at_prompt(child)
        child.sendline("Who am I?")
        assert "Your name is Amaru." in at_prompt(child)
        assert "I am Amaru." in server.engine.requests[1].prompt
        child.sendline("/clear")
        assert "forgotten" in at_prompt(child)
        child.sendline("What did I say?")
        at_prompt(child)
        assert "Amaru" not in server.engine.requests[2].prompt
        child.sendline("/exit")
        child.wait()
        assert child.exitstatus == 0

    def test_ctrl_c_stops_the_answer_closes_the_connection_and_keeps_what_was_said(
        self, llama, terminal, at_prompt
    ):
        server = llama(LONG, "Short.", token_delay=0.02)
        child = terminal("chat")
        at_prompt(child)
        child.sendline("Count.")
        child.expect_exact("word5")
        assert server.stats.active == 1
        child.sendintr()
        assert "Stopped." in at_prompt(child)
        wait_until(lambda: server.stats.cancelled == 1 and server.stats.active == 0)
        child.sendline("Go on.")
        assert "Short." in at_prompt(child)
        later = server.engine.requests[1].prompt
        assert "word5" in later
        assert "word1999" not in later

    def test_ctrl_c_at_the_prompt_drops_the_line_only(self, llama, terminal, at_prompt, reads_keys):
        server = llama("Yes.")
        child = terminal("chat")
        at_prompt(child)
        child.send("half a li")
        child.expect_exact("half a li")
        reads_keys(child)
        child.sendintr()
        assert "Ctrl-D or /exit leaves" in at_prompt(child)
        child.sendline("Are you there?")
        assert "Yes." in at_prompt(child)
        assert "half a li" not in server.engine.requests[0].prompt

    def test_a_failed_turn_is_one_line_and_its_question_is_taken_back(self, llama, terminal, at_prompt):
        from llama_bedrock.testing import EngineError

        server = llama(EngineError("AccessDeniedException", "No access."), "Here I am.")
        child = terminal("chat")
        at_prompt(child)
        child.sendline("First try.")
        shown = at_prompt(child)
        assert "llama-bedrock: " in shown
        assert "No access." in shown
        assert "Traceback" not in shown
        child.sendline("Second try.")
        assert "Here I am." in at_prompt(child)
        assert "First try." not in server.engine.requests[1].prompt

    @pytest.mark.slow
    def test_another_model_answers_the_same_conversation(self, llama, terminal, at_prompt):
        server = llama("One.", "Two.")
        child = terminal("chat", "--region", "us-west-2")
        at_prompt(child)
        child.sendline("Say one.")
        at_prompt(child)
        child.sendline("/model meta.llama4-scout-17b-instruct-v1:0")
        assert "llama4-scout" in at_prompt(child)
        child.sendline("/model meta.llama9")
        assert "llama-bedrock: " in at_prompt(child)
        child.sendline("Say two.")
        assert "Two." in at_prompt(child)
        assert [r.prompt.count("Say one.") for r in server.engine.requests] == [1, 1]
        assert "<|header_start|>" in server.engine.requests[1].prompt

    def test_what_a_model_says_cannot_drive_the_terminal(self, llama, terminal, at_prompt):
        llama("red \x1b[31m title \x1b]0;owned\x07 end")
        child = terminal("chat")
        at_prompt(child)
        child.sendline("Hi")
        child.expect_exact("end")
        assert "\x1b[31m" not in child.before
        assert "\x1b]0;" not in child.before

    @pytest.mark.slow
    def test_answers_from_documents_name_their_sources_and_follow_up_questions_are_understood(
        self, terminal, at_prompt
    ):
        child = terminal("chat", "--docs", DOCUMENTS, "--local")
        at_prompt(child)
        child.sendline("When is the end of life of Llama 4 Maverick?")
        shown = at_prompt(child)
        assert "30 March 2027" in shown
        assert "llama-life-cycle.pdf, page 2" in shown
        child.sendline("/save talk.json")
        at_prompt(child)
        _, answer = json.loads(Path("talk.json").read_text())
        assert answer["data"]["response_metadata"]["sources"] == [f"{DOCUMENTS}/llama-life-cycle.pdf, page 2"]


class TestPipe:
    def test_each_line_is_a_turn_without_prompts_and_colours(self, llama):
        server = llama("First.", "Second.")
        result = run("chat", stdin="One\n\n  \nTwo\n")
        assert result.stdout == "First.\nSecond.\n"
        assert "\x1b" not in result.stderr
        assert "> " not in result.stderr
        assert "First." in server.engine.requests[1].prompt

    def test_nothing_is_kept_without_a_thread(self, llama, tmp_path):
        llama("First.")
        run("chat", stdin="One\n")
        assert not (tmp_path / "data").exists()

    def test_a_thread_is_kept_and_forgotten_with_new(self, llama, tmp_path):
        server = llama("First.", "Second.", "Third.", "Fourth.")
        run("chat", "--thread", "a", stdin="One\n")
        run("chat", "--thread", "a", stdin="Two\n")
        run("chat", "--thread", "b", stdin="Three\n")
        run("chat", "--thread", "a", "--new", stdin="Four\n")
        assert ["One" in request.prompt for request in server.engine.requests] == [True, True, False, False]
        (file,) = (tmp_path / "data" / "llama-bedrock").glob("*.sqlite")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600

    def test_a_path_is_no_command(self, llama):
        server = llama("A file.")
        run("chat", stdin="/etc/hosts is what?\n")
        assert "/etc/hosts is what?" in server.engine.requests[0].prompt

    def test_a_failure_ends_it(self, llama):
        from llama_bedrock.testing import EngineError

        server = llama(EngineError("AccessDeniedException", "No access."), "Never said.")
        result = run("chat", stdin="One\nTwo\n", code=1)
        assert result.stdout == ""
        assert "No access." in result.stderr.splitlines()[-1]
        assert len(server.engine.requests) == 1

    def test_ctrl_c_ends_it_with_130(self, llama):
        server = llama(LONG, token_delay=0.02)
        code = "from llama_bedrock.cli.main import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "chat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdin.write("Count.\n")
            process.stdin.flush()
            process.stdout.read(5)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        assert process.returncode == 130
        assert stderr.splitlines()[-1] == "llama-bedrock: interrupted"
        assert "Traceback" not in stderr
        wait_until(lambda: server.stats.cancelled == 1)

    @pytest.mark.slow
    def test_a_killed_answer_leaves_no_question_without_one(self, llama):
        server = llama(LONG, "Fine.", token_delay=0.02)
        code = "from llama_bedrock.cli.main import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, "chat", "--thread", "k"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            process.stdin.write("Lost question.\n")
            process.stdin.flush()
            process.stdout.read(5)
            process.kill()
            process.stdin.close()
        run("chat", "--thread", "k", stdin="How are you?\n")
        assert "Lost question." not in server.engine.requests[1].prompt

    def test_a_cut_answer_is_said_to_be_cut(self, llama):
        llama(LONG)
        assert "--max-tokens" in run("chat", "--max-tokens", "20", stdin="Count.\n").stderr


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["chat", "--docs", "nowhere", "--local"], "no such file or folder"),
        (["chat", "--docs", ".", "--system", "Be brief.", "--local"], "--system and --docs"),
        (["chat", "--thread", " ", "--local"], "--thread"),
        (["chat", "--local", "--model", "meta.llama9"], "meta.llama9"),
        (["chat", "--local", "--max-tokens", "0"], "--max-tokens"),
    ],
)
def test_mistakes_are_one_line(args, words):
    result = run(*args, stdin="Hi\n", code=2)
    lines = [line for line in result.stderr.splitlines() if line.startswith("llama-bedrock:")]
    assert len(lines) == 1
    assert words in lines[0]
    assert "Traceback" not in result.output


def test_a_place_for_conversations_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "file"))
    line = run("chat", "--thread", "a", "--local", stdin="Hi\n", code=1).stderr.splitlines()[-1]
    assert "set XDG_DATA_HOME" in line


def test_a_file_of_conversations_that_is_none(tmp_path):
    place = tmp_path / "data" / "llama-bedrock"
    place.mkdir(parents=True)
    (place / "conversations.sqlite").write_bytes(os.urandom(4096))
    line = run("chat", "--thread", "a", "--local", stdin="Hi\n", code=1).stderr.splitlines()[-1]
    assert "cannot keep conversations" in line


def test_without_the_extra_it_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "langgraph.checkpoint.memory", None)
    line = run("chat", "--local", stdin="Hi\n", code=2).stderr.splitlines()[-1]
    assert '[agents]"' in line
