"""Engines of every kind behind the endpoint: synchronous, asynchronous, waiting, failing."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError, EventStreamError

from llama_bedrock.local import EngineError, LocalBedrock


class AsyncEngine:
    name = "async"

    async def generate(self, request):
        for piece in ("a", "b", "c"):
            await asyncio.sleep(0.001)
            yield piece


class ReturnsAsyncIterator:
    name = "wrapped"

    def generate(self, request):
        return AsyncEngine().generate(request)


class WaitingEngine:
    """Blocks its thread between pieces, and says which thread that is."""

    name = "waiting"

    def __init__(self):
        self.threads = set()
        self.produced = 0

    def generate(self, request):
        for piece in "abc" * 100:
            self.threads.add(threading.current_thread().name)
            time.sleep(0.01)
            self.produced += 1
            yield piece


class FailingEngine:
    name = "failing"

    def __init__(self, error, after=0):
        self.error = error
        self.after = after

    def generate(self, request):
        yield from ["x"] * self.after
        raise self.error


def collect(chunks, texts):
    for chunk in chunks:
        texts.append(chunk["generation"])


@pytest.mark.parametrize("engine", [AsyncEngine(), ReturnsAsyncIterator()], ids=["generator", "iterator"])
def test_asynchronous_engines_stream(connect, engine):
    with LocalBedrock(engine) as server:
        bedrock = connect(server)
        assert bedrock.invoke()[0]["generation"] == "abc"
        assert [chunk["generation"] for chunk in bedrock.stream()] == ["a", "b", "c", ""]


def test_engines_that_block_run_beside_each_other_and_off_the_loop(connect):
    engine = WaitingEngine()
    with LocalBedrock(engine) as server, ThreadPoolExecutor(8) as pool:
        bedrock = connect(server, max_pool_connections=8)
        started = time.monotonic()
        answers = list(pool.map(lambda _: bedrock.invoke({"prompt": "Hi", "max_gen_len": 20}), range(8)))
        elapsed = time.monotonic() - started
    assert {body["generation_token_count"] for body, _ in answers} == {20}
    assert elapsed < 8 * 0.2
    assert all("engine" in name for name in engine.threads)


def test_an_engine_stops_soon_after_the_limit(connect):
    engine = WaitingEngine()
    with LocalBedrock(engine) as server:
        connect(server).invoke({"prompt": "Hi", "max_gen_len": 5})
    assert engine.produced < 20


def test_an_engines_error_before_the_first_piece_is_an_http_error(connect):
    engine = FailingEngine(EngineError("ModelErrorException", "no model", originalStatusCode=500))
    with LocalBedrock(engine) as server:
        bedrock = connect(server)
        for call in (bedrock.invoke, lambda: list(bedrock.stream())):
            with pytest.raises(ClientError, match="no model") as caught:
                call()
            assert caught.value.response["Error"]["Code"] == "ModelErrorException"
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_an_engines_error_after_the_first_piece_is_an_exception_frame(connect):
    engine = FailingEngine(EngineError("ModelStreamErrorException", "broke"), after=2)
    with LocalBedrock(engine) as server:
        texts = []
        with pytest.raises(EventStreamError, match="broke") as caught:
            collect(connect(server).stream(), texts)
        assert texts == ["x", "x"]
        assert caught.value.response["Error"]["Code"] == "modelStreamErrorException"


def test_a_bug_in_an_engine_is_told_to_the_caller_and_the_log(connect, caplog):
    with LocalBedrock(FailingEngine(KeyError("gone"))) as server:
        with pytest.raises(ClientError, match="The local engine failing failed: KeyError: 'gone'"):
            connect(server).invoke()
        assert "failing failed" in caplog.text
