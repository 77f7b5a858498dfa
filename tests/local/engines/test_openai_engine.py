"""The engine for OpenAI-compatible servers, against a server of its own on loopback."""

from __future__ import annotations

import contextlib
import json

import pytest
from aiohttp import web

from llama_bedrock.local.engines import load_engine
from llama_bedrock.local.engines.interface import Engine, EngineError, EngineRequest, StopReason
from llama_bedrock.local.engines.openai_compatible import OpenAIEngine

MODEL = "meta.llama3-3-70b-instruct-v1:0"
PROMPT = "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nhi<|eot_id|>"


async def version(_):
    return web.json_response({"version": "0.12.3"})


@contextlib.asynccontextmanager
async def completion_server(handler, ollama=None):
    app = web.Application()
    app.router.add_post("/v1/completions", handler)
    if ollama:
        app.router.add_get("/api/version", version)
        app.router.add_post("/api/generate", ollama)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        await runner.cleanup()


async def _json_response(value):
    return web.json_response(value)


def ndjson(*events):
    """A handler that streams JSON lines, as Ollama does."""

    async def handler(request):
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for event in events:
            await response.write(json.dumps(event).encode() + b"\n")
        return response

    return handler


def sse(*events, blocks=None, done=True):
    """A handler that streams events; `blocks` cuts the bytes at other places than event ends."""
    text = "".join(f"data: {json.dumps(event) if isinstance(event, dict) else event}\n\n" for event in events)
    raw = (text + ("data: [DONE]\n\n" if done else "")).encode()

    async def handler(request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        size = blocks or len(raw)
        for start in range(0, len(raw), size):
            await response.write(raw[start : start + size])
        return response

    return handler


def text_event(text, finish=None):
    return {"choices": [{"index": 0, "text": text, "finish_reason": finish}]}


def request(**fields):
    return EngineRequest(MODEL, PROMPT, **{"prompt_format": "llama3.3", **fields})


async def collect(engine, asked=None):
    return [piece async for piece in engine.generate(asked or request())]


async def error_of(handler, **options):
    async with completion_server(handler) as url:
        with pytest.raises(EngineError) as caught:
            await collect(OpenAIEngine(url, **options))
    return caught.value


@pytest.mark.parametrize("blocks", [None, 1, 7])
async def test_text_is_streamed_and_the_reason_of_the_end_passed_on(blocks):
    events = [text_event("Grüß"), text_event(" Gott"), text_event("", "length")]
    async with completion_server(sse(*events, blocks=blocks)) as url:
        got = await collect(OpenAIEngine(url))
    assert got == ["Grüß", " Gott", "length"]
    assert isinstance(got[-1], StopReason)


async def test_the_raw_prompt_and_the_settings_go_through_unchanged():
    seen = {}

    async def handler(http_request):
        seen.update(await http_request.json(), key=http_request.headers.get("Authorization"))
        return await sse(text_event("ok", "stop"))(http_request)

    async with completion_server(handler) as url:
        engine = OpenAIEngine(url + "/", model="llama3.3", api_key="k", extra_body={"raw": True})
        await collect(engine, request(max_gen_len=9, temperature=0.1, top_p=0.2))
        assert engine.name == f"llama3.3 at {url}"
    assert seen == {
        "model": "llama3.3",
        "prompt": PROMPT.removeprefix("<|begin_of_text|>"),  # which the servers add
        "max_tokens": 9,
        "temperature": 0.1,
        "top_p": 0.2,
        "stop": ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"],
        "stream": True,
        "stream_options": {"include_usage": True},
        "raw": True,
        "key": "Bearer k",
    }


async def test_without_a_model_the_bedrock_id_is_asked_for():
    seen = {}

    async def handler(http_request):
        seen.update(await http_request.json())
        return await sse(text_event("ok", "stop"))(http_request)

    async with completion_server(handler) as url:
        await collect(OpenAIEngine(url), request(prompt_format=None))
    assert seen["model"] == MODEL
    assert len(seen["stop"]) == 4


async def test_a_server_that_does_not_stream_gives_its_answer_whole():
    async def handler(_):
        return web.json_response(text_event("all at once", "stop"))

    async with completion_server(handler) as url:
        assert await collect(OpenAIEngine(url)) == ["all at once", "stop"]


async def test_a_long_line_is_read():
    text = "x" * 300_000
    async with completion_server(sse(text_event(text, "stop"))) as url:
        assert await collect(OpenAIEngine(url)) == [text, "stop"]


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, "ValidationException"),
        (401, "AccessDeniedException"),
        (404, "ResourceNotFoundException"),
        (429, "ThrottlingException"),
        (500, "ModelErrorException"),
        (503, "ServiceUnavailableException"),
    ],
)
async def test_refusals_become_bedrock_errors_with_the_servers_words(status, code):
    async def handler(_):
        return web.json_response({"error": {"message": "model 'x' not found"}}, status=status)

    error = await error_of(handler)
    assert error.code == code
    assert f"answered {status}: model 'x' not found" in error.message


