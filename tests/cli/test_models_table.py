"""`models` on terminals of every width, by family, and for programs."""

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from llama_bedrock import CATALOG
from llama_bedrock.cli.main import app
from llama_bedrock.cli.models import family


def run(*args):
    return CliRunner().invoke(app, ["models", *args])


@pytest.mark.parametrize("columns", [60, 72, 80, 100, 120, 160, 200])
def test_each_model_is_one_line_that_fits(screen, columns):
    shown = screen("models", columns=columns)
    table = [line for line in shown.lines if line.startswith(("Model id", "meta."))]
    assert [line.split()[0] for line in table[1:]] == list(CATALOG)
    assert max(map(len, table)) <= columns
    heads = [head for head in ("Context", "Price", "End of life", "Output", "Regions") if head in table[0]]
    assert len(heads) >= {60: 1, 72: 2, 80: 3}.get(columns, 4)
    assert ("Too wide for this terminal: " in shown.text) is (columns < 120)


def test_a_pipe_gets_every_column_and_no_cut_text():
    longest = next(line for line in run().stdout.splitlines() if line.startswith("meta.llama3-8b"))
    assert longest.endswith("us-gov-west-1")


@pytest.mark.parametrize("text", ["llama4", "Llama 4", "llama-4", "meta.llama4", "4"])
def test_a_family_in_every_spelling(text):
    assert {info.generation for info in family(text)} == {"llama4"}
    assert len(family(text)) == 2


def test_families_sizes_and_names():
    assert [info.name for info in family("llama3-3")] == ["Llama 3.3 70B Instruct"]
    assert all(info.model_id.startswith("meta.llama3") for info in family("llama3"))
    assert [info.name for info in family("scout")] == ["Llama 4 Scout 17B Instruct"]
    assert {info.size for info in family("70b")} == {"70B"}
    for no_family in ("meta.llama3-3-70b-instruct-v1:0", "arn:aws:bedrock:us-east-1::x", "", "gpt", "*"):
        assert family(no_family) == []


def test_what_is_no_model_and_no_family_is_one_line():
    result = run("llama9")
    assert result.exit_code == 2
    assert "unknown Llama model id 'llama9'" in result.output


def test_csv_and_json_are_of_the_same_models():
    rows = list(csv.DictReader(io.StringIO(run("llama3-1", "--csv").stdout)))
    models = json.loads(run("llama3-1", "--json").stdout)
    assert [row["model_id"] for row in rows] == [model["model_id"] for model in models]
    assert rows[0]["usd_per_million_input_tokens"] == "0.22"
    assert {row["state"] for row in rows} == {"legacy", "ended"}
    assert len(list(csv.reader(io.StringIO(run("--for", "vision", "--csv").stdout)))) > 1


@pytest.mark.parametrize(
    "args",
    [["--json", "--csv"], ["llama4", "--for", "vision"], ["llama4", "--live"], ["--live", "--for", "vision"]],
)
def test_options_that_exclude_each_other_are_refused(args):
    assert run(*args).exit_code == 2


def test_a_region_of_a_family_names_those_that_it_has():
    result = run("llama4", "--region", "eu-west-2")
    assert result.exit_code == 2
    assert (
        "no model of 'llama4' can be called from 'eu-west-2'; regions with some: us-east-1" in result.output
    )
