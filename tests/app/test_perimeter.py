"""Who may call the application, and what every answer has."""

import asyncio
import json
import logging
import re
import threading

import httpx
import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from starlette.routing import Route

from llama_bedrock.app import AppLimits, create_app
from llama_bedrock.app.event_stream import EventStream, sse, while_connected
from llama_bedrock.app.http_errors import ApiError, api_error
from tests.app.conftest import KEY, running

MODEL = FakeListChatModel(responses=["yes"])


async def echo(request):
    from starlette.responses import PlainTextResponse

    return PlainTextResponse(f"{len(await request.body())} {request.url.query}")


async def broken(request):
    raise RuntimeError("a secret of the server")


@pytest.fixture(scope="module")
def address():
    app = create_app(MODEL, key=KEY, page=False, limits=AppLimits(1000, 5000), allow_hosts=["Llamas.Example"])
    app.router.routes += [
        Route(path, echo, methods=["GET", "POST"]) for path in ("/", "/v1/echo", "/api/documents/x")
    ]
    app.router.routes.append(Route("/v1/broken", broken))
    with running(app) as where:
        yield where


@pytest.fixture
def http(address, browse):
    return browse(address, headers={})


BEARER = {"Authorization": f"Bearer {KEY}"}


def test_nothing_but_health_is_told_without_the_key(http):
    assert http.get("/healthz").json() == {"status": "ok"}
    assert http.get("/readyz").status_code == 200
    for wrong in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": "Basic " + KEY},
        {"Cookie": "a=b"},
    ):
        for path in ("/", "/v1/echo", "/v1/nothing", "/v1/echo?key=wrong"):
            answer = http.get(path, headers=wrong)
            assert answer.status_code == 401
            assert answer.json()["error"]["code"] == "invalid_api_key"
            assert answer.headers["www-authenticate"] == "Bearer"
    assert http.get("/v1/echo", headers=BEARER).status_code == 200
    assert http.post(f"/v1/echo?key={KEY}", content=b"abc").text.startswith("3 ")


def test_the_key_in_the_address_becomes_a_cookie(http, address):
    answer = http.get(f"/?a=1&key={KEY}&b=%26")
    assert (answer.status_code, answer.headers["location"]) == (303, "/?a=1&b=%26")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert KEY not in cookie
    assert http.get("/").status_code == 200  # httpx keeps the cookie
    http.cookies.clear()
    assert http.get(f"{address}//elsewhere.example/?key={KEY}").headers["location"] == "/elsewhere.example/"


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Host": "evil.example"}, "host_not_allowed"),
        ({"Host": "[bad"}, "host_not_allowed"),
        ({"Host": "localhost.evil.example:80"}, "host_not_allowed"),
        ({"Host": "evil.example@127.0.0.1"}, "host_not_allowed"),
        ({"Host": "[::1].evil.example"}, "host_not_allowed"),
        ({"Origin": "http://evil.example"}, "foreign_origin"),
        ({"Origin": "http://localhost:1"}, "foreign_origin"),
        ({"Origin": "null"}, "foreign_origin"),
        ({"Origin": "http://[bad"}, "foreign_origin"),
    ],
)
def test_pages_of_others_are_refused_even_with_the_key(http, headers, code):
    answer = http.get("/v1/echo", headers={**BEARER, **headers})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, code)


def test_own_names_addresses_and_pages_are_let_in(http, address):
    for headers in (
        {"Host": "llamas.example"},
        {"Host": "localhost:99"},
        {"Host": "10.1.2.3:8720"},  # no page can rebind an address
        {"Host": "[::1]:8720", "Origin": "http://[::1]:8720"},
        {"Origin": address},
    ):
        assert http.get("/v1/echo", headers={**BEARER, **headers}).status_code == 200, headers


