"""Bad input of every kind: one clear line, the right exit code, no traceback, nothing half-written."""

import inspect
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app

PDF = Path(__file__).resolve().parents[2] / "examples" / "documents" / "llama-life-cycle.pdf"

# click before 8.2 mixes the two streams unless told not to
RUNNER = CliRunner(**{"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {})


def run(*args, stdin=None):
    return RUNNER.invoke(app, [str(arg) for arg in args], input=stdin)


def failure(*args, code=2, stdin=None):
    """The one line that a failing command writes."""
    result = run(*args, stdin=stdin)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    lines = [line for line in result.stderr.splitlines() if line.startswith("llama-bedrock:")]
    assert len(lines) == 1, result.stderr
    assert result.stderr.splitlines()[-1] == lines[0]
    return lines[0]


def indexes():
    folder = Path(os.environ["XDG_CACHE_HOME"]) / "llama-bedrock" / "indexes"
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def test_a_missing_path(tmp_path):
    assert f"no such file or folder: {tmp_path}/nowhere" in failure(
        "ask", tmp_path / "nowhere", "Why?", "--local"
    )
    assert indexes() == []


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["ask", "", "Why?", "--local"], "PATH"),
        (["ask", ".", "Why?", "--local", "--region", ""], "--region"),
        (["ask", ".", "Why?", "--local", "--model", " "], "--model"),
        (["index", ""], "PATH"),
        (["index", "build", ".", "--embeddings", ""], "--embeddings"),
        (["chat", "--system", ""], "--system"),
        (["doctor", "--region", ""], "--region"),
        (["migrate-plan", ""], "PATH"),
        (["models", "--for", ""], "--for"),
        (["api", ".", "--key", ""], "--key"),
        (["deploy", "arn", "--name", ""], "--name"),
    ],
    ids=lambda one: "-".join(one).strip("-. ") if isinstance(one, list) else "",
)
def test_the_value_of_an_unset_variable_is_refused(arguments, name):
    """The default would be taken in silence: another Region, a random key, this folder."""
    line = failure(*arguments)
    assert name in line
    assert "it is empty" in line
    assert indexes() == []


def test_an_empty_folder(tmp_path):
    assert f"no files in {tmp_path}" in failure("ask", tmp_path, "Why?", "--local")
    assert indexes() == []


def test_a_folder_of_only_images(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "b.jpg").write_bytes(b"\xff\xd8\xff")
    line = failure("index", tmp_path)
    assert "no supported documents" in line
    assert ".png" in line
    assert indexes() == []


@pytest.mark.parametrize("content", [b"", PDF.read_bytes()[:900], b"%PDF-1.4 and then nothing"])
def test_an_empty_or_truncated_pdf(tmp_path, content):
    (tmp_path / "broken.pdf").write_bytes(content)
    line = failure("ask", tmp_path / "broken.pdf", "Why?", "--local")
    assert "broken.pdf" in line
    assert indexes() == []


def test_a_damaged_file_among_good_ones_is_named_and_skipped(tmp_path):
    (tmp_path / "broken.pdf").write_bytes(b"")
    (tmp_path / "good.md").write_text("# Llamas\n\nLlamas hum when they are content.\n")
    result = run("index", tmp_path)
    assert result.exit_code == 0
    assert "skipped" in result.stderr
    assert "broken.pdf" in result.stderr
    assert "ready, 1 file, 1 passage\n" in result.stdout


def test_a_text_file_of_50_megabytes(tmp_path):
    with (tmp_path / "big.txt").open("wb") as file:
        file.write(b"Llamas hum. " * 4_500_000)
    assert "big.txt" in failure("ask", tmp_path / "big.txt", "Why?", "--local")
    assert indexes() == []


