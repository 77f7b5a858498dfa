"""InvokeModel and its stream, as boto3 sees them."""

import json

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import Guardrail, LocalBedrock, StopReason
from llama_bedrock.usage import estimate_tokens

IMPORTED = "arn:aws:bedrock:us-east-2:123456789012:imported-model/abcdefghijkl"
PROVISIONED = "arn:aws:bedrock:us-east-2:123456789012:provisioned-model/abcdefghijkl"
PROFILE_ARN = "arn:aws:bedrock:us-east-2:123456789012:inference-profile/us.meta.llama3-3-70b-instruct-v1:0"
PROMPT_TOKENS = estimate_tokens("Hi")
VISION = "us.meta.llama3-2-11b-instruct-v1:0"


def test_answer_has_the_four_fields_of_llama_and_counts_in_the_headers(bedrock):
    body, headers = bedrock.invoke({"prompt": "What is a llama?"})
    prompt_tokens = estimate_tokens("What is a llama?")
    assert body == {
        "generation": "Hello world!",
        "prompt_token_count": prompt_tokens,
        "generation_token_count": 4,
        "stop_reason": "stop",
    }
    assert headers["x-amzn-bedrock-input-token-count"] == str(prompt_tokens)
    assert headers["x-amzn-bedrock-output-token-count"] == "4"
    assert headers["content-type"] == "application/json"
    assert int(headers["x-amzn-bedrock-invocation-latency"]) >= 0


def test_stream_counts_the_prompt_once_and_ends_with_metrics(bedrock):
    *chunks, last = bedrock.stream()
    assert [chunk["generation"] for chunk in chunks] == ["Hel", "lo", " world", "!"]
    assert [chunk["prompt_token_count"] for chunk in chunks] == [PROMPT_TOKENS, None, None, None]
    assert [chunk["generation_token_count"] for chunk in chunks] == [1, 2, 3, 4]
    assert {chunk["stop_reason"] for chunk in chunks} == {None}
    metrics = last.pop("amazon-bedrock-invocationMetrics")
    assert last == {
        "generation": "",
        "prompt_token_count": None,
        "generation_token_count": 4,
        "stop_reason": "stop",
    }
    assert metrics.keys() == {"inputTokenCount", "outputTokenCount", "invocationLatency", "firstByteLatency"}
    assert (metrics["inputTokenCount"], metrics["outputTokenCount"]) == (PROMPT_TOKENS, 4)
    assert metrics["firstByteLatency"] <= metrics["invocationLatency"]


def test_an_empty_answer_still_tells_the_prompt_tokens(pieces_engine, connect):
    with LocalBedrock(pieces_engine()) as server:
        (only,) = connect(server).stream()
    assert (only["generation"], only["prompt_token_count"], only["stop_reason"]) == (
        "",
        PROMPT_TOKENS,
        "stop",
    )


@pytest.mark.parametrize(
    ("limit", "text", "stop_reason"),
    [(2, "Hello", "length"), (4, "Hello world!", "stop"), (1, "Hel", "length")],
)
def test_max_gen_len_cuts_the_answer_in_both_operations(bedrock, limit, text, stop_reason):
    body, _ = bedrock.invoke({"prompt": "Hi", "max_gen_len": limit})
    chunks = list(bedrock.stream({"prompt": "Hi", "max_gen_len": limit}))
    assert (body["generation"], body["stop_reason"], body["generation_token_count"]) == (
        text,
        stop_reason,
        min(limit, 4),
    )
    assert "".join(chunk["generation"] for chunk in chunks) == text
    assert chunks[-1]["stop_reason"] == stop_reason
    assert chunks[-1]["amazon-bedrock-invocationMetrics"]["outputTokenCount"] == min(limit, 4)


def test_a_large_piece_is_cut_to_the_limit(pieces_engine, connect):
    essay = "The llama is a domesticated South American camelid, widely used as a pack animal. " * 20
    with LocalBedrock(pieces_engine(essay)) as server:
        body, _ = connect(server).invoke({"prompt": "Hi", "max_gen_len": 50})
    assert body["stop_reason"] == "length"
    assert essay.startswith(body["generation"])
    assert 40 <= estimate_tokens(body["generation"]) <= 50


def test_an_engine_can_say_why_it_stopped(pieces_engine, connect):
    with LocalBedrock(pieces_engine("cut", StopReason("length"))) as server:
        body, _ = connect(server).invoke()
    assert (body["generation"], body["stop_reason"]) == ("cut", "length")


