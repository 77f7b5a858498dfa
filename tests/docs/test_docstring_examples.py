"""Every example of every docstring runs, against the local endpoint.

An example is an indented block after a blank line, outside the sections "Args:" and the like. What such a
block holds and is no Python stands in `NOT_PYTHON`, each with what it is. Names that an example does not
import are those a reader has at hand: the public names, and what the fixture `reader` gives.
"""

from __future__ import annotations

import ast
import doctest
import importlib
import shutil
import textwrap
from pathlib import Path

import pytest
from langchain_core.documents import Document

import llama_bedrock
from llama_bedrock import ChatLlamaBedrock, agents, grounding, local, retrievers, testing
from llama_bedrock.local import faults
from llama_bedrock.local.knowledge_base.vector_store import LocalKnowledgeBase
from llama_bedrock.retrievers import FAISSStore, HybridRetriever, filters

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "llama_bedrock": "llama_bedrock",
    "agents": "llama_bedrock.agents",
    "retrievers": "llama_bedrock.retrievers",
}
SECTIONS = ("Args:", "Raises:", "Returns:", "Attributes:", "Yields:", "Sources:")
NOT_PYTHON = {
    "<s>[INST]": "a prompt of Llama 2",
    "<passage ": "passages of a prompt",
    "LlamaBedrockError\n": "the tree of errors",
    "folder/\n": "files of a saved store",
    "```text": "what takes a bucket, a model's files or a cluster; a page of docs/ runs the like",
}


def sources():
    for folder, package in FOLDERS.items():
        for path in sorted((ROOT / folder).rglob("*.py")):
            inside = path.relative_to(ROOT / folder)
            if folder == "llama_bedrock" and inside.parts[0] in ("agents", "retrievers"):
                continue  # links to the folders beside it
            module = ".".join([package, *inside.with_suffix("").parts]).removesuffix(".__init__")
            yield path, module


def blocks(docstring: str) -> list[str]:
    """The indented blocks of a docstring that are no part of a section."""
    found: list[list[str]] = []
    in_section, in_block, before = False, False, ""
    for line in docstring.splitlines():
        if line and not line.startswith(" "):
            in_section, in_block = line.strip() in SECTIONS, False
        elif not in_section and not in_block and line.startswith("    "):
            in_block = not before.strip() or before.startswith("Example")
            found += [[]] if in_block else []
        if in_block:
            found[-1].append(line)
        before = line
    texts = (textwrap.dedent("\n".join(lines)).strip("\n") for lines in found)
    return [text.removeprefix("```python\n").removesuffix("\n```") for text in texts]


def examples():
    for path, module in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                docstring = ast.get_docstring(node) or ""
                for block in blocks(docstring):
                    if not block.startswith(tuple(NOT_PYTHON)):
                        name = f"{module}.{getattr(node, 'name', '')}".rstrip(".")
                        yield pytest.param(module, block, id=name)


EXAMPLES = list(examples())


@pytest.fixture
def reader(tmp_path, aws_credentials, monkeypatch):
    """What a reader has: a folder with documents, a saved index, and AWS, which is the local endpoint."""
    (tmp_path / "docs").mkdir()
    for page in ("tools.md", "prompts.md"):
        shutil.copy(ROOT / "docs" / page, tmp_path / "docs" / page)
    (tmp_path / "questions.csv").write_text(
        "question,answer\n" + "".join(f"What is {n} plus one?,{n + 1}\n" for n in range(120))
    )
    monkeypatch.chdir(tmp_path)
    documents = [
        Document(text, id=name, metadata={"lang": "en", "year": 2025, "source": name, "product": "x200"})
        for name, text in {
            "returns": "The return policy: goods go back within thirty days. Sale items go back within ten days.",
            "reset": "How to reset the x200: press the button for ten seconds. The token limit is then 4,096.",
        }.items()
    ]
    store = FAISSStore.from_documents(documents)
    store.save("index")
    base = LocalKnowledgeBase(FAISSStore.from_documents(documents), data_source=lambda: documents)
    with local.LocalBedrock(knowledge_bases={"ABCDEFGHIJ": base}) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        yield {
            **_public_names(),
            "documents": documents,
            "store": store,
            "llm": ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0"),
            "retriever": HybridRetriever(store=store),
            "imported_base_model_arn": "arn:aws:bedrock:us-east-2:123456789012:imported-model/abcdefghij12",
        }


def _public_names():
    names = {}
    for module in (llama_bedrock, retrievers, grounding, agents, local, testing):
        names |= {name: getattr(module, name) for name in module.__all__}
    for module in (faults, filters):
        names |= {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return names


@pytest.mark.parametrize(("module", "example"), EXAMPLES)
def test_an_example_runs(module, example, reader):
    names = {**reader, **vars(importlib.import_module(module)), "__name__": module}
    if ">>>" in example:
        test = doctest.DocTestParser().get_doctest(example, names, module, None, None)
        assert doctest.DocTestRunner(optionflags=doctest.ELLIPSIS).run(test).failed == 0
    else:
        exec(compile(example, f"<example of {module}>", "exec"), names)


def test_examples_are_found():
    homes = {param.values[0] for param in EXAMPLES}
    assert len(EXAMPLES) >= 15
    assert {"llama_bedrock.testing", "llama_bedrock.chat_model", "llama_bedrock.retrievers.filters"} <= homes


def test_what_an_example_is_and_is_not():
    text = "Head.\n\n    one = 1\n\n    two = 2\n\nArgs:\n    name: text\n        more\n\nEnd::\n\n    >>> 1\n    1\n"
    assert blocks(text) == ["one = 1\n\ntwo = 2", ">>> 1\n1"]
    assert blocks("Example:\n    ```python\n    x = 1\n    ```\n\nArgs:\n    x: y") == ["x = 1"]
    assert blocks("- an item\n    that goes on\n\nText.") == []
