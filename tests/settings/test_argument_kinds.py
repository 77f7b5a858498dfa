"""What takes an argument says so when it gets one of another kind; not what uses it, much later."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from annotated_types import Ge, Gt, Le
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock import ChatLlamaBedrock, Guardrails
from llama_bedrock.argument_kinds import WrongKindError, refuses_wrong_kinds
from llama_bedrock.retrievers import FAISSStore

PACKAGES = (
    "llama_bedrock",
    *(
        f"llama_bedrock.{name}"
        for name in (
            "agents", "agents.evaluation", "app", "control", "grounding", "local", "observability", "retrievers", "testing", "usage",
        )
    ),
)  # fmt: skip
GIVEN_BY_US = {
    # What users are given, and do not make.
    "AppState", "BatchJob", "BatchProgress", "BatchResult", "BatchStatus", "CheckedTrainingData", "Citation",
    "CitationReader", "Claim", "CustomModel", "CustomisationJob", "CustomisationProgress", "EngineRequest",
    "Evaluation", "FaultTarget", "FileProblem", "Finding", "HostedLlama", "ImportProgress", "ImportedModel",
    "IndexReport", "MigrationPlan", "ModelFiles", "ModelInfo", "ModelUse", "Outcome", "Purchase", "RagAnswer",
    "RagAnswerChunk", "RagChain", "RenderedPrompt", "ResolvedModel", "Stats", "StopReason", "SyntheticQuestion",
    "SyntheticQuestions", "TargetHealth", "TrainingData", "TrainingStep", "Verdict", "WordVerifier",
    # Called once per message or text.
    "call_cost", "cost_usd", "costs_at", "estimate_image_tokens", "estimate_tokens", "list_price", "sum_usage",
    "usage_metadata", "with_cost",
    # Interfaces.
    "Engine", "Fault", "Filter", "NoVerifier",
    # These say it themselves.
    "LlamaJudge", "ScriptedEngine", "parse_filter", "resolve_model",
}  # fmt: skip
PLAIN = {"int", "float", "bool", "str", "AtLeastOne", "ZeroOrMore", "NotNegative"}

CONTAINERS = {
    "Sequence[str]": "12", "list[str]": "12", "Iterable[str]": "12", "list[Document]": Document(page_content="1"),
    "Sequence[Document]": Document(page_content="1"), "str | Path": "",
    "str | os.PathLike[str]": "", "str | PathLike[str]": "",
}  # fmt: skip


def public_callables():
    seen = {}
    for package in map(importlib.import_module, PACKAGES):
        for name in package.__all__:
            one = getattr(package, name)
            is_made = inspect.isclass(one) and (
                hasattr(one, "model_fields") or issubclass(one, BaseException)
            )
            if callable(one) and not is_made and one.__module__.startswith("llama_bedrock"):
                seen[name] = one
    return seen


def wrong_values(function):
    """Its parameters of a kind that is known here, each with a value of another."""
    for parameter in inspect.signature(function).parameters.values():
        kind = str(parameter.annotation).removesuffix(" | None")
        value = object() if kind in PLAIN else CONTAINERS.get(kind)
        if value is not None:
            yield parameter, value


def done(target, **given):
    result = target(**given)
    if inspect.iscoroutine(result):
        asyncio.run(result)


def test_the_list_of_what_is_not_checked_has_only_names_there_are():
    assert public_callables().keys() >= GIVEN_BY_US


@pytest.mark.parametrize("name", sorted(public_callables().keys() - GIVEN_BY_US))
def test_each_public_function_and_class_refuses_what_it_cannot_take(name):
    target = public_callables()[name]
    for parameter, value in wrong_values(target):
        with pytest.raises(WrongKindError, match=rf"\b{parameter.name}=.*: it takes") as caught:
            done(target, **{parameter.name: value})
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, TypeError)


# Methods that are called by others than users, or say it themselves.
OF_OTHERS = {
    "AppState", "CitationReader", "FolderIndex", "Guardrail", "Guardrails", "LocalKnowledgeBase", "ModelDirectory",
    "ModelInfo", "Account", "ControlPlane",
}  # fmt: skip
SAID_BY_THEM = {"resolve", "with_structured_output", "get_num_tokens", "get_token_ids", "await_end", "nth"}


def public_methods():
    for package in map(importlib.import_module, PACKAGES):
        for one in (getattr(package, name) for name in package.__all__):
            names = dir(one) if inspect.isclass(one) and one.__name__ not in OF_OTHERS else ()
            for name in names:
                method = inspect.getattr_static(one, name)
                function = getattr(method, "__func__", method)
                ours = inspect.isfunction(function) and "llama_bedrock" in inspect.unwrap(function).__module__
                is_public = not name.startswith(("_", "model_", "on_")) and name not in SAID_BY_THEM
                if ours and is_public and any(wrong_values(function)):
                    yield pytest.param(function, id=f"{one.__name__}.{name}")


@pytest.mark.parametrize("function", sorted(public_methods(), key=lambda param: param.id))
def test_each_public_method_refuses_what_it_cannot_take(function):
    for parameter, value in wrong_values(function):
        by_name = parameter.kind is not parameter.POSITIONAL_ONLY
        with pytest.raises(WrongKindError, match=rf"\b{parameter.name}=.*: it takes"):
            function(None, **{parameter.name: value}) if by_name else function(None, value)


def test_methods_that_are_inherited_refuse_it_as_well(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a path of nothing would be
    store = FAISSStore.from_texts(["one", "two", "both"], ids=["1", "2", "12"])
    for call in (
        lambda: store.add_texts("letters"),
        lambda: store.add_documents([Document(page_content="x"), Document(page_content="y")], ids="12"),
        lambda: store.delete("12"),
        lambda: store.delete([1]),
        lambda: store.delete(filter={}),
        lambda: store.delete(filter=""),
        lambda: store.similarity_search("one", filter=""),
        lambda: store.similarity_search("one", filter=[]),
        lambda: asyncio.run(store.asimilarity_search("one", filter="")),
        lambda: store.save(""),
        lambda: store.get_by_ids("12"),
        lambda: FAISSStore.load(""),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
    assert len(store) == 3
    assert store.delete(["12"])
    assert [document.id for document in store.get_by_ids(["1", "2", "12"])] == ["1", "2"]


@refuses_wrong_kinds
def takes(
    whole: int = 1,
    number: float | None = None,
    choice: Literal["x", 1] = "x",
    names: Sequence[str] = (),
    function: Callable[[str], int] = len,
    embedding: Embeddings | None = None,
    bounded: Annotated[int, Ge(1)] = 1,
    share: Annotated[float, Gt(0), Le(1)] = 0.5,
    table: Mapping[str, int] | None = None,
    switch: bool = False,
    pair: tuple[float, float] | None = None,
    text: str = "",
    either: str | Sequence[str] | None = None,
    path: str | Path = "",
    for_checkers: NotImported[int] | None = None,  # noqa: F821  # type: ignore[name-defined]
    texts: Iterable[str] = (),
    anything: Any = None,
    *more: int,
    **others: str,
) -> str:
    return "taken"


@pytest.mark.parametrize(
    "given",
    [
        {"whole": np.int64(3)},
        {"number": 1},
        {"number": np.float32(1)},
        {"number": math.inf},
        {"choice": 1},
        {"choice": np.str_("x")},  # as pandas and enumerations of texts give it
        {"names": ["a"]},
        {"names": np.array(["a"])},
        {"function": str},
        {"embedding": object()},  # may do the same
        {"share": 1},
        {"table": {"a": 1}},
        {"pair": (1, 2.5)},
        {"either": "a"},
        {"either": ["a", "b"]},
        {"path": Path()},
        {"for_checkers": "5"},
        {"texts": iter(["a"])},
        {"anything": 5},
        {"more": object()},
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_fits_is_taken(given):
    assert takes(**given) == "taken"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"whole": "5"}, "takes: whole='5': it takes a whole number"),
        ({"whole": True}, "takes: whole=True: it takes a whole number"),
        ({"whole": 2.0}, "takes: whole=2.0: it takes a whole number"),
        ({"whole": None}, "takes: whole=None: it takes a whole number"),
        ({"number": math.nan}, "takes: number=nan: it takes a number or None"),
        ({"choice": True}, "takes: choice=True: it takes one of 'x', 1"),
        ({"names": "abc"}, "takes: names='abc': it takes a list of texts"),
        ({"names": [1]}, "takes: names=(of class list): it takes a list of texts"),
        ({"names": {"a": 1}}, "takes: names=(of class dict): it takes a list of texts"),
        ({"function": "len"}, "takes: function='len': it takes a function"),
        ({"embedding": "titan"}, "takes: embedding='titan': it takes Embeddings or None"),
        ({"bounded": 0}, "takes: bounded=0: it takes a whole number of at least 1"),
        ({"share": 0}, "takes: share=0: it takes a number of over 0 and at most 1"),
        ({"share": 2}, "takes: share=2: it takes a number of over 0 and at most 1"),
        (
            {"table": {"a": "b"}},
            "takes: table=(of class dict): it takes a mapping of texts to whole numbers or None",
        ),
        ({"switch": "false"}, "takes: switch='false': it takes True or False"),
        ({"pair": (1,)}, "takes: pair=(of class tuple): it takes a number and a number or None"),
        ({"text": b"x"}, "takes: text=(of class bytes): it takes a text"),
        ({"either": 5}, "takes: either=5: it takes a text or a list of texts or None"),
        ({"texts": "abc"}, "takes: texts='abc': it takes a list of texts"),
        (
            {"switch": "a key of thirty-two characters.."},
            "takes: switch=(of class str): it takes True or False",
        ),
    ],
    ids=lambda one: next(iter(one)) if isinstance(one, dict) else "",
)
def test_what_does_not_fit_is_refused_by_name(given, said):
    with pytest.raises(WrongKindError) as caught:
        takes(**given)
    assert str(caught.value).replace("test_argument_kinds.", "") == said


def test_positions_are_checked_too():
    with pytest.raises(WrongKindError, match="number='x'"):
        takes(1, "x")


@pytest.mark.parametrize("unset", ["", None, " ", "two words"])
def test_a_guardrail_of_an_unset_variable_is_refused(unset):
    """The service takes an empty id for no guardrail at all."""
    with pytest.raises(ValueError, match=r"\bid\b"):
        Guardrails(id=unset)
    with pytest.raises(ValueError, match=r"\bid\b"):
        ChatLlamaBedrock(
            model="meta.llama3-3-70b-instruct-v1:0", region_name="us-east-2", guardrails={"id": unset}
        )


def test_a_checked_class_is_the_class_it_was():
    one = Guardrails(id="abc")
    assert pickle.loads(pickle.dumps(one)) == one  # our own
    assert list(inspect.signature(Guardrails).parameters)[:2] == ["id", "version"]