def test_the_engine_gets_the_prompt_and_the_parameters(bedrock, hello):
    bedrock.invoke({"prompt": "Hi", "temperature": 0, "top_p": 1, "max_gen_len": 7})
    (request,) = hello.requests
    assert (request.prompt, request.temperature, request.top_p, request.max_gen_len) == ("Hi", 0.0, 1.0, 7)
    assert request.model_id == "us.meta.llama3-3-70b-instruct-v1:0"
    assert request.prompt_format == "llama3.3"
    assert request.body == {"prompt": "Hi", "temperature": 0, "top_p": 1, "max_gen_len": 7}


@pytest.mark.parametrize("model", ["meta.llama3-3-70b-instruct-v1:0", PROFILE_ARN, PROVISIONED, IMPORTED])
def test_ids_profiles_and_arns_are_served(bedrock, hello, model):
    body, _ = bedrock.invoke(model=model)
    assert body["generation"] == "Hello world!"
    assert hello.requests[0].model_id == model


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"prompt": "x", "top_k": 5}, "#: extraneous key [top_k] is not permitted"),
        ({"messages": [], "max_tokens": 9}, "#: required key [prompt] not found#: extraneous key [messages]"),
        ({"prompt": "x", "temperature": 1.5}, "#/temperature: 1.5 is not less or equal to 1"),
        ({"prompt": "x", "top_p": -0.1}, "#/top_p: -0.1 is not greater or equal to 0"),
        ({"prompt": "x", "temperature": "hot"}, "#/temperature: expected type: Number, found: String"),
        ({"prompt": "x", "max_gen_len": 0}, "#/max_gen_len: 0 is not greater or equal to 1"),
        ({"prompt": "x", "max_gen_len": 2.5}, "#/max_gen_len: expected type: Integer, found: Double"),
        ({"prompt": "x", "max_gen_len": True}, "#/max_gen_len: expected type: Integer, found: Boolean"),
        ({"prompt": None}, "#/prompt: expected type: String, found: Null"),
        ({"prompt": ""}, "#/prompt: expected minLength: 1, actual: 0"),
        ({"prompt": "x", "images": ["aGk="]}, "#: extraneous key [images] is not permitted"),
    ],
)
def test_bodies_are_refused_with_bedrocks_texts(bedrock, hello, body, text):
    with pytest.raises(ClientError) as caught:
        bedrock.invoke(body)
    error = caught.value.response
    assert error["Error"]["Code"] == "ValidationException"
    assert error["Error"]["Message"].startswith(f"Malformed input request: {text}")
    assert error["Error"]["Message"].endswith(", please reformat your input and try again.")
    assert error["ResponseMetadata"]["HTTPStatusCode"] == 400
    assert hello.requests == []


@pytest.mark.parametrize("body", [b"not json", b"[1]", b'"text"', b"\xff\xfe", b"{", b"NaN"])
def test_a_body_that_is_no_json_object_is_refused(bedrock, body):
    with pytest.raises(
        ClientError, match="Malformed input request, please reformat your input and try again"
    ):
        bedrock.invoke(body)


@pytest.mark.parametrize(
    ("model", "region", "text"),
    [
        ("meta.llama3-1-70b-instruct-v10", "us-west-2", "The provided model identifier is invalid."),
        ("anthropic.claude-3-haiku-20240307-v1:0", "us-west-2", "The provided model identifier is invalid."),
        ("eu.meta.llama3-3-70b-instruct-v1:0", "eu-west-1", "The provided model identifier is invalid."),
        ("us.meta.llama3-3-70b-instruct-v1:0", "eu-west-1", "The provided model identifier is invalid."),
        (IMPORTED, "us-west-2", "The provided model identifier is invalid."),
        (
            "meta.llama4-scout-17b-instruct-v1:0",
            "us-east-1",
            "Invocation of model ID meta.llama4-scout-17b-instruct-v1:0 with on-demand throughput isn’t "
            "supported. Retry your request with the ID or ARN of an inference profile that contains this "
            "model.",
        ),
        (
            "meta.llama3-3-70b-instruct-v1:0",
            "us-west-2",
            "Invocation of model ID meta.llama3-3-70b-instruct-v1:0",
        ),
    ],
)
def test_models_that_cannot_be_called_there_are_refused_with_bedrocks_texts(
    server, connect, model, region, text
):
    with pytest.raises(ClientError) as caught:
        connect(server, region=region).invoke(model=model)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert caught.value.response["Error"]["Message"].startswith(text)


