"""OpenAI's official clients, sync and async, against the application: one table of scenarios drives both."""

import asyncio
import base64
import json
import struct
from operator import attrgetter

import boto3
import pytest
from langchain_core.documents import Document
from pydantic import BaseModel

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.app import ModelDirectory, create_app, model_directory
from llama_bedrock.app.openai_api.chat_request import IGNORED_HEADER
from llama_bedrock.local import Account, EngineError, Guardrail, LocalBedrock, ModelState, StopReason
from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from llama_bedrock.testing import ScriptedEngine
from tests.app.conftest import KEY, running

pytestmark = pytest.mark.slow

openai = pytest.importorskip("openai")

MODEL = "meta.llama3-3-70b-instruct-v1:0"
USER = [{"role": "user", "content": "How is the weather in Oruro?"}]
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
CALL = '[get_weather(city="Oruro")]'
PNG = base64.b64encode(
    b"\x89PNG\r\n\x1a\n"
    + struct.pack(">I", 13)
    + b"IHDR"
    + struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0)
    + b"\0" * 4
).decode()
PAGES = [
    Document("The herd of Oruro has 412 llamas.", metadata={"source": "herd ![x](http://e).md", "line": 1}),
    Document("Hay costs nine pesos a bale.", metadata={"source": "prices.md", "line": 3}),
]


class City(BaseModel):
    name: str
    people: int


class Calls:
    """One of the clients: `create` by dotted name; streams come back as lists."""

    def __init__(self, address, is_async):
        self.is_async = is_async
        kind = openai.AsyncOpenAI if is_async else openai.OpenAI
        self.make = lambda: kind(base_url=f"{address}/v1", api_key=KEY, max_retries=0)

    def __call__(self, name, *args, **options):
        async def run():
            async with self.make() as client:
                result = await attrgetter(name)(client)(*args, **options)
                return [chunk async for chunk in result] if options.get("stream") else result

        if self.is_async:
            return asyncio.run(run())
        with self.make() as client:
            result = attrgetter(name)(client)(*args, **options)
            return list(result) if options.get("stream") else result

    def helper(self, name, **options):
        """The events of a `stream` helper, and the final object it put together."""
        final = "get_final_completion" if name.startswith("chat") else "get_final_response"

        async def run():
            async with self.make() as client, attrgetter(name)(client)(**options) as stream:
                events = [event async for event in stream]
                return events, await getattr(stream, final)()

        if self.is_async:
            return asyncio.run(run())
        with self.make() as client, attrgetter(name)(client)(**options) as stream:
            return list(stream), getattr(stream, final)()


@pytest.fixture(params=["sync", "async"])
def ask(serve, request):
    """Function: answers → (calls of a client, engine)."""

    def start(*answers, **arguments):
        address, engine = serve(list(answers), **arguments)
        return Calls(address, request.param == "async"), engine

    return start


def chat(calls, **options):
    return calls("chat.completions.create", **{"model": MODEL, "messages": USER, **options})


@pytest.fixture
def patient(monkeypatch):
    """A busy machine takes longer to ask which models there are than people would wait."""
    monkeypatch.setattr(model_directory, "_PATIENCE_SECONDS", 60.0)


def test_models_that_the_account_may_not_call_are_not_listed(patient):
    denied = {
        "meta.llama3-1-8b-instruct-v1:0": ModelState(access="NOT_AVAILABLE"),
        "meta.llama3-1-70b-instruct-v1:0": ModelState(authorized=False),
    }
    llama = "meta.llama3-3-70b-instruct-v1:0"
    for account, missing in ((Account(models=denied), set(denied)), (Account(), set())):
        with LocalBedrock(ScriptedEngine([]), account=account) as bedrock:
            llm = ChatLlamaBedrock(
                model=llama, region_name="us-west-2", endpoint_url=bedrock.endpoint_url, api_key="k"
            )
            with running(create_app(llm, key=KEY, page=False)) as address:
                listed = {model.id for model in Calls(address, False)("models.list")}
        assert llama in listed
        assert len(listed) > 3
        assert set(denied) - listed == missing