@pytest.mark.parametrize("chunked", [False, True])
def test_bodies_have_a_limit_and_uploads_a_larger_one(http, chunked):
    def content(size):
        return iter([b"x" * 500] * (size // 500)) if chunked else b"x" * size

    for path, size, status in (
        ("/v1/echo", 1000, 200),
        ("/v1/echo", 1500, 413),
        ("/api/documents/x", 5000, 200),
        ("/api/documents/x", 5500, 413),
    ):
        answer = http.post(path, content=content(size), headers=BEARER)
        assert answer.status_code == status, (path, size)
        if status == 413:
            assert answer.json()["error"]["code"] == "request_too_large"


def test_every_answer_has_the_headers_and_an_id(http):
    for path in ("/healthz", "/", "/v1/echo", "/v1/nothing", "/v1/broken"):
        for headers in ({}, BEARER):
            answer = http.get(path, headers=headers)
            policy = answer.headers["content-security-policy"]
            assert policy.startswith("default-src 'self';")
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"
            assert re.fullmatch("[0-9a-f]{32}", answer.headers["x-request-id"])
    assert http.get("/healthz", headers={"x-request-id": "mine-1"}).headers["x-request-id"] == "mine-1"
    assert len(http.get("/healthz", headers={"x-request-id": "b d"}).headers["x-request-id"]) == 32


def test_errors_have_one_form_and_tell_no_secret(http):
    for path, method, status, code in (
        ("/v1/nothing", "GET", 404, "not_found"),
        ("/healthz", "POST", 405, None),
        ("/v1/broken", "GET", 500, "server_error"),
    ):
        answer = http.request(method, path, headers=BEARER)
        assert answer.status_code == status
        assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
        assert answer.json()["error"]["code"] == code
        assert "secret" not in answer.text


def test_the_log_has_one_json_line_for_each_request(http, caplog):
    caplog.set_level(logging.INFO, "llama_bedrock.app")
    http.get(f"/v1/echo?key={KEY}", headers={"x-request-id": "first"})
    http.get("/v1/broken", headers={**BEARER, "x-request-id": "second"})
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    first = next(line for line in lines if line["request_id"] == "first")
    assert (first["method"], first["path"], first["status"]) == ("GET", "/v1/echo", 200)
    assert first["seconds"] >= 0
    assert KEY not in caplog.text
    assert "a secret of the server" in caplog.text  # with its traceback, once
    assert [line["status"] for line in lines if line["request_id"] == "second"] == [500, 500]


def test_without_require_key_the_doors_are_open(browse):
    app = create_app(MODEL, require_key=False, page=False)
    assert app.state.llama.key is None
    app.router.routes.append(Route("/v1/echo", echo))
    with running(app) as where:
        assert browse(where, headers={}).get("/v1/echo").status_code == 200


def test_keys_are_given_by_the_environment_or_made_and_never_short(monkeypatch):
    keys = {create_app(MODEL, page=False).state.llama.key for _ in range(2)}
    assert len(keys) == 2
    assert all(len(key) >= 32 for key in keys)
    monkeypatch.setenv("LLAMA_BEDROCK_KEY", "from-the-environment")
    assert create_app(MODEL, page=False).state.llama.key == "from-the-environment"
    with pytest.raises(ValueError, match="at least 8 characters"):
        create_app(MODEL, page=False, key="short")


class _Work:
    """Answers that wait, and tell how they ended."""

    def __init__(self):
        self.ended = {}
        self.begun = threading.Semaphore(0)
        self.go = threading.Event()

    async def frames(self):
        self.begun.release()
        try:
            yield sse({"n": 1})
            await asyncio.to_thread(self.go.wait, 20)
            yield sse({"n": 2}, event="last")
            self.ended["stream"] = "whole"
        except asyncio.CancelledError:
            self.ended["stream"] = "cancelled"
            raise

    async def stream(self, request):
        return EventStream(self.frames())

    async def whole(self, request):
        from starlette.responses import JSONResponse

        async def work():
            self.begun.release()
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                self.ended["whole"] = "cancelled"
                raise

        return JSONResponse(await while_connected(request, work()))

    async def fails(self, request):
        async def frames():
            if request.query_params.get("late"):
                yield sse("begun")
            if request.query_params.get("unforeseen"):
                raise KeyError("a secret of the stream")
            raise ApiError(429, "too fast", code="rate_limit_exceeded", headers={"Retry-After": "7"})
            yield b""

        return EventStream(frames())

    def app(self):
        app = create_app(MODEL, key=KEY, page=False)
        app.router.routes += [
            Route("/v1/stream", self.stream),
            Route("/v1/whole", self.whole),
            Route("/v1/fails", self.fails),
        ]
        return app


def eventually(condition, seconds=10):
    waited = threading.Event()
    for _ in range(int(seconds / 0.01)):
        if condition():
            return True
        waited.wait(0.01)
    return False


def test_a_client_that_goes_ends_the_work(browse):
    work = _Work()
    with running(work.app()) as where:
        http = browse(where)
        with http.stream("GET", "/v1/stream") as answer:
            assert next(answer.iter_lines()) == 'data: {"n":1}'
        assert eventually(lambda: work.ended.get("stream") == "cancelled")
        work.go.set()
        with pytest.raises(httpx.ReadTimeout):
            http.get("/v1/whole", timeout=0.3)
        assert eventually(lambda: work.ended.get("whole") == "cancelled")


def test_a_server_that_stops_lets_streams_end(browse):
    work = _Work()
    app = work.app()
    with running(app) as where:
        http = browse(where)
        lines = []

        def read():
            with http.stream("GET", "/v1/stream") as answer:
                lines.extend(answer.iter_lines())

        reader = threading.Thread(target=read)
        reader.start()
        assert work.begun.acquire(timeout=10)
        assert eventually(lambda: lines)
        threading.Timer(0.3, work.go.set).start()
    reader.join(10)  # the server was told to stop before `go`
    assert [line for line in lines if line] == ['data: {"n":1}', "event: last", 'data: {"n":2}']
    assert app.state.llama.stopping.is_set()


def test_what_fails_before_the_first_event_has_its_status_and_later_is_an_event(browse):
    with running(_Work().app()) as where:
        http = browse(where)
        early = http.get("/v1/fails")
        assert (early.status_code, early.headers["retry-after"]) == (429, "7")
        late = http.get("/v1/fails?late=1")
        assert late.status_code == 200
        events = [json.loads(line[6:]) for line in late.text.splitlines() if line.startswith("data: {")]
        assert events == [early.json()]


def test_what_nobody_foresaw_is_in_the_log_where_an_answer_had_begun_too(browse, caplog):
    caplog.set_level(logging.INFO, "llama_bedrock.app")
    with running(_Work().app()) as where:
        late = browse(where).get("/v1/fails?late=1&unforeseen=1", headers={**BEARER, "x-request-id": "third"})
    assert '"code":"server_error"' in late.text
    assert "a secret" not in late.text
    assert "KeyError: 'a secret of the stream'" in caplog.text
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    mine = [(line["status"], line["error"]) for line in lines if line["request_id"] == "third"]
    assert mine == [(500, "server_error"), (200, "server_error")]


def test_every_library_error_has_a_status():
    from llama_bedrock import errors

    for name in errors.__all__:
        cls = getattr(errors, name)
        if isinstance(cls, type):
            told = api_error(cls("it failed", hint="do this"))
            assert told.status >= 400
            assert told.status != 500
            assert "it failed" in told.message
            assert told.body()["error"]["hint"] == "do this"
