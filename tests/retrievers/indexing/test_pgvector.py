"""The page's way to pgvector, run as it stands on a PostgreSQL with pgvector: HybridRetriever on LangChain's store
finds what it finds on the FAISSStore."""

import re

import pytest

from llama_bedrock.retrievers import FAISSStore, HybridRetriever, index_folder
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
    only = there.invoke("tokens", filter={"source": {"$like": "%prompts.md"}})
    assert only
    assert all(document.metadata["source"].endswith("prompts.md") for document in only)