def test_the_accounts_own_inference_profiles_are_listed_and_answer(patient):
    with LocalBedrock(ScriptedEngine(["It is dry."], repeat=True)) as bedrock:
        plane = boto3.client(
            "bedrock", "us-west-2", endpoint_url=bedrock.endpoint_url,
            aws_access_key_id="k", aws_secret_access_key="s",
        )  # fmt: skip
        source = "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0"
        arn = plane.create_inference_profile(
            inferenceProfileName="team-blue", modelSource={"copyFrom": source}
        )["inferenceProfileArn"]
        llm = ChatLlamaBedrock(
            model=MODEL, region_name="us-west-2", endpoint_url=bedrock.endpoint_url, api_key="k"
        )
        with running(create_app(llm, key=KEY, page=False)) as address:
            calls = Calls(address, False)
            assert arn in {model.id for model in calls("models.list")}
            assert calls("models.retrieve", arn).context_window == 128_000
            assert chat(calls, model=arn).choices[0].message.content == "It is dry."


def joined(chunks):
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)


def test_models_are_listed_and_told_one_by_one(ask):
    calls, _ = ask()
    ids = [model.id for model in calls("models.list").data]
    assert ids[0] == MODEL
    assert "meta.llama4-scout-17b-instruct-v1:0" in ids
    assert len(ids) == len(set(ids))
    told = calls("models.retrieve", MODEL)
    assert (told.object, told.context_window, told.end_of_life) == ("model", 128_000, "2027-03-30")
    with pytest.raises(openai.NotFoundError) as error:
        calls("models.retrieve", "gpt-5")
    assert error.value.code == "model_not_found"


def test_a_wrong_key_is_an_authentication_error(ask):
    calls, _ = ask()
    make = calls.make
    calls.make = lambda: make().with_options(api_key="wrong")
    with pytest.raises(openai.AuthenticationError) as error:
        calls("models.list")
    assert error.value.code == "invalid_api_key"


def test_an_answer_whole(ask):
    calls, engine = ask("It is dry.")
    answer = chat(calls, temperature=0.2, top_p=0.8, max_tokens=77)
    choice = answer.choices[0]
    assert (choice.message.role, choice.message.content, choice.finish_reason) == (
        "assistant",
        "It is dry.",
        "stop",
    )
    assert answer.object == "chat.completion"
    assert answer.model == MODEL
    usage = answer.usage
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens > 3
    assert usage.cost == pytest.approx(usage.total_tokens * 0.72e-6)  # the same price in and out
    body = engine.requests[0].body
    assert (body["temperature"], body["top_p"], body["max_gen_len"]) == (0.2, 0.8, 77)


