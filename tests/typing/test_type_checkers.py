"""Type checkers, signatures and help know our parameters: plain strings for secrets, aliases, texts."""

import inspect
import re
import shutil
import subprocess
import sys
import typing
from pathlib import Path

import pytest
from langchain_core.runnables import RunnableBinding
from langchain_core.runnables.fallbacks import RunnableWithFallbacks
from pydantic import BaseModel

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock
from llama_bedrock.retrievers import (
    HybridRetriever,
    KnowledgeBaseIngestor,
    KnowledgeBaseQA,
    KnowledgeBaseRetriever,
)
from llama_bedrock.settings import BedrockLlama

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = Path(__file__).with_name("documented_uses.py")
MODEL = "meta.llama3-3-70b-instruct-v1:0"
MODELS = [ChatLlamaBedrock, LlamaBedrock]
OURS = {*BedrockLlama.model_fields, "streaming", "tool_dialect"}
CLASSES = [*MODELS, HybridRetriever, KnowledgeBaseIngestor, KnowledgeBaseQA, KnowledgeBaseRetriever]


class Animal(BaseModel):
    """An animal."""

    legs: int


# What docs/rag.md calls of models that are not installed, as their packages declare it.
STUBS = {
    "sentence_transformers.pyi": """
import numpy
class CrossEncoder:
    def __init__(self, model_name_or_path: str) -> None: ...
    def predict(
        self, sentences: list[tuple[str, str]], *, apply_softmax: bool = ...
    ) -> numpy.ndarray[tuple[int, int], numpy.dtype[numpy.float32]]: ...
""",
    "minicheck/__init__.pyi": "",
    "minicheck/minicheck.pyi": """
class MiniCheck:
    def __init__(self, model_name: str = ..., cache_dir: str | None = ...) -> None: ...
    def score(
        self, docs: list[str], claims: list[str]
    ) -> tuple[list[int], list[float], list[list[str]], list[list[float]]]: ...
""",
}


def verifiers_of_the_docs(folder):
    """The block of docs/rag.md that makes verifiers of other models, as a file beside their stubs."""
    page = (ROOT / "docs" / "rag.md").read_text("utf-8")
    (block,) = (b for b in re.findall(r"^```python\n(.*?)^```", page, re.M | re.S) if "CrossEncoder" in b)
    assert "MiniCheck" in block
    for name, text in STUBS.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    (folder / "verifiers_of_the_docs.py").write_text(block)
    return str(folder / "verifiers_of_the_docs.py")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("checker", ["mypy", "pyright"])
def test_documented_uses_have_types(checker, tmp_path, monkeypatch):
    files = [str(SAMPLE)]
    if checker == "mypy":
        command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml")]
        files.append(verifiers_of_the_docs(tmp_path))
        monkeypatch.setenv("MYPYPATH", str(tmp_path))
    elif (npx := shutil.which("npx")) is None:
        pytest.skip("pyright runs on node, and there is no npx")
    else:
        command = [npx, "--yes", "pyright@1.1.400", "--pythonpath", sys.executable]
    done = subprocess.run([*command, *files], cwd=ROOT, capture_output=True, text=True, check=False)
    if checker == "pyright" and "npm error" in done.stderr:
        pytest.skip(f"pyright cannot be had: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("kind", CLASSES)
def test_the_types_of_all_our_public_methods_resolve(kind):
    ours = [
        method
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_") and method.__module__.startswith("llama_bedrock")
    ]
    assert ours
    for method in ours:
        typing.get_type_hints(method)


def test_fallbacks_hand_on_what_makes_another_runnable():
    """LangChain looks at the return types of methods to know which ones do."""
    llm = ChatLlamaBedrock(model=MODEL).with_fallbacks([ChatLlamaBedrock(model="us." + MODEL)])
    bound = llm.bind_tools([Animal])
    assert isinstance(bound, RunnableWithFallbacks)
    assert all(isinstance(runnable, RunnableBinding) for runnable in bound.runnables)
    assert isinstance(llm.with_structured_output(Animal), RunnableWithFallbacks)


def test_a_structured_model_says_what_it_takes_and_gives():
    structured = ChatLlamaBedrock(model=MODEL).with_structured_output(Animal)
    assert structured.OutputType is Animal
    assert structured.get_output_jsonschema()["properties"].keys() == {"legs"}
    assert structured.InputType
    assert structured.get_input_jsonschema()["anyOf"]


@pytest.mark.parametrize("kind", MODELS)
def test_the_signature_and_help_show_every_parameter_with_its_text(kind):
    shown = inspect.signature(kind).parameters
    for name, field in kind.model_fields.items():
        assert name in shown
        if name in OURS:
            assert field.description, name
            assert f"    {name}: " in inspect.getdoc(kind)


def test_the_signature_is_its_own_before_the_first_instance():
    program = "import inspect, llama_bedrock as l; print(*inspect.signature(l.LlamaBedrock).parameters)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {"model", "temperature", "region_name", "streaming"} <= set(done.stdout.split())


@pytest.mark.parametrize("module", ["llama_bedrock", "llama_bedrock.chat_model", "llama_bedrock.retrievers"])
def test_it_is_imported_without_a_warning(module):
    program = (
        f"import {module} as module; [getattr(module, name) for name in module.__dict__.get('__all__', [])]"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
