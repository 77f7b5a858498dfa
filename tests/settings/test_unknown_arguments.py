"""Nothing given is dropped: every public class, factory and call refuses a name it does not know."""

import asyncio
import importlib
import inspect
import pickle

import pytest
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from pydantic import SecretStr, ValidationError

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock
from llama_bedrock.agents import create_rag_agent, create_tool_agent
from llama_bedrock.grounding import GuardrailVerifier
from llama_bedrock.retrievers import (
    BedrockReranker,
    FAISSStore,
    HybridRetriever,
    KnowledgeBaseIngestor,
    KnowledgeBaseQA,
    KnowledgeBaseRetriever,
)
from llama_bedrock.unknown_arguments import MODEL_HINTS, UnknownArgumentError

MODULES = ["", "agents", "app", "grounding", "local", "retrievers", "testing"]
NOT_MADE_BY_USERS = {"Engine", "EngineError", "Filter", "LlamaLifecycleWarning", "StopReason"}
HAND_ON = {"GuardrailVerifier", "create_rag_agent", "create_tool_agent"}  # see CALLS
MODEL = "meta.llama3-3-70b-instruct-v1:0"
REFUSED = (TypeError, ValueError)


def public_callables():
    for name in MODULES:
        module = importlib.import_module(f"llama_bedrock.{name}".rstrip("."))
        for public in getattr(module, "__all__", ()):
            made = getattr(module, public)
            if (
                inspect.isfunction(made) or inspect.isclass(made)
            ) and public not in NOT_MADE_BY_USERS | HAND_ON:
                yield pytest.param(made, id=f"{name}.{public}")


@pytest.mark.parametrize("made", list(public_callables()))
def test_an_unknown_argument_is_refused_by_name(made):
    with pytest.raises(REFUSED, match=r"temprature|takes no arguments"):
        made(temprature=0.1)


@pytest.fixture(scope="module")
def store():
    return FAISSStore.from_documents([Document("Llamas hum.")], DeterministicFakeEmbedding(size=8))


MODELS = [kind(model=MODEL, region_name="us-east-2") for kind in (ChatLlamaBedrock, LlamaBedrock)]
KNOWLEDGE_BASE = {"knowledge_base_id": "ABCDEFGHIJ", "region_name": "us-east-2"}
CALLS = {
    **{
        f"{type(llm).__name__}.{name}": lambda _, llm=llm, name=name, **given: getattr(llm, name)(
            "hi", **given
        )
        for llm in MODELS
        for name in ("invoke", "batch")
    },
    **{f"{type(llm).__name__}.bind": lambda _, llm=llm, **given: llm.bind(**given) for llm in MODELS},
    **{
        f"{type(llm).__name__}.with_config": lambda _, llm=llm, **given: llm.with_config(**given)
        for llm in MODELS
    },
    **{
        f"{type(llm).__name__}.with_retry": lambda _, llm=llm, **given: llm.with_retry(
            wait_exponential_jitter=False
        ).invoke("hi", **given)
        for llm in MODELS
    },
    **{
        f"{type(llm).__name__}.stream": lambda _, llm=llm, **given: list(llm.stream("hi", **given))
        for llm in MODELS
    },
    **{
        f"{type(llm).__name__}.model_copy": lambda _, llm=llm, **given: llm.model_copy(update=given)
        for llm in MODELS
    },
    "GuardrailVerifier": lambda _, **given: GuardrailVerifier("g", region_name="us-east-2", **given),
    "create_tool_agent": lambda _, **given: create_tool_agent(MODELS[0], [], **given),
    "create_rag_agent": lambda store, **given: create_rag_agent(
        MODELS[0], HybridRetriever(store=store), **given
    ),
    "bind_tools": lambda _, **given: MODELS[0].bind_tools([], **given),
    "with_structured_output": lambda _, **given: MODELS[0].with_structured_output(dict, **given),
    "render_prompt": lambda _, **given: MODELS[0].render_prompt("hi", **given),
    "KnowledgeBaseRetriever.invoke": lambda _, **given: KnowledgeBaseRetriever(**KNOWLEDGE_BASE).invoke(
        "hi", **given
    ),
    "KnowledgeBaseQA.invoke": lambda _, **given: KnowledgeBaseQA(model=MODEL, **KNOWLEDGE_BASE).invoke(
        "hi", **given
    ),
    "HybridRetriever.invoke": lambda store, **given: HybridRetriever(store=store).invoke("hi", **given),
    "HybridRetriever.model_copy": lambda store, **given: HybridRetriever(store=store).model_copy(
        update=given
    ),
    "FAISSStore.similarity_search": lambda store, **given: store.similarity_search("hi", **given),
    "FAISSStore.max_marginal_relevance_search": lambda store, **given: store.max_marginal_relevance_search(
        "hi", **given
    ),
    "FAISSStore.add_documents": lambda store, **given: store.add_documents([Document("x")], **given),
    "FAISSStore.delete": lambda store, **given: store.delete(["x"], **given),
    "FAISSStore.as_retriever": lambda store, **given: store.as_retriever(**given),
    "FAISSStore.from_documents": lambda store, **given: FAISSStore.from_documents([Document("x")], **given),
}