def test_an_answer_in_pieces(ask):
    calls, _ = ask("It is dry.", "It is dry.")
    chunks = chat(calls, stream=True)
    assert joined(chunks) == "It is dry."
    assert chunks[0].choices[0].delta.role == "assistant"
    assert all(chunk.choices[0].delta.role is None for chunk in chunks[1:])
    assert len({chunk.id for chunk in chunks}) == 1
    assert [c.choices[0].finish_reason for c in chunks] == [None] * (len(chunks) - 1) + ["stop"]
    assert all(chunk.usage is None for chunk in chunks)
    *chunks, last = chat(calls, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens > 0
    assert last.usage.cost > 0
    assert joined(chunks) == "It is dry."


@pytest.mark.parametrize("stream", [False, True])
def test_tools_are_called_and_their_results_read(ask, stream):
    calls, engine = ask(CALL, "Dry, 4 degrees.")
    answer = chat(calls, tools=[WEATHER], stream=stream)
    if stream:
        deltas = [call for chunk in answer for call in chunk.choices[0].delta.tool_calls or ()]
        assert [d.function.name for d in deltas if d.id] == ["get_weather"]
        call = {"id": deltas[0].id, "arguments": "".join(d.function.arguments for d in deltas)}
        assert all(delta.index == 0 for delta in deltas)
        assert answer[-1].choices[0].finish_reason == "tool_calls"
    else:
        found = answer.choices[0].message.tool_calls[0]
        call = {"id": found.id, "arguments": found.function.arguments}
        assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (None, "tool_calls")
    assert json.loads(call["arguments"]) == {"city": "Oruro"}
    function = {"name": "get_weather", "arguments": call["arguments"]}
    history = [
        *USER,
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": call["id"], "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": call["id"], "content": "dry, 4 °C"},
    ]
    assert chat(calls, messages=history, tools=[WEATHER]).choices[0].message.content == "Dry, 4 degrees."
    assert "dry, 4 °C" in engine.requests[1].prompt


def test_tool_choice_is_followed(ask):
    calls, engine = ask(' city="Oruro")]', 'get_weather(city="Oruro")]', "No.")
    named = {"type": "function", "function": {"name": "get_weather"}}
    for choice in (named, "required"):
        message = (
            chat(calls, tools=[WEATHER], tool_choice=choice, parallel_tool_calls=False).choices[0].message
        )
        assert message.tool_calls[0].function.name == "get_weather"
    assert engine.requests[0].prompt.endswith("[get_weather(")
    assert chat(calls, tools=[WEATHER], tool_choice="none").choices[0].message.tool_calls is None
    assert "get_weather" not in engine.requests[2].prompt
    with pytest.raises(openai.BadRequestError):
        chat(calls, tools=[WEATHER], tool_choice={"type": "function", "function": {"name": "other"}})


def test_the_stream_helper_parses_strict_tools(ask):
    calls, _ = ask(CALL)
    events, final = calls.helper("chat.completions.stream", model=MODEL, messages=USER, tools=[WEATHER])
    assert final.choices[0].message.tool_calls[0].function.parsed_arguments == {"city": "Oruro"}
    assert "tool_calls.function.arguments.done" in [event.type for event in events]


def test_json_is_parsed_by_the_helpers(ask):
    text = '{"name": "Oruro", "people": 264000}'
    calls, engine = ask(text, text, text, text)
    parsed = calls("chat.completions.parse", model=MODEL, messages=USER, response_format=City)
    assert parsed.choices[0].message.parsed == City(name="Oruro", people=264000)
    assert '"people"' in engine.requests[0].prompt
    _, final = calls.helper("chat.completions.stream", model=MODEL, messages=USER, response_format=City)
    assert final.choices[0].message.parsed == City(name="Oruro", people=264000)
    for form in ("json_object", "text"):
        plain = chat(calls, response_format={"type": form})
        assert json.loads(plain.choices[0].message.content)["name"] == "Oruro"


@pytest.mark.parametrize("stop", ["dry", ["wet", "dry"]])
def test_stop_ends_the_answer(ask, stop):
    calls, _ = ask("It is dry.")
    choice = chat(calls, stop=stop).choices[0]
    assert (choice.message.content, choice.finish_reason) == ("It is ", "stop")


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_an_answer_that_is_cut_says_so(ask, name):
    calls, engine = ask(["It is", StopReason("length")], ["It is", StopReason("length")])
    assert chat(calls, **{name: 2}).choices[0].finish_reason == "length"
    assert chat(calls, **{name: 2}, stream=True)[-1].choices[0].finish_reason == "length"
    assert engine.requests[0].body["max_gen_len"] == 2


def test_an_answer_that_a_guardrail_stops_says_so():
    guardrails = {"gr1a2b3c4d5e": Guardrail(("xyzzy",))}
    with LocalBedrock(ScriptedEngine(["The word is xyzzy."], repeat=True), guardrails=guardrails) as bedrock:
        llm = ChatLlamaBedrock(
            model=MODEL, region_name="us-west-2", endpoint_url=bedrock.endpoint_url, api_key="k",
            guardrails={"id": "gr1a2b3c4d5e", "version": "1"},
        )  # fmt: skip
        with running(create_app(llm, key=KEY, page=False)) as address:
            calls = Calls(address, False)
            assert chat(calls).choices[0].finish_reason == "content_filter"
            assert chat(calls, stream=True)[-1].choices[0].finish_reason == "content_filter"
            assert respond(calls).incomplete_details.reason == "content_filter"


def test_pictures_come_as_data_urls(ask):
    calls, engine = ask("A llama.")
    parts = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}", "detail": "low"}},
    ]
    chat(calls, model="meta.llama4-scout-17b-instruct-v1:0", messages=[{"role": "user", "content": parts}])
    assert len(engine.requests[0].images) == 1
    parts[1]["image_url"]["url"] = "https://example.com/llama.png"
    with pytest.raises(openai.BadRequestError):
        chat(
            calls, model="meta.llama4-scout-17b-instruct-v1:0", messages=[{"role": "user", "content": parts}]
        )


