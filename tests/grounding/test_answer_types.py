"""The result types: frozen, picklable, JSON-able, and chunks that add up."""

from __future__ import annotations

import dataclasses
import json
import pickle
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
