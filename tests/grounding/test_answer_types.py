"""The result types: frozen, picklable, JSON-able, and chunks that add up."""

from __future__ import annotations

import dataclasses
import json
import pickle
from dataclasses import replace
from datetime import date

import pytest
from langchain_core.documents import Document

from llama_bedrock.grounding.answers import (
    Citation,
    RagAnswer,
    RagAnswerChunk,
    document_id,
    document_location,
    document_source,
    positive_int,
)
from llama_bedrock.grounding.source_list import markdown_sources, verdict_on
from llama_bedrock.grounding.verify import verify_answer

DOCUMENT = Document("Llamas hum.", metadata={"source": "guide.md", "line": 12, "seen": date(2026, 1, 2)})
CITATION = Citation(1, (0, 15), "Llamas hum.", "guide.md", "d1", line=12, offsets=(0, 11), supported=True)
USAGE = {"input_tokens": 10, "output_tokens": 2, "total_tokens": 12}


def whole() -> RagAnswer:
    return RagAnswer(
        text="Llamas hum [1].",
        citations=(CITATION,),
        documents=(DOCUMENT,),
        usage=USAGE,
        timings={"retrieve": 0.1, "total": 0.5},
        grounded_fraction=1.0,
        removed_marks=("[99]",),
        question="What do llamas do?",
        stop_reason="stop",
    )


def test_chunks_add_up_to_the_answer():
    chunks = [
        RagAnswerChunk(documents=(DOCUMENT,), question="What do llamas do?", timings={"retrieve": 0.1}),
        RagAnswerChunk(text="Llamas "),
        RagAnswerChunk(text="hum [1]."),
        RagAnswerChunk(citations=(CITATION,), removed_marks=("[99]",)),
        RagAnswerChunk(usage=USAGE, timings={"total": 0.5}, grounded_fraction=1.0, stop_reason="stop"),
    ]
    total = chunks[0]
    for chunk in chunks[1:]:
        total = total + chunk
    assert isinstance(total, RagAnswerChunk)
    assert total.to_answer() == whole()


def test_usage_of_several_calls_is_summed():
    total = RagAnswerChunk(usage=USAGE) + RagAnswerChunk(usage=USAGE)
    assert total.usage == {"input_tokens": 20, "output_tokens": 4, "total_tokens": 24}


def test_answer_is_frozen_and_picklable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        whole().text = "x"
    assert pickle.loads(pickle.dumps(whole())) == whole()


def test_to_dict_is_json_whatever_the_metadata_holds():
    back = json.loads(json.dumps(whole().to_dict()))
    assert back["documents"][0]["metadata"]["seen"] == "2026-01-02"
    assert back["citations"][0]["span"] == [0, 15]
    assert set(back) == {f.name for f in dataclasses.fields(RagAnswer)}
    odd = RagAnswer(documents=(Document("x", metadata={"a": float("nan"), 3: {1, 2}, "b": b"\xff"}),))
    json.dumps(odd.to_dict(), allow_nan=False)


def test_str_is_the_text():
    assert str(whole()) == "Llamas hum [1]."


@pytest.mark.parametrize(
    ("metadata", "location"),
    [
        ({"source": "a.pdf", "page": 3}, "a.pdf, page 3"),
        ({"source": "a.md", "line": 12}, "a.md, line 12"),
        ({"source": "a.pdf", "page": 3.0, "line": 4}, "a.pdf, page 3"),
        ({"source": "a.csv"}, "a.csv"),
        ({}, "unknown"),
    ],
)
def test_location_reads_well(metadata, location):
    assert document_location(Document("x", metadata=metadata)) == location


@pytest.mark.parametrize("value", [0, -1, 1.5, True, "3", None, float("inf"), float("nan")])
def test_only_whole_numbers_from_one_are_pages(value):
    assert positive_int(value) is None


def test_document_id_is_stable_and_prefers_the_loaders():
    assert document_id(Document("x", metadata={"document_id": "abc"}, id="chunk-1")) == "abc"
    assert document_id(Document("x", id="chunk-1")) == "chunk-1"
    assert document_source(Document("x", id="chunk-1")) == "chunk-1"
    assert document_id(Document("x")) == document_id(Document("x")) != document_id(Document("y"))


def test_a_source_tells_the_statement_that_it_does_not_support_beside_those_that_it_does():
    document = Document(
        "The pump was built in 1974. It lifts water. It is blue.", metadata={"source": "pump.md"}
    )
    answer = verify_answer(
        "The pump was built in 1974 [1]. It lifts water [1]. The pump was built in 1975 [1].", [document]
    )
    assert [citation.supported for citation in answer.citations] == [True, True, False]
    assert "pump.md (1 of 3 not supported) —" in markdown_sources(answer)
    same = verify_answer("The pump was built in 1974 [1]. It lifts water [1].", [document])
    assert "supported" not in markdown_sources(same)
    assert verdict_on(same.citations) == (True, "")
    assert verdict_on([replace(c, supported=None) for c in same.citations]) == (None, "not decided")
    mixed = [
        replace(c, supported=state) for c, state in zip(answer.citations, (True, None, False), strict=True)
    ]
    assert verdict_on(mixed) == (False, "1 of 3 not supported, 1 not decided")
