"""migrate-plan: ids in source, configuration and Terraform files, judged by the catalogue."""

import os
from datetime import date
from pathlib import Path

import pytest

from llama_bedrock import CATALOG
from llama_bedrock.control import migration, plan_migration

DAY = date(2026, 11, 28)
TERRAFORM = """\
resource "aws_bedrock_model_invocation" "a" {
  model_id = "meta.llama3-3-70b-instruct-v1:0"
  role     = ["arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-405b-instruct-v1:0"]
}
"""
PYTHON = 'llm = ChatBedrock(model="us.meta.llama4-scout-17b-instruct-v1:0")  # or eu.meta.llama3-2-1b-instruct-v1:0\n'


@pytest.fixture
def project(tmp_path):
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "main.tf").write_text(TERRAFORM)
    (tmp_path / "app.py").write_text(PYTHON)
    (tmp_path / "tune.yaml").write_text(
        "base: meta.llama2-13b-v1:0:4k\ncall: meta.llama3-1-70b-instruct-v10\n"
    )
    (tmp_path / "notes.md").write_text("Metallama, meta.llm and example.meta.llama are none.\n")
    for hidden in (".git", "node_modules"):
        (tmp_path / hidden).mkdir()
        (tmp_path / hidden / "x.py").write_text(PYTHON)
    (tmp_path / "weights.bin").write_bytes(b"\0" + PYTHON.encode())
    return tmp_path


def test_every_place_is_found_with_what_follows(project):
    plan = plan_migration(project, today=DAY)
    found = {(use.file.removeprefix(f"{project}/"), use.line, use.found): use for use in plan.uses}
    assert list(found) == [
        ("app.py", 1, "us.meta.llama4-scout-17b-instruct-v1:0"),
        ("app.py", 1, "eu.meta.llama3-2-1b-instruct-v1:0"),
        ("tune.yaml", 1, "meta.llama2-13b-v1:0:4k"),
        ("tune.yaml", 2, "meta.llama3-1-70b-instruct-v10"),
        ("infra/main.tf", 2, "meta.llama3-3-70b-instruct-v1:0"),
        ("infra/main.tf", 3, "meta.llama3-1-405b-instruct-v1:0"),
    ]
    scout, small, base, wrong, legacy, large = plan.uses
    assert (scout.status, scout.end_of_life, scout.successor) == ("legacy", date(2027, 3, 30), None)
    assert "Bedrock imports nothing: it takes no Llama 4" in scout.for_good
    assert (small.status, small.end_of_life) == ("ended", date(2026, 7, 7))
    assert small.successor == "us.meta.llama3-1-8b-instruct-v1:0" or small.successor.startswith(
        "meta.llama3-1-8b"
    )
    assert "import its open weights" in small.for_good
    assert (base.model_id, base.status) == ("meta.llama2-13b-v1", "ended")
    assert (wrong.status, wrong.model_id) == ("unknown", None)
    assert "did you mean 'meta.llama3-1-70b-instruct-v1:0'" in wrong.for_good
    assert "prompt_format='llama3.3'" in legacy.for_good
    assert large.successor == "meta.llama3-3-70b-instruct-v1:0"
    assert "810 GB of weights" in large.for_good
    assert plan.files == 4


def test_the_same_tokens_cost_by_the_catalogue(project):
    plan = plan_migration(
        project / "infra" / "main.tf", today=DAY, input_tokens=3_000_000, output_tokens=500_000
    )
    for use in plan.uses:
        price = CATALOG[use.model_id].price_in(None)
        assert use.cost == pytest.approx(3 * price.input + 0.5 * price.output)
    later = CATALOG["meta.llama3-3-70b-instruct-v1:0"].price_in(None)
    assert plan.uses[1].successor_cost == pytest.approx(3 * later.input + 0.5 * later.output)


def test_after_the_end_nothing_follows_but_the_import(project):
    plan = plan_migration(project, today=date(2027, 3, 30))
    known = [use for use in plan.uses if use.model_id]
    assert {use.status for use in known} == {"ended"}
    assert {use.successor for use in known} == {None}


