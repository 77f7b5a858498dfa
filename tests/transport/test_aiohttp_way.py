"""Asynchronous calls pass aiohttp where something watches it, and only there."""

import asyncio

from llama_bedrock.transport.aio import AsyncTransport


def ask(transport, request):
    return asyncio.run(transport.invoke(request)).text


def test_a_call_passes_what_watches_aiohttp(faulty, make_settings, make_request, answer, aiohttp_requests):
    assert ask(AsyncTransport(make_settings(faulty().endpoint_url)), make_request()) == answer
    (url,) = aiohttp_requests
    assert url.endswith("/invoke")


def test_a_transport_follows_what_begins_to_watch_after_its_first_call(
    faulty, make_settings, make_request, answer, request
):
    transport = AsyncTransport(make_settings(faulty().endpoint_url))
    assert ask(transport, make_request()) == answer
    seen = request.getfixturevalue("aiohttp_requests")
    assert ask(transport, make_request()) == answer
    assert len(seen) == 1


def test_sessions_made_while_something_watches_are_seen(
    faulty, make_settings, make_request, answer, monkeypatch
):
    """As OpenTelemetry and Sentry do, by the constructor."""
    from aiohttp import ClientSession

    made, init = [], ClientSession.__init__

    def watched(session, *arguments, **options):
        made.append(session)
        init(session, *arguments, **options)

    monkeypatch.setattr(ClientSession, "__init__", watched)
    assert ask(AsyncTransport(make_settings(faulty().endpoint_url)), make_request()) == answer
    assert len(made) == 1


def test_a_proxy_that_is_reached_by_tls_is_asked_by_aiohttp(make_settings, make_request, monkeypatch):
    from llama_bedrock.transport.aiohttp_way import AiohttpWay

    monkeypatch.setenv("HTTP_PROXY", "https://127.0.0.1:1")
    transport = AsyncTransport(make_settings("http://bedrock.example.com"))
    assert isinstance(asyncio.run(transport._way("bedrock-runtime")), AiohttpWay)