@pytest.mark.parametrize(
    ("model", "limit", "text"),
    [
        ("meta.llama3-8b-instruct-v1:0", 8192, "#/max_gen_len: 8192 is not less or equal to 2048"),
        (
            "us.meta.llama3-1-8b-instruct-v1:0",
            100_000,
            "The maximum tokens you requested exceeds the model limit of 4096. Try again with a maximum "
            "tokens value that is lower than 4096.",
        ),
    ],
)
def test_max_gen_len_above_the_models_limit_is_refused(server, connect, model, limit, text):
    with pytest.raises(ClientError) as caught:
        connect(server, region="us-west-2").invoke({"prompt": "x", "max_gen_len": limit}, model=model)
    assert text in caught.value.response["Error"]["Message"]


def test_a_prompt_beyond_the_context_window_is_refused(server, connect):
    bedrock = connect(server, region="us-west-2")
    text = "This model's maximum context length is 8192 tokens. Please reduce the length of the prompt"
    for words, expected in ((5000, text), (14_000, text), (50_000, "Input is too long for requested model")):
        with pytest.raises(ClientError, match=expected):
            bedrock.invoke({"prompt": "many words " * words}, model="meta.llama3-8b-instruct-v1:0")


def test_images_reach_the_engine_of_a_vision_model(bedrock, hello):
    bedrock.invoke({"prompt": "<|image|>What is it?", "images": ["aGVsbG8="]}, model=VISION)
    assert hello.requests[0].images == ("aGVsbG8=",)


def test_images_that_are_no_base64_are_refused(bedrock):
    with pytest.raises(ClientError, match="images/0"):
        bedrock.invoke({"prompt": "x", "images": ["not base64!"]}, model=VISION)


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"prompt": "Hi", "max_gen_len": 9}, ("generation",)),
        ({"prompt": "Hi", "max_tokens": 9}, ("choices", 0, "text")),
        (
            {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 9},
            ("choices", 0, "message", "content"),
        ),
    ],
)
def test_imported_models_answer_in_the_format_they_are_asked_in(bedrock, body, path):
    answer, _ = bedrock.invoke(body, model=IMPORTED)
    value = answer
    for key in path:
        value = value[key]
    assert value == "Hello world!"
    if "choices" in answer:
        assert answer["choices"][0]["finish_reason"] == "stop"
        assert answer["usage"]["completion_tokens"] == 4
        assert answer["usage"]["total_tokens"] == 4 + answer["usage"]["prompt_tokens"]


