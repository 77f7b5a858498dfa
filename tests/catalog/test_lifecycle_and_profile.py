"""Warnings about models that leave Bedrock, and the facts as LangChain's model profile."""

import subprocess
import sys
import warnings

import pytest
from langchain_core.language_models.model_profile import ModelProfile

from llama_bedrock.catalog import CATALOG, lifecycle_message, model_profile, resolve_model
from llama_bedrock.catalog.resolve import ResolvedModel

WARN_TWICE = """
import warnings
warnings.simplefilter("always")
from llama_bedrock.catalog import resolve_model, warn_lifecycle
for _ in range(2):
    warn_lifecycle(resolve_model("meta.llama3-3-70b-instruct-v1:0"))
    warn_lifecycle(resolve_model("us.meta.llama3-3-70b-instruct-v1:0"))
    imported = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc"
    warn_lifecycle(resolve_model(imported, prompt_format="llama3"))
"""


def test_a_model_warns_once_per_process_at_the_callers_line(tmp_path):
    script = tmp_path / "user_code.py"
    script.write_text(WARN_TWICE)
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    assert run.stderr.count("LlamaLifecycleWarning") == 1
    assert "user_code.py:6: LlamaLifecycleWarning" in run.stderr
    assert "2027-03-30" in run.stderr


@pytest.mark.parametrize("info", CATALOG.values(), ids=CATALOG)
def test_the_message_holds_the_date_and_both_ways_out(info):
    message = lifecycle_message(info)
    assert info.model_id in message
    if info.end_of_life:
        assert str(info.end_of_life) in message
    assert "Custom Model Import" in message
    assert f"prompt_format={info.generation!r}" in message
    if info.move_to and info.lifecycle == "ended":
        assert info.move_to in message


def test_resolving_alone_never_warns_or_refuses():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for model_id in CATALOG:
            resolve_model(model_id)


@pytest.mark.parametrize("model_id", CATALOG)
def test_the_profile_uses_only_keys_that_langchain_knows(model_id):
    profile = model_profile(resolve_model(model_id))
    assert set(profile) <= set(ModelProfile.__annotations__)
    assert profile["max_input_tokens"] >= 4096
    assert profile["status"] == "deprecated"  # every Llama on Bedrock is Legacy or has ended


@pytest.mark.parametrize(
    ("model_id", "tools", "images"),
    [
        ("meta.llama2-70b-chat-v1", False, False),
        ("meta.llama2-70b-v1", False, False),
        ("meta.llama3-8b-instruct-v1:0", True, False),
        ("meta.llama3-2-1b-instruct-v1:0", True, False),
        ("meta.llama3-2-11b-instruct-v1:0", True, True),
        ("meta.llama4-maverick-17b-instruct-v1:0", True, True),
    ],
)
def test_the_profile_promises_what_the_raw_prompt_path_can_do(model_id, tools, images):
    profile = model_profile(resolve_model(model_id))
    for key in ("tool_calling", "tool_choice", "tool_call_streaming", "structured_output"):
        assert profile[key] is tools, key
    assert profile["image_inputs"] is images
    assert profile["image_url_inputs"] is False


def test_a_hidden_model_has_a_profile_too():
    resolved = ResolvedModel("arn", "arn", "us-east-1", "llama3.1")
    profile = model_profile(resolved)
    assert profile["tool_calling"] is True
    assert "name" not in profile
