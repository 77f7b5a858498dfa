"""What LangChain asks a chat model at each call is answered sooner than by LangChain's own code, and as it."""

import inspect

import pytest
from langchain_core.language_models import BaseChatModel

from llama_bedrock import ChatLlamaBedrock


@pytest.fixture
def llm():
    return ChatLlamaBedrock(
        model="meta.llama3-1-8b-instruct-v1:0", region_name="us-west-2", api_key="local", stop=["a"]
    )


@pytest.mark.parametrize("given", [{}, {"stop": ["b"]}, {"stop": None, "temperature": 0.5, "tools": []}])
def test_the_parameters_of_a_call_are_those_langchain_finds(llm, given):
    assert llm._get_invocation_params(**given) == BaseChatModel._get_invocation_params(llm, **given)


def test_they_follow_a_setting_that_changes_in_place(llm):
    before = llm._get_invocation_params()
    llm.stop.append("c")
    llm.temperature = 0.25
    after = llm._get_invocation_params()
    assert (before["temperature"], after["temperature"]) == (None, 0.25)
    assert after["stop_sequences"] == ["a", "c"]


@pytest.mark.parametrize("name", ["_generate", "_agenerate"])
def test_the_signature_that_is_kept_is_the_functions(llm, name):
    function = vars(ChatLlamaBedrock)[name]
    kept = vars(function)["__signature__"]
    copy = type(function)(function.__code__, function.__globals__, name, function.__defaults__)
    assert list(kept.parameters) == list(inspect.signature(copy).parameters)
    assert "run_manager" in inspect.signature(getattr(llm, name)).parameters
    assert "self" not in inspect.signature(getattr(llm, name)).parameters