@pytest.mark.parametrize(
    ("region", "found", "successor"),
    [
        ("us-east-1", "meta.llama3-1-405b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"),
        ("us-east-2", "meta.llama3-1-405b-instruct-v1:0", "meta.llama3-3-70b-instruct-v1:0"),
        (None, "us.meta.llama3-1-405b-instruct-v1:0", "us.meta.llama3-3-70b-instruct-v1:0"),
        (None, "meta.llama3-2-90b-instruct-v1:0", "us.meta.llama4-maverick-17b-instruct-v1:0"),
    ],
)
def test_a_successor_is_an_id_that_can_be_called(region, found, successor, tmp_path):
    (tmp_path / "x.json").write_text(f'{{"model": "{found}"}}')
    (use,) = plan_migration(tmp_path, region=region, today=DAY).uses
    assert use.successor == successor


def test_what_cannot_be_read_is_said(tmp_path):
    (tmp_path / "a.py").symlink_to(tmp_path / "nothing")
    plan = plan_migration(tmp_path)
    assert (plan.uses, plan.unread) == ((), (f"{tmp_path}/a.py: No such file or directory",))
    with pytest.raises(FileNotFoundError):
        plan_migration(tmp_path / "nothing")
    with pytest.raises(ValueError, match="0 or more"):
        plan_migration(tmp_path, input_tokens=-1)


def test_every_model_tells_whether_its_weights_can_be_imported():
    refused = {model for model, info in CATALOG.items() if info.import_obstacle}
    assert {model.split("-instruct")[0] for model in refused} == {
        "meta.llama3-1-405b",
        "meta.llama3-2-90b",
        "meta.llama4-scout-17b",
        "meta.llama4-maverick-17b",
    }


def test_constants_of_the_cdk_and_ids_with_a_context_length_are_found(tmp_path):
    (tmp_path / "stack.ts").write_text(
        "bedrock.FoundationModelIdentifier.META_LLAMA_2_CHAT_13B_V1,\n"
        "FoundationModelIdentifier.META_LLAMA_2_70B_CHAT_V1_0_4K\n"
        "BedrockFoundationModel.META_LLAMA_3_1_70B_INSTRUCT_V1\n"
        "process.env.META_LLAMA_3_KEY + META_LLAMA_API\n"
        "'meta.llama2-13b-chat-v1:0:4k'\n"
    )
    assert [(use.line, use.model_id) for use in plan_migration(tmp_path).uses] == [
        (1, "meta.llama2-13b-chat-v1"),
        (2, "meta.llama2-70b-chat-v1"),
        (3, "meta.llama3-1-70b-instruct-v1:0"),
        (5, "meta.llama2-13b-chat-v1"),
    ]


def test_other_encodings_large_files_and_settings_in_hidden_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(migration, "_MAX_BYTES", 10_000)
    (tmp_path / ".circleci").mkdir()
    (tmp_path / ".circleci" / "config.yml").write_text("model: meta.llama3-8b-instruct-v1:0\n")
    (tmp_path / ".env").write_text("MODEL=meta.llama3-8b-instruct-v1:0\n")
    (tmp_path / "deploy.ps1").write_text("$m = 'meta.llama3-8b-instruct-v1:0'\n", encoding="utf-16")
    (tmp_path / "large.ipynb").write_text("x" * 10_000 + " meta.llama3-8b-instruct-v1:0")
    (tmp_path / "large.bin").write_bytes(bytes(20_000))
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe")
    plan = plan_migration(tmp_path, today=DAY)
    assert [Path(use.file).name for use in plan.uses] == [".env", "deploy.ps1", "config.yml"]
    assert [line.removeprefix(str(tmp_path)) for line in plan.unread] == [
        "/large.ipynb: over 0 MB: give it by itself to read it"
    ]
    assert len(plan_migration(tmp_path / "large.ipynb", today=DAY).uses) == 1
