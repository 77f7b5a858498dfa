"""Answers in all their shapes, whole and streamed, cut anywhere."""

import base64
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_bedrock import errors as E
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.eventstream import encode_frame
from llama_bedrock.transport.response import StreamParser, parse_body

CONTEXT = CallContext("InvokeModelWithResponseStream", "meta.x", "us-east-2")
HEADERS = {
    "x-amzn-requestid": "r-1",
    "x-amzn-bedrock-performanceconfig-latency": "optimized",
    "x-amzn-bedrock-service-tier": "default",
}
METRICS = {"inputTokenCount": 7, "outputTokenCount": 2, "invocationLatency": 1000, "firstByteLatency": 300}


def event(body, **headers):
    raw = json.dumps(
        {"bytes": base64.b64encode(json.dumps(body).encode()).decode(), "p": "abcdefgh"}
    ).encode()
    return encode_frame(
        {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event", **headers},
        raw,
    )


def bedrock(text, prompt=None, output=None, stop=None, **more):
    return {
        "generation": text,
        "prompt_token_count": prompt,
        "generation_token_count": output,
        "stop_reason": stop,
        **more,
    }


def completion(text, stop=None, **more):
    return {
        "id": "c-1",
        "object": "text_completion",
        "choices": [{"index": 0, "text": text, "finish_reason": stop}],
        **more,
    }


def chat(delta, stop=None, **more):
    return {
        "id": "c-1",
        "object": "chat.completion.chunk",
        "choices": [{"index": 0, "delta": delta, "finish_reason": stop}],
        **more,
    }


USAGE = {"usage": {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}}
STREAMS = {
    "bedrock": [
        bedrock("Hel", 7, 1),
        bedrock("lo", None, 2),
        bedrock("", None, 2, "stop", **{"amazon-bedrock-invocationMetrics": METRICS}),
    ],
    "bedrock, the last word in the last chunk": [bedrock("Hel", 7, 1), bedrock("lo", None, 2, "stop")],
    "bedrock, metrics in a chunk of their own": [
        bedrock("Hello", 7, 2, "stop"),
        {"amazon-bedrock-invocationMetrics": METRICS},
    ],
    "completion": [completion("Hel"), completion("lo", "stop"), {**completion(""), "choices": [], **USAGE}],
    "chat": [
        chat({"role": "assistant"}),
        chat({"content": "Hel"}),
        chat({"content": "lo"}),
        chat({}, "stop", **USAGE),
    ],
}


def run(data, *cuts):
    parser = StreamParser(HEADERS, CONTEXT)
    chunks = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        chunks += parser.feed(data[start:end])
        if parser.failure is not None:
            raise parser.failure
    (last,) = parser.close() or (None,)
    if last is None:
        raise parser.failure
    return [*chunks, last]


@pytest.mark.parametrize("name", STREAMS)
def test_stream_of_each_shape(name):
    chunks = run(b"".join(event(body) for body in STREAMS[name]))
    assert "".join(chunk.text for chunk in chunks) == "Hello"
    last = chunks[-1]
    assert last.last
    assert (last.text, last.stop_reason, last.prompt_tokens, last.output_tokens) == ("", "stop", 7, 2)
    reported = {"request_id": "r-1", "latency": "optimized", "service_tier": "default"}
    assert all(reported.items() <= chunk.metadata.items() for chunk in chunks)
    assert all(not chunk.last and chunk.text for chunk in chunks[:-1])


@pytest.mark.parametrize("name", STREAMS)
def test_stream_cut_at_every_point(name):
    data = b"".join(event(body) for body in STREAMS[name])
    whole = run(data)
    for cut in range(len(data) + 1):
        assert run(data, cut) == whole


def test_counts_grow_with_the_text():
    """A caller who stops early, at a stop string, knows what it has cost so far."""
    chunks = run(b"".join(event(body) for body in STREAMS["bedrock"]))
    assert [(c.prompt_tokens, c.output_tokens) for c in chunks] == [(7, 1), (7, 2), (7, 2)]
    assert chunks[-1].metadata["invocation_metrics"] == METRICS


def test_metrics_of_an_answer_that_hit_the_length_are_kept():
    body = bedrock("", None, 2, "length", **{"amazon-bedrock-invocationMetrics": METRICS})
    last = run(event(bedrock("Hello", 7, 1)) + event(body))[-1]
    assert (last.stop_reason, last.metadata["invocation_metrics"]) == ("length", METRICS)


def test_guardrail_of_the_last_chunk_is_on_the_last_chunk():
    body = bedrock(
        "",
        None,
        2,
        "stop",
        **{"amazon-bedrock-guardrailAction": "INTERVENED", "amazon-bedrock-trace": {"guardrail": {"x": 1}}},
    )
    last = run(event(bedrock("No.", 7, 1)) + event(body))[-1]
    assert (last.metadata["guardrail_action"], last.metadata["guardrail_trace"]) == ("INTERVENED", {"x": 1})


def test_frames_of_other_types_are_passed_over():
    other = encode_frame({":event-type": "initial-response", ":message-type": "event"}, b"{}")
    assert run(other + event(bedrock("Hi", 7, 1, "stop")))[0].text == "Hi"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b"[]",
        b'{"bytes": 5}',
        b'{"bytes": "%%%"}',
        b'{"bytes": "e30"}',
        b'{"bytes": "bm90IGpzb24="}',
        b'{"bytes": "WzFd"}',
        b'{"bytes": "eyJnZW5lcmF0aW9uIjogNX0="}',
    ],
)
def test_chunk_that_is_no_chunk_is_a_stream_error_with_the_text_so_far(payload):
    bad = encode_frame({":event-type": "chunk", ":message-type": "event"}, payload)
    with pytest.raises(E.BedrockStreamError) as caught:
        run(event(bedrock("Hello", 7, 1)) + bad)
    assert caught.value.partial_text == "Hello"
    assert caught.value.request_id == "r-1"