def test_every_role_is_known(ask):
    calls, engine = ask("Yes.")
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": [{"type": "text", "text": "Is it dry?"}]},
    ]
    chat(calls, messages=messages)
    prompt = engine.requests[0].prompt
    assert "<|start_header_id|>system<|end_header_id|>" in prompt
    assert prompt.index("Be brief.") < prompt.index("Is it dry?")


@pytest.mark.parametrize(
    "given",
    [
        {
            "extra_headers": {
                "X-Amzn-Bedrock-GuardrailIdentifier": "g1",
                "X-Amzn-Bedrock-GuardrailVersion": "1",
            }
        },
        {"extra_body": {"amazon-bedrock-guardrailConfig": {"tagSuffix": "x"}}},
        {"extra_body": {"guardrails": {"id": "g1"}}},
    ],
)
def test_a_guardrail_of_bedrocks_own_openai_api_is_never_dropped(ask, given):
    calls, engine = ask("Yes.")
    with pytest.raises(openai.BadRequestError, match=r"(?i)guardrail.*is not possible"):
        chat(calls, **given)
    assert not engine.requests


def test_what_llama_has_no_use_for_is_reported(ask):
    calls, _ = ask("Yes.", "Yes.")
    fields = {
        "n": 1, "user": "u", "store": True, "metadata": {"a": "b"}, "seed": 7, "logit_bias": {"1": 2},
        "presence_penalty": 0.5, "frequency_penalty": 0.1, "parallel_tool_calls": True, "logprobs": False,
        "reasoning_effort": "low",
    }  # fmt: skip
    raw = calls("chat.completions.with_raw_response.create", model=MODEL, messages=USER, **fields)
    assert set(raw.headers[IGNORED_HEADER].split(", ")) == {
        "seed", "logit_bias", "presence_penalty", "frequency_penalty", "reasoning_effort",
    }  # fmt: skip
    assert raw.headers["x-request-id"]
    raw = calls("chat.completions.with_raw_response.create", model=MODEL, messages=USER)
    assert IGNORED_HEADER not in raw.headers


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "wizard", "content": "x"}]}, "messages"),
        ({"messages": [{"content": "x"}]}, "messages"),
        ({"stop": [""]}, "stop"),
        ({"max_tokens": "many"}, "max_tokens"),
        ({"temperature": "hot"}, "temperature"),
        ({"tools": [{"type": "web_search"}]}, "tools"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
        ({"temperature": 1.5}, None),
        ({"response_format": {"type": "yaml"}}, None),
        ({"max_tokens": 0}, None),
    ],
)
def test_what_is_not_possible_is_refused(ask, fields, param):
    calls, engine = ask()
    for stream in (False, True):
        with pytest.raises(openai.BadRequestError) as error:
            chat(calls, stream=stream, **fields)
        assert error.value.param == param
        assert error.value.code == "invalid_request"
    assert engine.requests == []


