"""`batch run`: a file of prompts in, a file of answers out."""

import json

from typer.testing import CliRunner

from llama_bedrock.cli.main import app


def run(*arguments):
    return CliRunner().invoke(app, ["batch", *map(str, arguments)])


def test_a_file_is_answered_and_the_figures_are_told(tmp_path, llama):
    source = tmp_path / "in.jsonl"
    source.write_text('"one"\n{broken\n')
    llama("First.")
    done = run("run", source, "--json")
    assert done.exit_code == 1  # one record failed
    told = json.loads(done.stdout)
    assert (told["answered"], told["failed"], told["records"]) == (1, 1, 2)
    first, second = map(json.loads, (tmp_path / "in.jsonl.answers.jsonl").read_text().splitlines())
    assert first["text"] == "First."
    assert "line 2 is no JSON" in second["error"]["message"]


def test_bad_input_is_one_line(tmp_path, llama):
    llama("First.")
    (tmp_path / "in.txt").write_text("a")
    wrong = run("run", tmp_path / "in.txt")
    assert wrong.exit_code == 2
    assert ".jsonl" in wrong.stderr
    assert len(wrong.stderr.splitlines()) == 1
    assert run("run", tmp_path / "missing.jsonl").exit_code == 2
