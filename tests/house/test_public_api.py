"""The names users import, and what importing them costs."""

import re
import subprocess
import sys
from pathlib import Path

import llama_bedrock
import llama_bedrock.agents
import llama_bedrock.local
import llama_bedrock.retrievers
import llama_bedrock.testing

ROOT = Path(__file__).resolve().parents[2]


def test_public_names_are_pinned_and_resolve():
    assert llama_bedrock.__all__ == [
        "CATALOG",
        "AdaptiveConcurrency",
        "ChatLlamaBedrock",
        "EMFMetrics",
        "Escalate",
        "Guardrails",
        "ImportedModelCost",
        "LlamaBedrock",
        "LlamaBedrockError",
        "LlamaLifecycleWarning",
        "ModelInfo",
        "RenderedPrompt",
        "ResolvedModel",
        "SQLiteCache",
        "Spread",
        "TargetHealth",
        "Timeout",
        "__version__",
        "resolve_model",
        "track_usage",
    ]
    for package in (llama_bedrock, llama_bedrock.agents, llama_bedrock.retrievers):
        for name in package.__all__:
            assert getattr(package, name) is not None
    assert llama_bedrock.local.LocalBedrock
    assert llama_bedrock.testing.ScriptedEngine


def test_the_version_is_the_same_everywhere():
    project = re.search(r'^version = "([^"]+)"', (ROOT / "pyproject.toml").read_text(), re.M)
    assert project[1] == llama_bedrock.__version__
    assert f"## [{llama_bedrock.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def loaded_by(statement):
    """Modules that a statement imports, in a fresh process."""
    code = f"import sys\n{statement}\nprint(*sorted(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_chat_model_loads_no_sdk_and_no_optional_dependency():
    loaded = loaded_by("from llama_bedrock import ChatLlamaBedrock")
    heavy = {"boto3", "botocore.session", "aiohttp", "faiss", "numpy", "langchain", "langgraph", "PIL"}
    assert not loaded & (heavy | {"sklearn", "langchain_aws", "typer", "rich"})


def test_importing_the_catalogue_does_not_load_langchain():
    assert "langchain_core" not in loaded_by(
        "from llama_bedrock import CATALOG; CATALOG['meta.llama3-8b-instruct-v1:0']"
    )


def test_importing_has_no_side_effects_on_boto3_logging_or_the_environment():
    code = """
import logging, os, boto3
before = boto3.client, boto3.Session.client, dict(os.environ), logging.root.handlers[:]
import llama_bedrock.chat_model, llama_bedrock.agents, llama_bedrock.retrievers, llama_bedrock.local
assert before == (boto3.client, boto3.Session.client, dict(os.environ), logging.root.handlers[:])
"""
    subprocess.run([sys.executable, "-c", code], check=True)
