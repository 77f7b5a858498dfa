"""The page's way to pgvector, run as it stands on a PostgreSQL with pgvector: HybridRetriever on LangChain's store
finds what it finds on the FAISSStore."""

import json
import re

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, index_folder, migrate_to_postgres
from tests.examples.bare import ROOT

pytestmark = pytest.mark.slow


def test_what_the_page_says_about_pgvector(postgres, tmp_path, monkeypatch, request):
    pytest.importorskip("langchain_postgres")
    monkeypatch.chdir(tmp_path)
    store = FAISSStore()
    index_folder(ROOT / "docs", store, save="index")
    blocks = re.findall(
        r"^```text\n(.*?)^```", (ROOT / "docs" / "scaling.md").read_text("utf-8"), re.M | re.S
    )
    (block,) = [one for one in blocks if "PGVectorStore" in one]
    address = "postgresql+psycopg://user:password@db.example.org/docs"
    assert address in block
    names = {}
    request.addfinalizer(lambda: names["engine"]._run_as_sync(names["engine"].close()))
    exec(block.replace(address, postgres.replace("postgresql:", "postgresql+psycopg:")), names)
    here, there = HybridRetriever(store=store, k=6), names["retriever"]
    for question in (
        "How do I force a tool?",
        "What does a citation verdict mean?",
        "Which end of life has Llama 3.3?",
    ):
        wanted, found = here.invoke(question), there.invoke(question)
        assert [document.id for document in found] == [document.id for document in wanted]
        assert [document.page_content for document in found] == [document.page_content for document in wanted]
    gone = wanted[0].id
    store.delete([gone])
    address = postgres.replace("postgresql:", "postgresql+psycopg:")
    assert migrate_to_postgres(store, "passages", address, on_progress=[].append) == len(store)
    assert names["pgvector"].get_by_ids([gone]) == []
    only = there.invoke("tokens", filter={"source": {"$like": "%prompts.md"}})
    assert only
    assert all(document.metadata["source"].endswith("prompts.md") for document in only)


def test_the_command_updates_its_own_tables_and_leaves_others_alone(postgres, tmp_path, monkeypatch):
    pytest.importorskip("langchain_postgres")
    psycopg = pytest.importorskip("psycopg")
    monkeypatch.setenv("LLAMA_BEDROCK_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "herd's notes"
    folder.mkdir()
    (folder / "a.md").write_text("# Llamas\n\nLlamas carry 30 kg.\n")
    (folder / "b.md").write_text("# Alpacas\n\nAlpacas carry nothing.\n")
    command = ["index", "migrate", str(folder), "--to", postgres, "--embeddings", "lsa", "--json"]

    def run(*more):
        return CliRunner().invoke(app, [*command, *more])

    first = run()
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert (told["collection"], told["passages"]) == ("herd's notes", 2)
    (folder / "b.md").unlink()
    assert json.loads(run().stdout)["passages"] == 1
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("CREATE TABLE others (id int)")
        connection.execute("INSERT INTO others VALUES (1)")
        refused = run("--collection", "others")
        assert refused.exit_code != 0
        assert "'others' that holds something else" in refused.output
        assert connection.execute("SELECT count(*) FROM others").fetchone() == (1,)


def test_a_server_that_is_not_there_is_named_without_its_password(tmp_path):
    pytest.importorskip("langchain_postgres")
    (tmp_path / "a.md").write_text("Llamas carry 30 kg.")
    address = "postgresql://ada:geheim@127.0.0.1:9/docs"
    done = CliRunner().invoke(
        app, ["index", "migrate", str(tmp_path), "--to", address, "--embeddings", "lsa"]
    )
    assert done.exit_code != 0
    assert "127.0.0.1:9" in done.output
    assert "Traceback" not in done.output
    assert "geheim" not in done.output