async def test_a_refusal_in_plain_text_is_shown():
    async def handler(_):
        return web.Response(text="go away", status=403)

    assert "answered 403: go away" in (await error_of(handler)).message


@pytest.mark.parametrize(
    ("handler", "says"),
    [
        (sse(text_event("a"), {"error": {"message": "out of memory"}}), "out of memory"),
        (sse(text_event("a"), "{broken"), "no JSON object"),
        (sse("[1]"), "no JSON object"),
        (sse(text_event("a"), done=False), "without saying so"),
    ],
)
async def test_a_broken_stream_is_a_model_error(handler, says):
    error = await error_of(handler)
    assert error.code == "ModelErrorException"
    assert says in error.message


async def test_a_server_that_breaks_off_is_a_model_error():
    async def handler(http_request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http_request)
        await response.write(b'data: {"choices": [{"text": "a"')
        http_request.transport.abort()
        return response

    assert (await error_of(handler)).code == "ModelErrorException"


async def test_a_silent_server_is_a_timeout():
    async def handler(http_request):
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(http_request)
        await http_request.content.read()
        import asyncio

        await asyncio.sleep(0.5)
        return response

    error = await error_of(handler, idle_timeout=0.05)
    assert error.code == "ModelTimeoutException"


async def test_no_server_is_unavailable_and_asks_whether_it_runs():
    with pytest.raises(EngineError, match="Is it running") as caught:
        await collect(OpenAIEngine("http://127.0.0.1:9/v1"))
    assert caught.value.code == "ServiceUnavailableException"


async def test_images_are_refused_by_the_completions_wire():
    async with completion_server(sse(text_event("x", "stop"))) as url:
        with pytest.raises(EngineError, match="no images"):
            await collect(OpenAIEngine(url), request(images=("aGk=",)))


async def test_ollama_gets_the_raw_prompt_on_its_own_wire_and_images_too():
    """Its /v1/completions puts the model's template around the prompt (ollama/ollama#12636)."""
    seen = {}

    async def generate(http_request):
        seen.update(await http_request.json())
        lines = ({"response": "Hel", "done": False}, {"response": "lo", "done": False})
        return await ndjson(*lines, {"response": "", "done": True, "done_reason": "length"})(http_request)

    async def completions(_):
        raise AssertionError("the templated wire was asked")

    async with completion_server(completions, generate) as url:
        got = await collect(OpenAIEngine(url, model="llama3.3"), request(images=("aGk=",), max_gen_len=7))
    assert got == ["Hel", "lo", "length"]
    assert seen == {
        "model": "llama3.3",
        "prompt": PROMPT.removeprefix("<|begin_of_text|>"),  # which the servers add
        "raw": True,
        "stream": True,
        "images": ["aGk="],
        "options": {
            "num_predict": 7,
            "temperature": 0.5,
            "top_p": 0.9,
            "stop": ["<|eot_id|>", "<|eom_id|>", "<|end_of_text|>"],
        },
    }


async def test_ollamas_errors_before_and_inside_the_stream():
    async def unknown(_):
        return web.json_response({"error": "model 'x' not found"}, status=404)

    for handler, code, says in (
        (unknown, "ResourceNotFoundException", "model 'x' not found"),
        (ndjson({"response": "a"}, {"error": "out of memory"}), "ModelErrorException", "out of memory"),
        (ndjson({"response": "a"}), "ModelErrorException", "without saying so"),
    ):
        async with completion_server(unknown, handler) as url:
            with pytest.raises(EngineError, match=says) as caught:
                await collect(OpenAIEngine(url))
        assert caught.value.code == code


def test_engines_are_made_by_name():
    assert isinstance(load_engine("openai:http://localhost:1234/v1#llama3.2"), Engine)
    assert load_engine("openai:http://localhost:1234/v1/").base_url == "http://localhost:1234/v1"
    assert "extractive" in load_engine("extractive").name


@pytest.mark.parametrize("name", ["", "gpt", "openai", "openai:", "extractive:x"])
def test_an_unknown_engine_is_refused_with_the_known_ones(name):
    with pytest.raises(ValueError, match="'extractive'"):
        load_engine(name)


def test_an_address_without_scheme_is_refused():
    with pytest.raises(ValueError, match="http://"):
        OpenAIEngine("localhost:1234")
