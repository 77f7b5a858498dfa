"""What create_rag_chain needs: langchain-core. What agents need is named when it is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from llama_bedrock._extras import install_command

_WITHOUT = """
import sys

class Missing:
    asked = set()

    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {missing!r}:
            self.asked.add(name)
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
_CHAIN = """
from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
from langchain_core.documents import Document
from langchain_core.runnables import RunnableLambda
from llama_bedrock.agents import create_rag_chain
model = GenericFakeChatModel(messages=iter(["Llamas hum [1]."]))
chain = create_rag_chain(model, RunnableLambda(lambda q: [Document("Llamas hum.")]))
answer = chain.invoke("What do llamas do?")
assert answer.citations[0].supported
"""


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_the_chain_needs_no_extra_and_loads_nothing_heavy():
    missing = [
        "langchain",
        "langgraph",
        "numpy",
        "faiss",
        "bm25s",
        "sklearn",
        "PIL",
        "langchain_text_splitters",
    ]
    loaded = """
from llama_bedrock.agents import create_rag_chain
print([*Missing.asked - {"langchain_text_splitters"}, *({"boto3", "botocore", "aiohttp"} & sys.modules.keys())])
"""
    done = run(_WITHOUT.format(missing=missing) + loaded + _CHAIN)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_a_missing_extra_is_named():
    names = ["create_rag_agent", "create_tool_agent", "LoopGuard", "BudgetGuard"]
    code = f"""
import llama_bedrock.agents
for name in {names!r}:
    try:
        getattr(llama_bedrock.agents, name)
    except ImportError as error:
        print(error)
"""
    done = run(_WITHOUT.format(missing=["langchain", "langgraph"]) + code)
    assert done.stdout.count(install_command("agents")) == len(names), done.stderr


def test_every_public_name_is_there():
    import llama_bedrock.agents as agents

    assert sorted(agents.__all__) == agents.__all__ == dir(agents)
    for name in agents.__all__:
        assert getattr(agents, name).__doc__
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        agents.nothing  # noqa: B018