@pytest.mark.parametrize("call", CALLS)
def test_an_unknown_argument_of_a_call_is_refused_by_name(call, store):
    with pytest.raises(REFUSED, match="temprature"):
        CALLS[call](store, temprature=0.1)


@pytest.mark.parametrize("llm", MODELS, ids=lambda llm: type(llm).__name__)
def test_an_unknown_attribute_is_refused_by_name(llm):
    with pytest.raises(UnknownArgumentError, match="takes no 'temprature': did you mean temperature"):
        llm.temprature = 0.1


@pytest.mark.parametrize("kind", [ChatLlamaBedrock, LlamaBedrock])
@pytest.mark.parametrize(("name", "hint"), list(MODEL_HINTS.items()))
def test_names_of_other_libraries_are_known(kind, name, hint):
    with pytest.raises(ValueError, match=f"takes no '{name}': ") as error:
        kind(model=MODEL, **{name: "x"})
    assert hint in str(error.value)
    with pytest.raises(TypeError) as error:
        kind(model=MODEL).bind(**{name: "x"})
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("guardrail_config", "guardrails="),
        ("model_kwargs", "temperature="),
        ("region", "region_name="),
        ("bedrock_api_key", "api_key="),
        ("base_url", "endpoint_url="),
        ("performance_config", "latency="),
        ("max_new_tokens", "max_tokens="),
        ("max_completion_tokens", "max_tokens="),
        ("provider", "prompt_format="),
        ("base_model_id", "prompt_format="),
        ("system", "SystemMessage"),
        ("beta_use_converse_api", "leave it out"),
        ("additional_model_request_fields", "leave it out"),
        ("top_k", "no such setting"),
        ("n", "batch"),
    ],
)
def test_what_it_is_called_here(name, here):
    assert here in MODEL_HINTS[name]


@pytest.mark.parametrize(
    ("name", "here"),
    [
        ("retrieval_config", "k=…, filter=…, search_type=…"),
        ("min_score_confidence", "min_score="),
        ("number_of_results", "k="),
        ("guardrail_config", "guardrail_id="),
        ("region", "region_name="),
    ],
)
def test_names_of_langchain_aws_for_a_knowledge_base(name, here):
    with pytest.raises(ValueError, match=here):
        KnowledgeBaseRetriever(**KNOWLEDGE_BASE, **{name: "x"})
    with pytest.raises(ValueError, match=here):
        KnowledgeBaseRetriever(**KNOWLEDGE_BASE).invoke("hi", **{name: "x"})


def test_the_search_type_of_langchain_aws_is_refused_with_ours():
    with pytest.raises(ValueError, match="'hybrid' or 'semantic'"):
        KnowledgeBaseRetriever(**KNOWLEDGE_BASE, search_type="HYBRID")


def test_two_names_of_one_setting_are_refused():
    with pytest.raises(ValueError, match="max_tokens and max_gen_len are one setting"):
        ChatLlamaBedrock(model=MODEL, max_tokens=5, max_gen_len=6)


@pytest.mark.parametrize(
    "given",
    [
        {"api_key": "geheim", "temprature": 0.1},
        {"api_key": "geheim", "temperature": "hot"},
        {"api_key": ["geheim"]},
    ],
)
def test_a_refusal_holds_no_key(given):
    """Not in its text, in what logs take of it, nor where it is pickled, as by Celery or Ray."""
    with pytest.raises(ValidationError) as caught:
        ChatLlamaBedrock(model=MODEL, **given)
    error = caught.value
    assert error.errors()
    assert "geheim" not in f"{error} {error!r} {error.errors()} {pickle.dumps(error)}"


def test_a_setting_given_as_config_is_told_where_it_belongs():
    with pytest.raises(
        UnknownArgumentError, match=r"'temperature': with_config takes LangChain's .* use bind"
    ):
        MODELS[0].with_config(temperature=0.5)
    assert MODELS[0].with_config({"tags": ["a"]}, run_name="b").config["run_name"] == "b"


CONNECTING = ("region_name", "endpoint_url", "credentials_profile_name")
OF_A_BASE = {"knowledge_base_id": "ABCDEFGHIJ", "region_name": "us-east-2"}