@pytest.mark.parametrize("stream", [False, True])
def test_errors_of_bedrock_are_openais(ask, stream):
    cases = [
        (EngineError("ThrottlingException", "Too many tokens"), openai.RateLimitError, "rate_limit_exceeded"),
        (EngineError("ServiceQuotaExceededException", "No more"), openai.RateLimitError, "insufficient_quota"),
        (
            EngineError("ValidationException", "This model's maximum context length is 128000 tokens. Please reduce the length of the prompt"),
            openai.BadRequestError, "context_length_exceeded",
        ),
        (EngineError("AccessDeniedException", "No access"), openai.PermissionDeniedError, "model_access_denied"),
        (EngineError("ResourceNotFoundException", "None"), openai.NotFoundError, "model_not_found"),
        (EngineError("ServiceUnavailableException", "Busy"), openai.InternalServerError, "service_unavailable"),
    ]  # fmt: skip
    calls, _ = ask(*(error for error, _, _ in cases))
    for _, kind, code in cases:
        with pytest.raises(kind) as error:
            chat(calls, stream=stream)
        assert error.value.code == code
        assert (code == "rate_limit_exceeded") <= ("retry-after" in error.value.response.headers)
        # The words that LiteLLM, and with it aider and others, know the error by.
        assert (code == "context_length_exceeded") <= ("prompt is too long" in str(error.value))


def test_an_error_in_the_middle_ends_the_stream(ask):
    broken = ["It ", "is", EngineError("ModelStreamErrorException", "The model fell over")]
    calls, _ = ask(broken)
    with pytest.raises(openai.APIError, match="fell over") as error:
        chat(calls, stream=True)
    assert error.value.code == "model_error"
    assert not isinstance(error.value, openai.APIStatusError)


def test_the_end_of_a_stream_is_marked_only_where_it_ended_well(serve, browse):
    broken = ["It ", "is", EngineError("ModelStreamErrorException", "The model fell over")]
    address, _ = serve(["Yes.", broken])
    http = browse(address)
    for end in ("data: [DONE]\n\n", None):
        answer = http.post("/v1/chat/completions", json={"model": MODEL, "messages": USER, "stream": True})
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.text.endswith("data: [DONE]\n\n") == (end is not None)
        assert ('data: {"error":' in answer.text) == (end is None)


def test_bodies_that_are_no_requests_are_refused(serve, browse):
    http = browse(serve([])[0])
    for path in ("/v1/chat/completions", "/v1/responses", "/v1/embeddings"):
        for body in (b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000):
            answer = http.post(path, content=body)
            assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid_json")
        assert http.post(path, json={}).status_code in (400, 404)
        assert http.get(path).status_code == 405


def test_imported_models_have_aliases(scripted, browse):
    from llama_bedrock.app import create_app
    from tests.app.conftest import running

    arn = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"
    llm, engine = scripted(["Hello.", "Hello."])
    directory = ModelDirectory(llm, {"support": f"{arn}@llama3.1"})
    with running(create_app(directory, key=KEY, page=False)) as address:
        calls = Calls(address, is_async=False)
        assert calls("models.list").data[0].id == "support"
        assert chat(calls, model="support").model == "support"
        assert joined(chat(calls, model="support", stream=True)) == "Hello."
        assert engine.requests[0].model_id == arn
        with pytest.raises(openai.NotFoundError):
            chat(calls, model=f"{arn}x")
    with pytest.raises(ValueError, match="prompt_format"):
        ModelDirectory(llm, {"support": arn})


# -- documents as a model ----------------------------------------------------------------------------------


@pytest.fixture
def documents():
    return HybridRetriever(store=FAISSStore.from_documents(PAGES), k=2)


ANSWER = "The herd of Oruro has 412 llamas [1]. The herd of Oruro has 521 llamas [1]."


