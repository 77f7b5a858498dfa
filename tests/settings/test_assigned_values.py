"""A setting that is assigned, copied in or given with a call is refused as where a model is made: by its name."""

from __future__ import annotations

import pytest
from langchain_core.language_models import BaseChatModel

from llama_bedrock import ChatLlamaBedrock

OURS = sorted(ChatLlamaBedrock.model_fields.keys() - BaseChatModel.model_fields.keys())
OF_A_CALL = {"model", "stop", "temperature", "top_p", "max_tokens", "guardrails", "latency", "service_tier"}
OF_A_CALL |= {"request_metadata", "tool_dialect", "special_tokens"}
# Read for some calls only, or as true where it is not empty.
NOT_READ_BY_A_CALL = {"tokenizer", "streaming", "trace"}
WRONG = [object(), -1.5, [1], {"a": 1}, b"x"]


def ways(llm, name, value):
    yield lambda: llm.model_copy(update={name: value}).invoke("x")
    if name in OF_A_CALL:
        yield lambda: llm.invoke("x", **{name: value})
        yield lambda: list(llm.bind(**{name: value}).stream("x"))

    def assigned():
        other = llm.model_copy()
        setattr(other, name, value)
        other.invoke("x")

    yield assigned


@pytest.mark.parametrize("name", OURS)
def test_a_value_of_no_use_is_refused_however_it_comes(scripted, name):
    llm, _ = scripted(["Yes."], repeat=True)
    for value in WRONG:
        for way in ways(llm, name, value):
            try:
                way()
            except (ValueError, TypeError):
                continue
            except Exception as error:
                pytest.fail(f"{name}={value!r}: {error!r}")
            assert type(value) is not object or name in NOT_READ_BY_A_CALL, f"{name}={value!r} was taken"


@pytest.mark.parametrize(
    "given",
    [
        {"max_tokens": 5, "max_gen_len": 9},
        {"model": "us.meta.llama3-3-70b-instruct-v1:0", "model_id": "us.meta.llama3-1-8b-instruct-v1:0"},
        {"max_gen_len": 9, "max_tokens": 5},
        {"stop": ["a"], "stop_sequences": ["b"]},
    ],
)
def test_two_names_of_one_setting_do_not_choose_between_two_values(scripted, given):
    llm, engine = scripted(["Yes."])
    with pytest.raises(ValueError, match="are one setting"):
        llm.bind(**given).invoke("x")
    assert not engine.requests
    assert llm.invoke("x", max_tokens=5, max_gen_len=5).content == "Yes."


@pytest.mark.parametrize("model", ["", [], 0, {}, False])
def test_an_unset_model_of_a_call_is_not_that_of_the_settings(scripted, model):
    llm, engine = scripted(["Yes."])
    for call in (lambda: llm.invoke("x", model=model), lambda: list(llm.stream("x", model=model))):
        with pytest.raises((ValueError, TypeError), match="model"):
            call()
    assert not engine.requests
    assert llm.invoke("x", model=None).content == "Yes."
