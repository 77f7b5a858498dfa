"""A chunk of text that is copied is the chunk that LangChain's constructors make."""

import copy
import pickle
import typing

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.load import dumps
from langchain_core.messages import AIMessageChunk
from langchain_core.outputs import ChatGenerationChunk

from llama_bedrock import text_chunks
from llama_bedrock.text_chunks import generation_chunk, text_chunk


def state(model):
    """All that a pydantic object holds, in order."""
    private = model.__pydantic_private__, model.__pydantic_extra__, model.__pydantic_fields_set__
    return type(model), list(vars(model).items()), [type(value) for value in vars(model).values()], private


def pair(text):
    ours = generation_chunk(text_chunk(text))
    return ours, ChatGenerationChunk(message=AIMessageChunk(content=text))


@given(st.text())
def test_both_objects_hold_what_the_constructors_put_into_them(text):
    ours, theirs = pair(text)
    assert state(ours) == state(theirs)
    assert state(ours.message) == state(theirs.message)


def test_they_are_copied_and_not_constructed():
    """The state that the copies come from was found: a LangChain that keeps more of a text would not let it."""
    assert text_chunks._message_maker().__name__ == "copy"
    assert text_chunks._generation_maker().__name__ == "copy"


@pytest.mark.parametrize(
    "of",
    [repr, dumps, lambda c: c.model_dump(), lambda c: c.message.model_dump_json(), lambda c: c.text + c.text,
     lambda c: pickle.loads(pickle.dumps(c)), copy.deepcopy, lambda c: c.model_copy(update={"text": "x"}),
     lambda c: c.message + AIMessageChunk(content="b"), lambda c: c + c, lambda c: c.message.content_blocks,
     lambda c: c.message.pretty_repr()],
)  # fmt: skip
def test_what_is_made_of_them_is_the_same(of):
    ours, theirs = pair("a")
    assert of(ours) == of(theirs)


def test_what_langchain_sets_on_them_stays_theirs():
    """No list, dict or set is shared between chunks, nor with those that come later."""
    first, second = generation_chunk(text_chunk("a")), generation_chunk(text_chunk("a"))
    first.message.id = "run-1"
    first.message.response_metadata["seen"] = True
    first.message.additional_kwargs["seen"] = True
    for name in ("tool_calls", "invalid_tool_calls", "tool_call_chunks"):
        getattr(first.message, name).append("call")
    first.message.note = "extra"
    first.generation_info = {}
    assert state(second.message) == state(pair("a")[1].message)
    assert state(second) == state(pair("a")[1])
    assert state(generation_chunk(text_chunk("a"))) == state(second)


class Marked(AIMessageChunk):
    """A class of somebody's own."""


@pytest.mark.parametrize(
    "message",
    [
        AIMessageChunk(content=[{"type": "text", "text": "a"}]),
        AIMessageChunk(content="", usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
        AIMessageChunk(content="", tool_call_chunks=[{"name": "f", "args": "{", "id": "1", "index": 0}]),
        Marked(content="a"),
    ],
)
def test_any_other_message_is_wrapped_as_it_is(message):
    ours, theirs = generation_chunk(message), ChatGenerationChunk(message=message)
    assert state(ours) == state(theirs)
    assert ours.message is message


class Counting(AIMessageChunk):
    """A message as of a later LangChain, which keeps more of a text than the text."""

    length: int = 0

    def model_post_init(self, context: typing.Any, /) -> None:
        """Keep how long it is."""
        self.length = len(self.content)


def test_what_keeps_more_of_a_text_is_constructed(monkeypatch):
    monkeypatch.setattr(text_chunks, "AIMessageChunk", Counting)
    make = text_chunks._message_maker.__wrapped__()
    assert [make(text).length for text in ("a", "abc")] == [1, 3]
