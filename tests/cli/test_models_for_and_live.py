"""`models --for` finds models by words, `models --live` lists what an account has."""

import json
from datetime import date

import pytest
from typer.testing import CliRunner

from llama_bedrock.catalog.choosing import choose
from llama_bedrock.cli.main import app
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine

DAY = date(2026, 11, 28)


def ids(text, day=DAY):
    return [info.model_id for info in choose(text, day).models]


def test_needs_in_words():
    assert ids("vision")[0] == "meta.llama4-scout-17b-instruct-v1:0"
    assert all("llama4" in model for model in ids("long context and images"))
    assert ids("cheapest")[0] == "meta.llama3-1-8b-instruct-v1:0"
    assert ids("longest context")[0] == "meta.llama4-scout-17b-instruct-v1:0"
    assert ids("tools, batch, largest in us-east-2")[0] in ids("largest")[:3]
    assert ids("cheapest in europe") == [
        "meta.llama3-8b-instruct-v1:0",
        "meta.llama3-70b-instruct-v1:0",
    ]
    assert ids("arabic")
    assert "meta.llama3-3-70b-instruct-v1:0" not in ids("arabic")


def test_what_nothing_meets_says_which_need_is_the_one():
    choice = choose("long context, vision, cheapest in eu", DAY)
    assert choice.models == ()
    assert choice.misses["in eu"] == 2
    for text in ("flying", "vision in mars-north-1"):
        with pytest.raises(ValueError, match="--for"):
            choose(text, DAY)


def test_the_command_prints_the_choice():
    shown = CliRunner().invoke(app, ["models", "--for", "vision, cheapest in us-east-1", "--json"])
    assert json.loads(shown.stdout)[0]["model_id"] == "meta.llama4-scout-17b-instruct-v1:0"
    assert "scout" in CliRunner().invoke(app, ["models", "--for", "vision"]).stdout
    failed = CliRunner().invoke(app, ["models", "--for", "long context, vision, cheapest in eu"])
    assert failed.exit_code != 0
    assert "without 'in eu': 2" in failed.stderr


def test_live_lists_models_and_profiles(aws_credentials, monkeypatch):
    with LocalBedrock(engine=ScriptedEngine([])) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        shown = CliRunner().invoke(app, ["models", "--live", "--region", "us-east-1", "--json"])
    found = {(one["kind"], one["model"]) for one in json.loads(shown.stdout)}
    assert ("profile", "us.meta.llama3-3-70b-instruct-v1:0") in found
    assert any(kind == "model" for kind, _ in found)
    assert CliRunner().invoke(
        app, ["models", "--live"], env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    )