@pytest.mark.parametrize("unset", ["", "  ", "name\n"])
@pytest.mark.parametrize(
    ("made", "given", "names"),
    [
        (ChatLlamaBedrock, {"model": "meta.llama3-3-70b-instruct-v1:0"}, CONNECTING),
        (LlamaBedrock, {"model": "meta.llama3-3-70b-instruct-v1:0"}, CONNECTING),
        (
            KnowledgeBaseRetriever,
            OF_A_BASE,
            (*CONNECTING, "guardrail_id", "guardrail_version", "user_id"),
        ),
        (
            KnowledgeBaseQA,
            {**OF_A_BASE, "model": "meta.llama3-3-70b-instruct-v1:0"},
            (*CONNECTING, "model", "guardrail_id", "guardrail_version", "user_id", "kms_key_arn"),
        ),
        (
            KnowledgeBaseIngestor,
            {**OF_A_BASE, "data_source_id": "ABCDEFGHIJ"},
            (*CONNECTING, "s3_endpoint_url"),
        ),
        (BedrockReranker, {"model": "cohere.rerank-v3-5:0"}, (*CONNECTING, "model")),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_a_name_of_an_unset_variable_is_refused(made, given, names, unset):
    """Else another profile's keys, AWS's own endpoint, or documents of no user in particular."""
    for name in names:
        with pytest.raises(ValueError, match=rf"(?s){name}.*(empty|white space|region|Region)"):
            made(**{**given, name: unset})


@pytest.mark.parametrize("option", ["user_id", "session_id"])
def test_a_call_refuses_an_empty_user(option):
    answerer = KnowledgeBaseQA(**OF_A_BASE, model="meta.llama3-3-70b-instruct-v1:0")
    with pytest.raises(ValueError, match=f"{option} is empty"):
        answerer.invoke("Who may see this?", **{option: ""})
    if option == "user_id":
        with pytest.raises(ValueError, match="user_id is empty"):
            KnowledgeBaseRetriever(**OF_A_BASE).invoke("Who may see this?", user_id="")


KEYS = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "aws_session_token": "c"}


@pytest.mark.parametrize("name", [*KEYS, "api_key"])
@pytest.mark.parametrize("unset", ["", " ", "s3cr3t\n"])
def test_an_empty_key_is_refused(monkeypatch, name, unset):
    """The environment's key would sign in its place: that of another tenant."""
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "of-the-environment")
    given = {**(KEYS if name in KEYS else {}), name: unset}
    for made in (
        lambda **one: ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2", **one
        ),
        lambda **one: KnowledgeBaseRetriever(**OF_A_BASE, **one),
    ):
        with pytest.raises(ValueError, match=rf"(?s){name}.*the key (is empty|has white space)") as caught:
            made(**given)
        assert "s3cr3t" not in str(caught.value)


def test_an_empty_key_of_the_environment_is_none(monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "")
    assert ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2").api_key is None
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "of-a-file\n")
    key = ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2").api_key
    assert key.get_secret_value() == "of-a-file"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"stop": ""}, "stop"),
        ({"stop": ["", "x"]}, "stop"),
        ({"limiter": 16}, "an AdaptiveConcurrency"),
        ({"fallback_models": [""]}, "model"),
        ({"fallback_models": ["meta.llama9"]}, "meta.llama9"),
    ],
    ids=str,
)
def test_what_only_a_rare_call_would_find_is_found_at_once(given, said):
    with pytest.raises(ValueError, match=said):
        ChatLlamaBedrock(model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2", **given)


@pytest.mark.parametrize("name", ["api_key", "credentials_profile_name", "endpoint_url", "region_name"])
@pytest.mark.parametrize("change", ["copied", "assigned"])
def test_a_change_to_an_empty_name_is_refused_by_the_call(monkeypatch, name, change):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "of-the-environment")
    model = ChatLlamaBedrock(
        model="meta.llama3-3-70b-instruct-v1:0",
        region_name="us-east-2",
        endpoint_url="http://127.0.0.1:9",
        api_key="a",
    )
    empty = SecretStr("") if name == "api_key" else ""
    if change == "copied":
        model = model.model_copy(update={name: empty})
    else:
        setattr(model, name, empty)
    with pytest.raises(ValueError, match=rf"{name} is empty"):
        model.invoke("Hello")
    with pytest.raises(ValueError, match=rf"{name} is empty"):
        asyncio.run(model.ainvoke("Hello"))


@pytest.mark.parametrize("name", ["guardrail_id", "user_id"])
def test_a_changed_search_refuses_an_empty_guardrail_and_user(name):
    searching = KnowledgeBaseRetriever(**OF_A_BASE).model_copy(update={name: ""})
    with pytest.raises(ValueError, match=f"{name} is empty"):
        searching.invoke("Who may see this?")
