"""The way back: stop strings over chunk borders, leaked tokens, usage and metadata in every case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import message_chunk_to_message

from llama_bedrock.assembler import ResponseAssembler, StopFilter
from llama_bedrock.tools.events import with_errors
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.spec import to_tool_specs
from llama_bedrock.transport.response import GenerationChunk

END = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")
START, CLOSE = "<|start_header_id|>", "<|end_header_id|>"


def run_filter(stops, pieces):
    stop_filter = StopFilter(stops)
    out = "".join(stop_filter.feed(piece) for piece in pieces) + stop_filter.close()
    return out, stop_filter.matched


def cut_at_first(text, stops):
    found = [(text.find(s), len(s), s) for s in stops if s in text]
    return (text[: min(found)[0]], min(found)[2]) if found else (text, None)


@given(
    st.text("ab<|>", max_size=30), st.lists(st.text("ab<|>", min_size=1, max_size=5), max_size=4), st.data()
)
def test_a_stop_string_ends_the_text_however_it_is_cut_into_pieces(text, stops, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    pieces = [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    assert run_filter(stops, pieces) == cut_at_first(text, stops)


def test_text_that_cannot_begin_a_stop_string_is_not_held_back():
    stop_filter = StopFilter(["###"])
    assert stop_filter.feed("one # two") == "one # two"
    assert stop_filter.feed("three ##") == "three "
    assert stop_filter.feed(" four") == "## four"


def assemble(chunks, end_tokens=END, **settings):
    assembler = ResponseAssembler(end_tokens=end_tokens, **settings)
    messages = []
    for chunk in chunks:
        messages += assembler.feed(chunk)
        if assembler.done:
            break
    messages += assembler.finish()
    total = messages[0]
    for message in messages[1:]:
        total += message
    return total


def chunks_of(text, size, **last):
    pieces = [GenerationChunk(text[i : i + size], prompt_tokens=7) for i in range(0, len(text), size)]
    return [*pieces, GenerationChunk("", prompt_tokens=7, last=True, **last)]


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_leading_newlines_and_leaked_end_tokens_are_dropped(size):
    message = assemble(
        chunks_of("\n\nHello\n\nthere<|eot_id|>junk", size, output_tokens=4, stop_reason="stop")
    )
    assert message.content == "Hello\n\nthere"
    assert message.response_metadata["stop_reason"] == "stop"
    assert "stop_sequence" not in message.response_metadata


@pytest.mark.parametrize("size", [1, 2, 5, 100])
@pytest.mark.parametrize(
    ("written", "content"),
    [
        (f"{START}assistant{CLOSE}\n\nHello", "Hello"),
        (f"\n\n{CLOSE}\n\nHello", "Hello"),
        (f"{CLOSE}{CLOSE}Hello", f"{CLOSE}Hello"),
        (f"Hello{START}user{CLOSE}\n\nmore", "Hello"),
        (f"{START}user{CLOSE}\n\nmore", ""),
        ("<|end", "<|end"),
        ("\n\n", ""),
    ],
)
def test_the_header_of_its_own_turn_is_dropped_before_the_first_word(size, written, content):
    headers = (f"{START}assistant{CLOSE}", CLOSE)
    message = assemble(chunks_of(written, size), headers=headers, end_tokens=(*END, START))
    assert message.content == content


@pytest.mark.parametrize("size", [1, 4, 100])
@pytest.mark.parametrize("reason", ["stop", "length"])
def test_usage_and_stop_reason_come_whatever_the_reason(size, reason):
    message = assemble(chunks_of("Hello", size, output_tokens=5, stop_reason=reason))
    assert message.usage_metadata == {"input_tokens": 7, "output_tokens": 5, "total_tokens": 12}
    assert message.response_metadata["stop_reason"] == reason
    assert message.chunk_position == "last"


@pytest.mark.parametrize("size", [1, 3, 100])
def test_a_stop_string_of_the_caller_ends_the_answer_and_is_named(size):
    message = assemble(chunks_of("one two END three", size), stops=["END"])
    assert message.content == "one two "
    assert message.response_metadata["stop_sequence"] == "END"
    assert message.response_metadata["stop_reason"] == "stop"
    assert message.usage_metadata["output_tokens"] > 0


def test_a_guardrail_that_intervened_is_the_stop_reason():
    message = assemble(
        chunks_of("Blocked.", 100, metadata={"guardrail_action": "INTERVENED"}, stop_reason="stop")
    )
    assert message.response_metadata["stop_reason"] == "guardrail_intervened"
    assert message.response_metadata["guardrail_action"] == "INTERVENED"


def test_an_answer_that_continues_the_callers_text_keeps_its_leading_newlines():
    assert assemble(chunks_of("\n\nmore", 1), strip_leading=False).content == "\n\nmore"


ADD = tuple(to_tool_specs([{"name": "add", "description": "", "parameters": {"type": "object", "properties": {
    "a": {"type": "integer"}}, "required": ["a"]}}]))  # fmt: skip


@pytest.mark.parametrize("offers_tools", [False, True])
@pytest.mark.parametrize(
    "chunk",
    [
        GenerationChunk("\n\nHello.", 7, 3, "stop", {"request_id": "r"}, last=True),
        GenerationChunk("", 7, 0, "length", last=True),
        GenerationChunk("one END two", last=True),
        GenerationChunk("Sure:\n[add(a=1), add(a=2)]", 7, 9, "stop", last=True),
        GenerationChunk("[add(a=1), add(b=2)]\nDone.<|eot_id|>", 7, 9, "stop", last=True),
        GenerationChunk("[add(a=1", 7, 9, "length", {"guardrail_action": "INTERVENED"}, last=True),
    ],
    ids=["words", "nothing", "stop string", "calls", "a bad call", "cut"],
)
def test_a_whole_answer_is_the_message_that_its_chunks_add_up_to(chunk, offers_tools):
    def settings():
        return {"stops": ("END",), "parser": ToolCallParser(ADD, strict=True) if offers_tools else None}

    whole = ResponseAssembler(end_tokens=END, **settings()).answer(chunk)
    merged = with_errors(message_chunk_to_message(assemble([chunk], **settings())))
    for message in (whole, merged):  # the ids of calls are random
        for call in (*message.tool_calls, *message.invalid_tool_calls):
            call["id"] = "call"
    assert whole == merged
    assert whole.model_dump() == merged.model_dump()