@pytest.mark.parametrize("stream", [False, True])
def test_documents_answer_with_their_sources(ask, documents, stream):
    calls, engine = ask(ANSWER, retriever=documents)
    assert calls("models.list").data[0].id == "documents"
    messages = [
        {"role": "system", "content": "Answer like a farmer."},
        {"role": "user", "content": "How many llamas has the herd of Oruro?"},
    ]
    answer = chat(calls, model="documents", messages=messages, stream=stream)
    text = joined(answer) if stream else answer.choices[0].message.content
    notes = answer[-1].choices[0].delta.annotations if stream else answer.choices[0].message.annotations
    notes = [note if isinstance(note, dict) else note.model_dump() for note in notes]
    assert text.startswith(ANSWER)
    assert "**Sources**\n\n1. " in text
    assert "http://e" not in text  # a name that Markdown would fetch a picture for
    assert "Answer like a farmer." in engine.requests[0].prompt
    start, end = notes[0]["url_citation"]["start_index"], notes[0]["url_citation"]["end_index"]
    assert text[start:end] == "[1]"
    assert notes[0]["url_citation"]["url"] == PAGES[0].metadata["source"]
    assert [note["citation"]["supported"] for note in notes] == [True, False]


def test_documents_do_not_answer_for_titles_nor_call_tools(ask, documents):
    wishes = ("a concise title", "1-3 broad tags", "3-5 relevant follow-up questions")
    calls, engine = ask(*['{"title": "Llamas"}'] * len(wishes), "There are llamas [1].", retriever=documents)
    for n, wish in enumerate(wishes):
        task = f"### Task:\nGenerate {wish}.\n### Chat History:\nUSER: How many llamas?"
        answer = chat(calls, model="documents", messages=[{"role": "user", "content": task}])
        assert answer.choices[0].message.content == '{"title": "Llamas"}'
        assert "passage" not in engine.requests[n].prompt
    offered = calls(
        "chat.completions.with_raw_response.create",
        model="documents",
        messages=USER,
        tools=[WEATHER],
        tool_choice="auto",
    )  # as Open WebUI does with every question
    assert "tools" in offered.headers["x-llama-bedrock-ignored"]
    assert offered.parse().choices[0].message.content.startswith("There are llamas [1].")
    assert "get_weather" not in engine.requests[-1].prompt
    must = {"tools": [WEATHER], "tool_choice": "required"}
    for fields in (must, {"response_format": {"type": "json_object"}}):
        with pytest.raises(openai.BadRequestError):
            chat(calls, model="documents", **fields)
    with pytest.raises(openai.NotFoundError):
        chat(calls, model="documents:gpt-5")


def test_without_documents_there_is_no_such_model(ask):
    calls, _ = ask()
    with pytest.raises(openai.NotFoundError) as error:
        chat(calls, model="documents")
    assert error.value.code == "no_documents"


def test_embeddings_are_those_of_the_store(ask, documents):
    calls, _ = ask(retriever=documents)
    name = calls("models.list").data[-1].id
    texts = ["llamas of Oruro", "hay"]
    as_client = calls("embeddings.create", model=name, input=texts)  # base64
    plain = calls("embeddings.create", model=name, input=texts, encoding_format="float")
    wanted = documents.store.embeddings.embed_documents(texts)
    for answer in (as_client, plain):
        assert [row.embedding for row in answer.data] == [
            pytest.approx(vector, abs=1e-6) for vector in wanted
        ]
    assert plain.usage.prompt_tokens > 0
    for wrong in ({"input": [1, 2]}, {"input": []}, {"input": [""]}, {"input": "x", "dimensions": 3}):
        with pytest.raises(openai.BadRequestError):
            calls("embeddings.create", model=name, **wrong)
    with pytest.raises(openai.NotFoundError):
        calls("embeddings.create", model="text-embedding-3-small", input="x")


# -- Responses ---------------------------------------------------------------------------------------------


def respond(calls, **options):
    return calls("responses.create", **{"model": MODEL, "input": "How is the weather?", **options})


