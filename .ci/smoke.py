"""Checks of an installed wheel: ``smoke.py core`` with no extra, ``smoke.py local`` with [local]."""

import importlib.metadata
import sys


def check_core() -> None:
    """Without an extra: import, every public name, a chat over a real socket, and nothing heavy installed."""
    installed = {d.metadata["Name"].lower() for d in importlib.metadata.distributions()}
    heavy = installed & {"scikit-learn", "langchain-aws", "faiss-cpu", "langchain", "langgraph"}
    assert not heavy, f"a plain install pulls {sorted(heavy)}"
    import llama_bedrock

    for name in llama_bedrock.__all__:
        getattr(llama_bedrock, name)
    from llama_bedrock.local import LocalBedrock
    from llama_bedrock.testing import ScriptedEngine

    with LocalBedrock(engine=ScriptedEngine(["Hello from a socket."])) as server:
        llm = llama_bedrock.ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="example",
        )
        assert "".join(chunk.text for chunk in llm.stream("Hi")) == "Hello from a socket."


def check_local() -> None:
    """With [local]: every public name of the retrievers, and of the agents what needs no extra."""
    import llama_bedrock.agents
    import llama_bedrock.retrievers

    for name in llama_bedrock.retrievers.__all__:
        getattr(llama_bedrock.retrievers, name)
    assert callable(llama_bedrock.agents.create_rag_chain)


def check_package_page() -> None:
    """What a package index shows: no link and no picture that needs a place beside it."""
    from markdown_it import MarkdownIt

    page = MarkdownIt("commonmark").parse(importlib.metadata.metadata("llama-bedrock").get_payload())
    parts = [part for block in page for part in block.children or []]
    leads_to = [str(part.attrs.get("href", part.attrs.get("src", "https:"))) for part in parts]
    relative = [address for address in leads_to if not address.startswith("https:")]
    assert len(page) > 50, "the wheel has no description"
    assert not relative, f"the description links to {relative}"


files = importlib.metadata.files("llama-bedrock") or []
tops = {f.parts[0] for f in files if not f.parts[0].endswith(".dist-info") and f.parts[0] != ".."}
assert tops == {"llama_bedrock"}, f"the wheel installs {sorted(tops)}"
check_package_page()
{"core": check_core, "local": check_local}[sys.argv[1]]()
print(f"smoke {sys.argv[1]}: ok")