@pytest.fixture
def unprivileged(monkeypatch):
    """A folder of a user who is not root: root may read everything."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
    run("index", PDF)  # what is imported lazily is imported now, with the right to
    for path in folder.rglob("*"):
        path.chmod(0o777)
    was_root = os.geteuid() == 0
    if was_root:
        os.seteuid(65534)
    yield folder
    if was_root:
        os.seteuid(0)
    shutil.rmtree(folder)


def test_a_file_without_permission(unprivileged):
    secret = unprivileged / "secret.txt"
    secret.write_text("Llamas hum.")
    secret.chmod(0)
    assert "no permission to read it" in failure("index", secret)
    folder = unprivileged / "private"
    folder.mkdir(0)
    assert "ermission" in failure("index", folder)


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("Llamas hum.")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert "set XDG_CACHE_HOME" in failure("index", tmp_path / "a.md", code=1)


def test_latin_1_text_is_read(tmp_path):
    (tmp_path / "umlaut.txt").write_bytes("Das größte Lama heißt Jürgen.".encode("latin-1"))
    result = run("ask", tmp_path, "Wie heißt das größte Lama?", "--local", "--json")
    assert result.exit_code == 0, result.output
    assert "Jürgen" in json.loads(result.stdout)["text"]


@pytest.mark.parametrize("question", ["", "   ", "\n"])
def test_an_empty_question(tmp_path, question):
    assert "the question is empty" in failure("ask", tmp_path, question, "--local")


def test_a_question_of_100_000_characters(tmp_path):
    (tmp_path / "a.md").write_text("Llamas hum.")
    assert "100,000 characters" in failure("ask", tmp_path, "why " * 24_999 + "why?", "--local")
    assert indexes() == []


def test_a_wrong_region(tmp_path):
    line = failure("ask", tmp_path, "Why?", "--local", "--region", "eu-north-9")
    assert "eu-north-9" in line
    assert "us-east-2" in line


def test_a_wrong_model_id(tmp_path):
    line = failure("ask", tmp_path, "Why?", "--local", "--model", "meta.llama3-1-70b-instruct-v10")
    assert line.endswith("did you mean 'meta.llama3-1-70b-instruct-v1:0'?")


def test_no_credentials_with_bedrock(tmp_path):
    line = failure("ask", tmp_path, "Why?", "--bedrock", code=1)
    assert "no AWS credentials found" in line
    assert "aws configure" in line


def test_titan_without_credentials(tmp_path):
    (tmp_path / "a.md").write_text("Llamas hum when they are content.")
    line = failure("index", tmp_path, "--embeddings", "titan", code=1)
    assert "no AWS credentials found" in line
    assert "--embeddings lsa" in line
    assert indexes() == []


@pytest.mark.slow
@pytest.mark.usefixtures("aws_credentials")
def test_titan_at_an_endpoint_that_nobody_listens_at(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("Llamas hum when they are content.")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    done = command("index", tmp_path, "--embeddings", "titan")
    _, stderr = done.communicate(timeout=60)
    assert done.returncode == 1
    assert len(stderr.splitlines()) == 1
    assert "refused" in stderr or "127.0.0.1:9" in stderr
    assert indexes() == []


@pytest.mark.usefixtures("aws_credentials")
def test_an_endpoint_that_nobody_listens_at(tmp_path, monkeypatch):
    (tmp_path / "a.md").write_text("Llamas hum when they are content.")
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    assert "127.0.0.1:9" in failure("ask", tmp_path, "When do llamas hum?", code=1)


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["nonsense"], "No such command"),
        (["ask"], "Missing argument"),
        (["ask", ".", "Why?", "--k", "0"], "--k"),
        (["ask", ".", "Why?", "--nonsense"], "--nonsense"),
        (["--nonsense"], "--nonsense"),
        (["ask", ".", "Why?", "--local", "--embeddings", "word2vec"], "auto, lsa or titan"),
        (["models", "nonsense"], "unknown Llama model id"),
        (["models", "--region", "mars-1"], "mars-1"),
        (["prompt", "hi", "--format", "llama5"], "llama3.3, llama4"),
        (["prompt", "hi", "--special-tokens", "maybe"], "escape, error or allow"),
        (["prompt", "hi", "--tools", "missing.json"], "missing.json"),
        (["prompt", "<|eot_id|>", "--special-tokens", "error"], "<|eot_id|>"),
        (["prompt", "hi", "--tool-choice", "any"], "tool"),
        (["serve", "--engine", "magic"], "extractive, openai:URL#model and scripted"),
        (["serve", "--engine", "openai"], "--openai-url"),
        (["serve", "--engine", "scripted"], "--script"),
        (["serve", "--script", "answers.json"], "belongs to --engine scripted"),
        (["serve", "--port", "70000"], "--port"),
        (["serve", "--guardrail", "own"], "ID=THRESHOLD"),
        (["serve", "--guardrail", "own=1.5"], "0 to 0.99"),
        (["index", "missing-folder"], "no such file or folder"),
    ],
)
def test_mistakes_in_the_options_are_one_line(args, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in failure(*args)


def test_a_tools_file_that_is_no_list_of_tools(tmp_path):
    path = tmp_path / "tools.json"
    for content, words in (
        ("[" * 200_000, "is not JSON"),
        ("[]", "no list of tools"),
        ('"f"', "no list of tools"),
    ):
        path.write_text(content)
        assert words in failure("prompt", "hi", "--tools", path)


def test_without_arguments_the_help_is_shown_and_nothing_else():
    done = command()
    stdout, stderr = done.communicate(timeout=60)
    assert "ask" in stdout
    assert stderr == ""


def test_debug_shows_the_traceback_and_keeps_the_exit_code(tmp_path):
    result = run("--debug", "ask", tmp_path / "nowhere", "Why?", "--local")
    assert result.exit_code == 2
    assert "Traceback" in result.stderr


def command(*args, **kwargs):
    code = "from llama_bedrock.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


@pytest.fixture
def corpus(tmp_path):
    """Documents that take a second or two to index."""
    folder = tmp_path / "corpus"
    folder.mkdir()
    for number in range(40):
        words = " ".join(f"word{(number * 7 + i) % 3001} llama{i % 97} hum{i % 31}." for i in range(500))
        (folder / f"{number:03}.txt").write_text(f"Document {number}. {words}")
    return folder


def test_ctrl_c_while_indexing_leaves_nothing(corpus):
    process = command("index", corpus)
    deadline = time.monotonic() + 60
    while not any(name.startswith("unfinished-") for name in indexes()) and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.splitlines() == ["llama-bedrock: interrupted"]
    assert indexes() == []


@pytest.mark.slow
def test_two_processes_may_index_the_same_folder(corpus):
    first, second = command("index", corpus, "--json"), command("index", corpus, "--json")
    results = [process.communicate(timeout=110) for process in (first, second)]
    assert [first.returncode, second.returncode] == [0, 0], results
    folders = {json.loads(stdout)["folder"] for stdout, _ in results}
    assert len(folders) == 1
    assert indexes() == [Path(folders.pop()).name]


def test_a_closed_pipe_is_no_error():
    process = command("models", "--json")
    process.stdout.read(1)
    process.stdout.close()
    stderr = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=30) == 0
    assert stderr == ""


def test_a_damaged_index_is_made_anew(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("Llamas hum when they are content.")
    assert run("index", folder).exit_code == 0
    (store,) = (Path(os.environ["XDG_CACHE_HOME"]) / "llama-bedrock" / "indexes").glob("*/store")
    for path in store.rglob("*"):
        if path.is_file():
            path.write_bytes(b"damaged")
    result = run("index", folder)
    assert result.exit_code == 0, result.output
    assert "ready, 1 file" in result.stdout
    assert "up to date" in run("index", folder).stdout


def test_documents_that_are_all_gone(tmp_path):
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "a.md").write_text("Llamas hum when they are content.")
    run("index", folder)
    (folder / "a.md").unlink()
    assert "no documents" in failure("index", folder)
    (folder / "a.md").write_text("Llamas spit, too.")
    assert run("index", folder).exit_code == 0


def test_a_qdrant_that_does_not_answer(tmp_path):
    (tmp_path / "a.md").write_text("Llamas hum.")
    line = failure("index", "migrate", tmp_path / "a.md", "--to", "http://127.0.0.1:9", code=1)
    assert "Qdrant at http://127.0.0.1:9" in line
