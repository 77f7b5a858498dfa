"""`models --for` finds models by words, `models --live` lists what an account has."""

import json
import re
from datetime import date

import boto3
import pytest
from typer.testing import CliRunner

from llama_bedrock.catalog.choosing import choose
from llama_bedrock.cli.main import app
from llama_bedrock.local import Account, LocalBedrock, ModelState
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


PHRASES = {
    "something cheap for chat in Europe": ("in eu", "chat", "cheapest"),
    "I need images and German": ("vision", "german"),
    "the smallest model with tool use": ("tools", "smallest"),
    "cheapest vision model in us-east-1": ("in us-east-1", "vision", "cheapest"),
    "can be fine-tuned in Oregon": ("in us-west-2", "training"),
    "custom model import; multilingual": ("import", "many languages"),
    "at least 100k tokens, answers in French": ("100k tokens", "french"),
    "data stays in the EU": ("in eu",),
    "GovCloud, text only": ("in us-gov", "text alone"),
    "8B, not legacy": ("8b", "not legacy"),
    "as cheap as possible, data must stay in Germany": ("in eu-central-1", "cheapest"),
    "scanned pages": ("vision",),
    "günstigstes Modell mit Bildern in der EU": ("in eu", "vision", "cheapest"),
    "schnelle Antworten auf Deutsch für einen Chatbot": ("chat", "low latency", "german"),
    "ein großes Modell mit Werkzeugen, lange Dokumente, aus Frankfurt": (
        *("tools", "long context", "in eu-central-1", "largest"),
    ),
    "Bilder, aber nicht teuer": ("vision", "cheapest"),
    "Daten müssen in Deutschland bleiben, mehrsprachig": ("in eu-central-1", "many languages"),
}
REFUSED = {
    "best for coding": "coding",
    "ohne Bilder": "ohne",
    "keine Werkzeuge": "keine",
    "no vision": "no",
    "vision under $1": "under $1",
    "without tools": "without",
}


@pytest.mark.parametrize("text", PHRASES)
def test_needs_in_sentences(text):
    assert choose(text, DAY).needs == PHRASES[text]


@pytest.mark.parametrize("text", REFUSED)
def test_a_word_that_is_not_understood_is_named_and_not_left_out(text):
    with pytest.raises(ValueError, match=f"--for: '{re.escape(REFUSED[text])}' is not understood"):
        choose(text, DAY)


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


def test_live_lists_what_the_account_has_with_the_catalogues_facts(aws_credentials, monkeypatch, screen):
    base = "meta.llama3-1-8b-instruct-v1:0"
    account = Account(pace=0.01, models={base: ModelState(lifecycle="active")})
    with LocalBedrock(engine=ScriptedEngine([]), account=account) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        client = boto3.client("bedrock", region_name="us-west-2")
        client.create_provisioned_model_throughput(
            modelUnits=1, provisionedModelName="units", modelId=f"{base}:128k"
        )
        bought = json.loads(
            CliRunner().invoke(app, ["models", "--live", "--region", "us-west-2", "--json"]).stdout
        )
        table = CliRunner().invoke(app, ["models", "--live", "--region", "us-west-2"]).stdout
        narrow = screen("models", "--live", "--region", "us-west-2", columns=80).final
        shown = CliRunner().invoke(app, ["models", "--live", "--region", "us-east-1", "--json"])
    found = {(one["kind"], one["model"]) for one in json.loads(shown.stdout)}
    assert ("profile", "us.meta.llama3-3-70b-instruct-v1:0") in found
    assert any(kind == "model" for kind, _ in found)
    (units,) = [one for one in bought if one["kind"] == "provisioned"]
    assert (units["name"], units["catalogue_id"], units["context_window"]) == ("units", base, 128000)
    assert units["price"] is None  # it is billed by the hour
    direct = next(one for one in bought if one["model"] == base)
    assert direct["price"]["input"] > 0
    assert "128,000" in table
    assert bought[-1]["model"] in table  # the whole ARN, for programs
    assert re.search(r"^provisioned +…:provisioned-model/\S+ +InService", narrow, re.MULTILINE)
    assert "… is arn:aws:bedrock:us-west-2:123456789012" in narrow
    assert CliRunner().invoke(
        app, ["models", "--live"], env={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    )
