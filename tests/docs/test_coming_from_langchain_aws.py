"""The six apps of docs/coming-from-langchain-aws.md run before and after, each by itself, against the local
endpoint.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from langchain_core.documents import Document

from llama_bedrock.local import Guardrail, LocalBedrock
from llama_bedrock.retrievers import FAISSStore

PAGE = Path(__file__).resolve().parents[2] / "docs" / "coming-from-langchain-aws.md"
_BLOCK = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
_DOCUMENTS = [
    Document("The return policy: goods go back within thirty days.", metadata={"lang": "en"}),
    Document("Our shop opens at nine.", metadata={"lang": "en"}),
]


def apps():
    """Title → the blocks of that section."""
    sections = re.split(r"^## (.*)\n", PAGE.read_text(), flags=re.M)
    found = {title: _BLOCK.findall(body) for title, body in zip(sections[1::2], sections[2::2], strict=True)}
    return {title: blocks for title, blocks in found.items() if len(blocks) == 2}


APPS = apps()


def test_there_are_six_apps_and_each_leaves_langchain_aws_behind():
    assert len(APPS) == 6
    for before, after in APPS.values():
        assert "langchain_aws" in before
        assert "from llama_bedrock" in after
        assert "ChatBedrock" not in after


LLAMA = "us.meta.llama3-3-70b-instruct-v1:0"
USER = {"role": "user", "content": [{"text": "Hi"}]}


@pytest.fixture
def endpoint(tmp_path, aws_credentials, monkeypatch):
    base = FAISSStore.from_documents(_DOCUMENTS)
    guardrail = Guardrail(blocked_words=("forbidden",))
    with LocalBedrock(knowledge_bases={"LOCALKB001": base}, guardrails={"gr123": guardrail}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        monkeypatch.chdir(tmp_path)
        yield server.endpoint_url


def serves(endpoint: str, path: str, body: dict) -> bool:
    """Whether the local endpoint knows an operation or a model."""
    headers = {"Authorization": "Bearer test", "Content-Type": "application/json"}
    request = urllib.request.Request(endpoint + path, json.dumps(body).encode(), headers)
    try:
        return urllib.request.urlopen(request, timeout=20).status == 200
    except urllib.error.HTTPError:
        return False


EXPECTED = {
    "Chat": None,
    "Tools and a guardrail": "Cusco",
    "RAG with FAISS": "128K",
    "A Knowledge Base": "return policy",
    "An agent": "428",
    "An imported model, with a cache and a fallback": None,
}


@pytest.mark.filterwarnings("ignore")  # what the old libraries warn of is theirs
@pytest.mark.parametrize("title", APPS)
def test_an_app_runs_before_and_after(title, endpoint, capsys):
    before, after = APPS[title]
    needed = {
        "ChatBedrockConverse": (f"/model/{LLAMA}/converse", {"messages": [USER]}),
        "titan-embed": ("/model/amazon.titan-embed-text-v2:0/invoke", {"inputText": "x"}),
    }
    for code in (before, after):
        pytest.importorskip("langchain_aws")
        if "langchain_community" in code:
            pytest.importorskip("langchain_community")
        if not all(serves(endpoint, *request) for word, request in needed.items() if word in code):
            continue
        exec(compile(code, title, "exec"), {"__name__": title})
        said = capsys.readouterr().out
        assert said.strip()
        if code == before and title == "RAG with FAISS":
            continue  # a prompt of its own making, whose passages the extractive engine does not know
        assert EXPECTED[title] is None or EXPECTED[title] in said