def test_the_chat_format_of_an_imported_model_is_rendered_with_a_chat_template(bedrock, hello):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    bedrock.invoke({"messages": messages, "max_tokens": 5}, model=IMPORTED)
    assert hello.requests[0].prompt == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_openai_formats_stream_deltas_and_end_with_usage(bedrock):
    *chunks, last = bedrock.stream({"messages": [{"role": "user", "content": "Hi"}]}, model=IMPORTED)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Hel"}
    assert "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks) == "Hello world!"
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"]["completion_tokens"] == 4
    completions = list(bedrock.stream({"prompt": "Hi", "max_tokens": 2}, model=IMPORTED))
    assert [chunk["choices"][0]["text"] for chunk in completions] == ["Hel", "lo", ""]
    assert completions[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("stop", ["lo w", ["lo w", "zzz"], "!"])
def test_openai_formats_stop_at_stop_strings_also_across_pieces(bedrock, stop):
    body = {"prompt": "Hi", "max_tokens": 9, "stop": stop}
    answer, _ = bedrock.invoke(body, model=IMPORTED)
    expected = "Hello world!".partition(stop if isinstance(stop, str) else stop[0])[0]
    assert answer["choices"][0]["text"] == expected
    streamed = bedrock.stream(body, model=IMPORTED)
    assert "".join(chunk["choices"][0]["text"] for chunk in streamed) == expected


def test_only_imported_models_take_openai_bodies(bedrock):
    with pytest.raises(ClientError, match="extraneous key"):
        bedrock.invoke({"messages": [{"role": "user", "content": "Hi"}]}, model=PROVISIONED)


def test_latency_and_service_tier_are_echoed(server, connect):
    _, headers = connect(server).invoke(
        model="us.meta.llama3-1-70b-instruct-v1:0", performanceConfigLatency="optimized", serviceTier="flex"
    )
    assert headers["x-amzn-bedrock-performanceconfig-latency"] == "optimized"
    assert headers["x-amzn-bedrock-service-tier"] == "default"  # all that there is for Llama


@pytest.mark.parametrize(
    "model",
    [
        "us.meta.llama3-3-70b-instruct-v1:0",
        "meta.llama3-3-70b-instruct-v1:0",
        "us.meta.llama3-2-1b-instruct-v1:0",
    ],
)
def test_latency_optimised_inference_is_refused_where_there_is_none(bedrock, model):
    with pytest.raises(ClientError, match="Latency performance configuration is not supported"):
        bedrock.invoke(model=model, performanceConfigLatency="optimized")


@pytest.mark.parametrize(("words", "served"), [(10, "optimized"), (12_000, "standard")])
def test_what_is_too_long_for_optimised_latency_is_served_as_standard(bedrock, words, served):
    _, headers = bedrock.invoke(
        {"prompt": "word " * words},
        model="us.meta.llama3-1-405b-instruct-v1:0",
        performanceConfigLatency="optimized",
    )
    assert headers["x-amzn-bedrock-performanceconfig-latency"] == served


def test_request_metadata_must_be_an_object_of_strings(bedrock):
    bedrock.invoke(requestMetadata=json.dumps({"team": "search"}))
    with pytest.raises(ClientError, match="JSON object of strings"):
        bedrock.invoke(requestMetadata=json.dumps({"team": 1}))


GUARDRAILS = {"gr123abc": Guardrail(("forbidden", "Hello world"), "no input", "no output")}


@pytest.fixture
def guarded(hello, connect):
    with LocalBedrock(hello, guardrails=GUARDRAILS) as server:
        yield connect(server)


GUARDED = {"guardrailIdentifier": "gr123abc", "guardrailVersion": "1"}


def test_guardrail_blocks_the_prompt_before_the_engine_sees_it(guarded, hello):
    body, _ = guarded.invoke({"prompt": "a Forbidden thing"}, trace="ENABLED", **GUARDED)
    assert body["generation"] == "no input"
    assert body["amazon-bedrock-guardrailAction"] == "INTERVENED"
    words = body["amazon-bedrock-trace"]["guardrail"]["input"]["gr123abc"]["wordPolicy"]["customWords"]
    assert words == [{"match": "forbidden", "action": "BLOCKED"}]
    assert hello.requests == []


def test_guardrail_lets_a_whole_word_only_count(guarded):
    body, _ = guarded.invoke(
        {"prompt": "unforbiddenly"}, guardrailIdentifier="gr123abc", guardrailVersion="DRAFT"
    )
    assert body["generation"] == "no output"  # the answer, not the prompt, is blocked
    assert body["amazon-bedrock-guardrailAction"] == "INTERVENED"


@pytest.mark.parametrize("mode", ["SYNCHRONOUS", "ASYNCHRONOUS"])
def test_guardrail_ends_a_stream_with_its_message(guarded, mode):
    config = {"streamProcessingMode": mode, "tagSuffix": "xyz"}
    chunks = list(guarded.stream({"prompt": "Hi", "amazon-bedrock-guardrailConfig": config}, **GUARDED))
    text = "".join(chunk["generation"] for chunk in chunks)
    assert text == ("no output" if mode == "SYNCHRONOUS" else "Hellono output")
    assert chunks[-1]["amazon-bedrock-guardrailAction"] == "INTERVENED"
    assert sum(chunk["prompt_token_count"] is not None for chunk in chunks) == 1


def test_guardrail_looks_at_tagged_text_only_and_the_engine_sees_no_tags(connect, pieces_engine):
    engine = pieces_engine("fine")
    tag = "amazon-bedrock-guardrails-guardContent_xyz"
    body = {
        "prompt": f"forbidden outside <{tag}>fine inside</{tag}>",
        "amazon-bedrock-guardrailConfig": {"tagSuffix": "xyz"},
    }
    with LocalBedrock(engine, guardrails=GUARDRAILS) as server:
        answer, _ = connect(server).invoke(body, **GUARDED)
    assert (answer["generation"], answer["amazon-bedrock-guardrailAction"]) == ("fine", "NONE")
    assert engine.requests[0].prompt == "forbidden outside fine inside"


@pytest.mark.parametrize(
    ("body", "options", "text"),
    [
        ({"prompt": "x"}, {"guardrailIdentifier": "unknown1", "guardrailVersion": "1"}, "does not exist"),
        ({"prompt": "x"}, {"guardrailIdentifier": "gr123abc"}, "provided together"),
        ({"prompt": "x", "amazon-bedrock-guardrailConfig": {}}, {}, "requires a guardrail identifier"),
        ({"prompt": "x", "amazon-bedrock-guardrailConfig": {"tagSuffix": "a-b"}}, GUARDED, "alphanumeric"),
        ({"prompt": "x"}, {"trace": "LOUD"}, "Member must satisfy enum value set"),
    ],
)
def test_guardrail_settings_are_validated(guarded, body, options, text):
    with pytest.raises(ClientError, match=text) as caught:
        guarded.invoke(body, **options)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