def test_a_response_whole(ask):
    calls, engine = ask("It is dry.")
    answer = respond(calls, instructions="Be brief.", max_output_tokens=50, store=False)
    assert (answer.output_text, answer.status, answer.object) == ("It is dry.", "completed", "response")
    assert answer.usage.total_tokens > 0
    assert "Be brief." in engine.requests[0].prompt
    assert engine.requests[0].body["max_gen_len"] == 50


def test_a_response_in_events(ask):
    calls, _ = ask("It is dry.")
    events = respond(calls, stream=True)
    kinds = [event.type for event in events]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == "It is dry."
    assert kinds[:4] == [
        "response.created", "response.in_progress", "response.output_item.added", "response.content_part.added",
    ]  # fmt: skip
    assert kinds[4 + len(deltas) :] == [
        "response.output_text.done", "response.content_part.done", "response.output_item.done", "response.completed",
    ]  # fmt: skip
    assert events[-1].response.output_text == "It is dry."


def test_responses_call_functions(ask):
    calls, engine = ask(CALL, CALL, "Dry.")
    tool = {"type": "function", **WEATHER["function"]}
    item = respond(calls, tools=[tool]).output[0]
    assert (item.type, item.name, json.loads(item.arguments)) == (
        "function_call",
        "get_weather",
        {"city": "Oruro"},
    )
    events = respond(calls, tools=[tool], stream=True)
    done = next(event for event in events if event.type == "response.function_call_arguments.done")
    assert json.loads(done.arguments) == {"city": "Oruro"}
    conversation = [
        {"role": "user", "content": [{"type": "input_text", "text": "Weather in Oruro?"}]},
        {"type": "reasoning", "id": "rs_1", "summary": []},
        item.model_dump(),
        {"type": "function_call_output", "call_id": item.call_id, "output": "dry, 4 °C"},
    ]
    assert respond(calls, input=conversation, tools=[tool]).output_text == "Dry."
    assert "dry, 4 °C" in engine.requests[2].prompt


def test_responses_are_parsed_and_cut(ask):
    calls, _ = ask('{"name": "Oruro", "people": 1}', *[["It is", StopReason("length")]] * 2)
    parsed = calls("responses.parse", model=MODEL, input="Where?", text_format=City)
    assert parsed.output_parsed == City(name="Oruro", people=1)
    cut = respond(calls)
    assert (cut.status, cut.incomplete_details.reason) == ("incomplete", "max_output_tokens")
    assert respond(calls, stream=True)[-1].type == "response.incomplete"


def test_the_responses_helper_puts_the_stream_together(ask, documents):
    calls, engine = ask(ANSWER, retriever=documents)
    parts = [
        {"type": "input_text", "text": "How many llamas has the herd of Oruro?"}
    ]  # as the AI SDK sends it
    asked = [{"role": "user", "content": parts}]
    _, final = calls.helper("responses.stream", model="documents", input=asked)
    assert "How many llamas has the herd of Oruro?" in engine.requests[0].prompt
    part = final.output[0].content[0]
    assert part.text.startswith(ANSWER)
    assert [note.type for note in part.annotations] == ["url_citation"] * 2


def test_responses_refuse_what_needs_a_memory_and_fail_in_order(ask):
    broken = ["It ", EngineError("ModelStreamErrorException", "The model fell over")]
    calls, _ = ask(EngineError("ThrottlingException", "Too fast"), broken)
    for fields in (
        {"previous_response_id": "resp_1"}, {"conversation": "conv_1"}, {"background": True},
        {"tools": [{"type": "web_search"}]}, {"input": [{"type": "item_reference", "id": "x"}]}, {"input": []},
    ):  # fmt: skip
        with pytest.raises(openai.BadRequestError):
            respond(calls, **fields)
    with pytest.raises(openai.RateLimitError):
        respond(calls, stream=True)
    last = respond(calls, stream=True)[-1]
    assert (last.type, last.response.error.code) == ("response.failed", "model_error")
