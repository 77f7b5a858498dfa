"""A document that is found is the one that LangChain's constructor makes."""

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.load import dumps

from llama_bedrock.retrievers.documents import document_copies
from llama_bedrock.retrievers.store.entries import as_document
from llama_bedrock.retrievers.store.generations import StoreDamagedError


def state(model):
    """All that a pydantic object holds, in order."""
    private = model.__pydantic_private__, model.__pydantic_extra__, model.__pydantic_fields_set__
    return type(model), list(vars(model).items()), private


VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)


@given(st.text(), st.text(), st.dictionaries(st.text(), VALUES))
def test_it_holds_what_the_constructor_puts_into_it(text, id_, metadata):
    ours = as_document((1, id_, text, json.dumps(metadata)))
    theirs = Document(page_content=text, metadata=metadata, id=id_)
    assert ours == theirs
    assert state(ours) == state(theirs)
    for of in (repr, dumps, changed, lambda d: d.model_dump_json(), copy.deepcopy):
        assert of(ours) == of(theirs)
    assert state(pickle.loads(pickle.dumps(ours))) == state(theirs)


def changed(document):
    return document.model_copy(update={"page_content": "x"})


def test_it_is_copied_and_not_constructed():
    """A LangChain that keeps more of a document would not let it."""
    assert document_copies.document_maker().__name__ == "copy"


def test_two_of_them_share_nothing():
    first, second = as_document((1, "a", "b", "{}")), as_document((1, "a", "b", "{}"))
    first.metadata["seen"] = True
    first.type = "Document"
    assert state(second) == state(Document(page_content="b", metadata={}, id="a"))


class Counting(Document):
    """A document as of a later LangChain, which keeps more of a text than the text."""

    length: int = 0

    def model_post_init(self, context: Any, /) -> None:
        """Keep how long it is."""
        self.length = len(self.page_content)


def test_what_keeps_more_of_a_document_is_constructed(monkeypatch):
    monkeypatch.setattr(document_copies, "Document", Counting)
    make = document_copies.document_maker.__wrapped__()
    assert [make(text, {}, "1").length for text in ("a", "abcd")] == [1, 4]


@pytest.mark.parametrize(("id_", "text"), [("a", b"bytes \xff"), ("a", 1), ("a", None), ([], "a")])
def test_a_row_of_no_document_is_damage(id_, text):
    with pytest.raises(StoreDamagedError, match="is damaged: restore the store"):
        as_document((1, id_, text, "{}"))


@pytest.mark.parametrize("metadata", ["[1]", "1", "null", '"a"', "{", '{"a": 1} x', ""])
def test_metadata_of_another_kind_is_damage(metadata):
    with pytest.raises(StoreDamagedError, match="metadata of a document is damaged"):
        as_document((1, "a", "b", metadata))