def test_text_before_an_exception_is_handed_out_even_from_the_same_bytes():
    exception = encode_frame({":message-type": "exception", ":exception-type": "throttlingException"}, b"{}")
    parser = StreamParser(HEADERS, CONTEXT)
    chunks = parser.feed(event(bedrock("Hello", 7, 1)) + exception)
    assert [chunk.text for chunk in chunks] == ["Hello"]
    assert type(parser.failure) is E.BedrockThrottlingError
    assert parser.failure.partial_text == "Hello"


@given(
    st.lists(
        st.sampled_from([json.dumps(body) for bodies in STREAMS.values() for body in bodies] + ["1", "{}"])
    )
)
def test_any_order_of_events_gives_text_or_our_error(bodies):
    with contextlib.suppress(E.BedrockStreamError):
        run(b"".join(event(json.loads(body)) for body in bodies))


WHOLE = {
    "bedrock": bedrock("Hello", 7, 2, "stop"),
    "bedrock with logprobs": {**bedrock("Hello", 7, 2, "stop"), "logprobs": None},
    "completion": completion("Hello", "stop", **USAGE),
    "chat": {
        "object": "chat.completion",
        "choices": [
            {"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}
        ],
        **USAGE,
    },
}


@pytest.mark.parametrize("name", WHOLE)
def test_whole_answer_of_each_shape(name):
    chunk = parse_body(json.dumps(WHOLE[name]).encode(), HEADERS, CONTEXT)
    assert (chunk.text, chunk.stop_reason, chunk.prompt_tokens, chunk.output_tokens) == (
        "Hello",
        "stop",
        7,
        2,
    )
    assert chunk.last
    assert (chunk.metadata["request_id"], chunk.metadata["latency"]) == ("r-1", "optimized")


def test_whole_answer_without_counts_takes_them_from_the_headers():
    headers = {"x-amzn-bedrock-input-token-count": "7", "x-amzn-bedrock-output-token-count": "2"}
    chunk = parse_body(b'{"generation": "Hello"}', headers, CONTEXT)
    assert (chunk.prompt_tokens, chunk.output_tokens) == (7, 2)


def test_whole_answer_with_a_guardrail():
    body = {**bedrock("No.", 7, 2, "stop"), "amazon-bedrock-guardrailAction": "INTERVENED"}
    assert parse_body(json.dumps(body).encode(), {}, CONTEXT).metadata["guardrail_action"] == "INTERVENED"


@pytest.mark.parametrize(
    "body", [b"", b"{}", b"[]", b'"x"', b"5", b'{"generation": 5}', b'{"choices": 5}', b"\xff"]
)
def test_whole_answer_that_is_none_is_an_error(body):
    with pytest.raises(E.BedrockStreamError, match="cannot be read"):
        parse_body(body, HEADERS, CONTEXT)
