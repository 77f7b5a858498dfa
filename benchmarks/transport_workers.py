"""What the transport benchmarks measure; each function runs in a fresh process and prints its result as JSON.

    python benchmarks/transport_workers.py stream_cpu http://127.0.0.1:1234

Where several libraries are measured, their rounds alternate, so that a busy machine is busy for all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import sys
import threading
import time
import warnings
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlsplit

MODEL = "meta.llama3-1-8b-instruct-v1:0"
REGION = "us-west-2"
KEYS = {"aws_access_key_id": "AKIDEXAMPLE", "aws_secret_access_key": "secret"}
BODY = json.dumps({"prompt": "<|begin_of_text|>Say something.", "max_gen_len": 2048})
QUESTION = "Say something."


def ours(url, **settings):
    from llama_bedrock import ChatLlamaBedrock

    return ChatLlamaBedrock(
        model=MODEL, region_name=REGION, endpoint_url=url, max_tokens=2048, **KEYS, **settings
    )


def langchain_aws(url):
    from langchain_aws import ChatBedrock

    return ChatBedrock(
        model=MODEL, region_name=REGION, endpoint_url=url, model_kwargs={"max_gen_len": 2048}, **KEYS
    )


def langchain_floor(url):
    """What LangChain itself takes: a model over aiohttp that does nothing but read the answer."""
    from aiohttp import ClientSession, TCPConnector
    from langchain_core.language_models import BaseChatModel
    from langchain_core.messages import AIMessage, AIMessageChunk
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from pydantic import Field

    class Floor(BaseChatModel):
        sessions: list = Field(default_factory=list)

        @property
        def _llm_type(self):
            return "floor"

        def _generate(self, messages, stop=None, run_manager=None, **kwargs):
            return ChatResult(generations=[ChatGeneration(message=AIMessage("word "))])

        async def _astream(self, messages, stop=None, run_manager=None, **kwargs):
            if not self.sessions:
                self.sessions.append(ClientSession(connector=TCPConnector(limit=0)))
            address = f"{url}/model/{MODEL}/invoke-with-response-stream"
            headers = {"Authorization": "Bearer local", "Content-Type": "application/json"}
            async with self.sessions[0].post(address, data=BODY, headers=headers) as response:
                held = b""
                async for piece in response.content.iter_any():
                    held += piece
                    while len(held) >= 12 and len(held) >= (length := int.from_bytes(held[:4], "big")):
                        headers_length = int.from_bytes(held[4:8], "big")
                        payload, held = held[12 + headers_length : length - 4], held[length:]
                        text = json.loads(b64decode(json.loads(payload)["bytes"]))["generation"]
                        if text:
                            yield ChatGenerationChunk(message=AIMessageChunk(content=text))

        async def aclose(self):
            await self.sessions.pop().close()

    return Floor()


def botocore_client(url, connections=10):
    import boto3
    from botocore.config import Config

    config = Config(max_pool_connections=connections)
    return boto3.client("bedrock-runtime", region_name=REGION, endpoint_url=url, config=config, **KEYS)


def botocore_stream(client):
    """What a caller of raw botocore writes: the events, parsed."""
    response = client.invoke_model_with_response_stream(
        modelId=MODEL, body=BODY, contentType="application/json", accept="application/json"
    )
    for event in response["body"]:
        yield json.loads(event["chunk"]["bytes"])["generation"]


def cpu_of(run):
    """CPU microseconds of this process for each chunk that `run` counts."""
    gc.collect()
    started = time.process_time()
    chunks = run()
    return (time.process_time() - started) / chunks * 1e6


async def cpu_of_async(stream):
    gc.collect()
    started, chunks = time.process_time(), 0
    async for _ in stream:
        chunks += 1
    return (time.process_time() - started) / chunks * 1e6


def stream_cpu(url, rounds=9):
    """CPU microseconds for each chunk of a 2,000-chunk answer, and ours as a part of langchain-aws's.

    Medians of the rounds; the ratio is the median of the rounds' own ratios, since what disturbs one library
    in a round disturbs its neighbour too.
    """
    models = {"llama-bedrock": ours(url), "langchain-aws": langchain_aws(url)}
    client = botocore_client(url)
    sync_streams = {name: lambda model=model: model.stream(QUESTION) for name, model in models.items()}
    sync_streams["botocore"] = lambda: botocore_stream(client)
    found = {"sync": {name: [] for name in sync_streams}, "async": {name: [] for name in models}}
    for _ in range(rounds + 1):
        for name, stream in sync_streams.items():
            found["sync"][name].append(cpu_of(lambda stream=stream: sum(1 for _ in stream())))

    async def run():
        for _ in range(rounds + 1):
            for name, model in models.items():
                found["async"][name].append(await cpu_of_async(model.astream(QUESTION)))

    asyncio.run(run())
    result = {}
    for mode, by_name in found.items():
        warm = {name: values[1:] for name, values in by_name.items()}  # the first round warms up
        result[mode] = {name: statistics.median(values) for name, values in warm.items()}
        pairs = zip(warm["llama-bedrock"], warm["langchain-aws"], strict=True)
        result[mode]["ratio"] = statistics.median(mine / theirs for mine, theirs in pairs)
    return result


def wire_first_byte(url, rounds):
    """Seconds to the first byte of the body on a bare socket with a connection that is open already."""
    import http.client

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port)
    path = f"/model/{MODEL.replace(':', '%3A')}/invoke-with-response-stream"
    headers = {"Content-Type": "application/json", "Authorization": "Bearer x"}
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        connection.request("POST", path, BODY, headers)
        response = connection.getresponse()
        response.read(1)
        times.append(time.perf_counter() - started)
        response.read()
    connection.close()
    return times


def ttft(url, rounds=40):
    """Milliseconds to the first chunk beyond the wire's own time to its first byte: medians."""
    models = {"llama-bedrock": ours(url), "langchain-aws": langchain_aws(url)}
    client = botocore_client(url)
    streams = {name: lambda model=model: model.stream(QUESTION) for name, model in models.items()}
    streams["botocore"] = lambda: botocore_stream(client)
    found = {name: [] for name in streams}
    for _ in range(rounds + 3):
        for name, stream in streams.items():
            started = time.perf_counter()
            chunks = stream()
            next(chunks)
            found[name].append(time.perf_counter() - started)
            for _ in chunks:
                pass

    async def run():
        for _ in range(rounds + 3):
            for name, model in models.items():
                started, first = time.perf_counter(), None
                async for _ in model.astream(QUESTION):
                    first = first or time.perf_counter() - started
                found.setdefault(f"{name}, async", []).append(first)

    asyncio.run(run())
    wire = statistics.median(wire_first_byte(url, rounds))
    over = {name: (statistics.median(times[3:]) - wire) * 1000 for name, times in found.items()}
    return {"wire": wire * 1000, "over_the_wire": over}


MODELS = {"llama-bedrock": ours, "langchain-aws": langchain_aws, "LangChain alone": langchain_floor}


def paced_streams(url, library, count, first, gap, tokens, thresholds=()):
    """Many streams at once, paced by the server: how long all take, and how late their tokens are.

    A token is late by what it comes after the moment the server means to send it, counted from the start.
    """
    model = MODELS[library](url)
    lateness, firsts = [], []

    async def one(started):
        number = 0
        async for chunk in model.astream(QUESTION):
            if chunk.content:
                since = time.perf_counter() - started
                if not number:
                    firsts.append(since)
                lateness.append(since - first - gap * number)
                number += 1

    async def run():
        async for _ in model.astream(QUESTION):
            pass
        lateness.clear()
        if thresholds:  # as docs/performance.md has a server do
            gc.collect()
            gc.freeze()
            gc.set_threshold(*thresholds)
        cpu, started = time.process_time(), time.perf_counter()
        await asyncio.gather(*(one(started) for _ in range(count)))
        seconds, cpu = time.perf_counter() - started, time.process_time() - cpu
        if hasattr(model, "aclose"):
            await model.aclose()
        return seconds, cpu

    seconds, cpu = asyncio.run(run())
    cuts = statistics.quantiles(lateness, n=100)
    return {
        "streams": count,
        "tokens": tokens,
        "seconds": seconds,
        "ideal_seconds": first + gap * (tokens - 1),
        "cpu_seconds": cpu,
        "first_token_s_p50": statistics.median(firsts),
        "first_token_s_last": max(firsts),
        "late_ms_p50": cuts[49] * 1000,
        "late_ms_p99": cuts[98] * 1000,
    }


def converse(url):
    from langchain_aws import ChatBedrockConverse

    model = ChatBedrockConverse(model=MODEL, region_name=REGION, endpoint_url=url, max_tokens=2048, **KEYS)
    return lambda: model.invoke(QUESTION)


def litellm(url):
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else its import waits for a download
    from litellm import completion

    keys = {**KEYS, "aws_region_name": REGION, "aws_bedrock_runtime_endpoint": url}
    messages = [{"role": "user", "content": QUESTION}]
    return lambda: completion(model=f"bedrock/invoke/{MODEL}", messages=messages, max_tokens=2048, **keys)


def strands(url):
    import boto3
    from strands import Agent
    from strands.models import BedrockModel

    session = boto3.Session(region_name=REGION, **KEYS)
    model = BedrockModel(model_id=MODEL, boto_session=session, endpoint_url=url, streaming=False)
    return lambda: Agent(model=model, callback_handler=None)(QUESTION)


def pydantic_ai(url):
    from pydantic_ai import Agent
    from pydantic_ai.models.bedrock import BedrockConverseModel
    from pydantic_ai.providers.bedrock import BedrockProvider

    client = botocore_client(url)
    agent = Agent(BedrockConverseModel(MODEL, provider=BedrockProvider(bedrock_client=client)))
    return lambda: agent.run_sync(QUESTION)


# Other libraries, measured where they are installed.
PEERS = {
    "ChatBedrockConverse": converse,
    "LiteLLM": litellm,
    "strands": strands,
    "pydantic-ai": pydantic_ai,
}


def peers(url):
    """A call of each library that is installed and answers."""
    found = {}
    for name, make in PEERS.items():
        try:
            call = make(url)
            call()
        except Exception as error:  # noqa: BLE001  # not installed, or not able to call the local endpoint
            print(f"{name} is left out: {type(error).__name__}: {error}"[:200], file=sys.stderr)
            continue
        found[name] = call
    return found


def call_cpu(url, rounds=7, count=100):
    """CPU microseconds of a call, medians of alternating rounds, and ours as a part of each other's."""
    client = botocore_client(url)
    cases = {"llama-bedrock": partial(ours(url).invoke, QUESTION), "botocore": partial(botocore_call, client)}
    with contextlib.suppress(ImportError):
        cases["langchain-aws"] = partial(langchain_aws(url).invoke, QUESTION)
    cases |= peers(url)
    found = {name: [] for name in cases}
    for _ in range(rounds + 1):
        for name, call in cases.items():
            gc.collect()
            started = time.process_time()
            for _ in range(count):
                call()
            found[name].append((time.process_time() - started) / count * 1e6)
    result = {name: statistics.median(values[1:]) for name, values in found.items()}
    mine = found["llama-bedrock"][1:]
    ratios = {
        f"ratio to {name}": statistics.median(a / b for a, b in zip(mine, values[1:], strict=True))
        for name, values in found.items()
        if name != "llama-bedrock"
    }
    return result | ratios


def botocore_call(client):
    arguments = {"modelId": MODEL, "body": BODY, "contentType": "application/json"}
    return json.loads(client.invoke_model(**arguments)["body"].read())


def calls(url, rounds=6, seconds=0.5, threads=16, tasks=64):
    """Calls a second without any delay of the server: one after the other, by threads, and by tasks."""
    models = {"llama-bedrock": ours(url), "langchain-aws": langchain_aws(url)}
    client = botocore_client(url, threads)

    sync_calls = {name: lambda model=model: model.invoke(QUESTION) for name, model in models.items()}
    sync_calls["botocore"] = partial(botocore_call, client)
    labels = "one after the other", f"{threads} threads", f"{tasks} tasks"
    found = {label: {name: [] for name in sync_calls} for label in labels[:2]}
    found[labels[2]] = {name: [] for name in models}
    for _ in range(rounds + 1):
        for name, call in sync_calls.items():
            found[labels[0]][name].append(by_threads(call, 1, seconds))
            found[labels[1]][name].append(by_threads(call, threads, seconds))

    async def by_tasks():
        for _ in range(rounds + 1):
            for name, model in models.items():
                found[labels[2]][name].append(await calls_of_tasks(model, tasks, seconds))

    asyncio.run(by_tasks())
    return {
        label: {name: statistics.median(values[1:]) for name, values in by_name.items()}
        for label, by_name in found.items()
    }


def by_threads(call, threads, seconds):
    started = time.perf_counter()

    def count(_):
        done = 0
        while time.perf_counter() < started + seconds:
            call()
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        done = sum(pool.map(count, range(threads)))
    return done / (time.perf_counter() - started)


async def calls_of_tasks(model, tasks, seconds):
    started = time.perf_counter()

    async def count():
        done = 0
        while time.perf_counter() < started + seconds:
            await model.ainvoke(QUESTION)
            done += 1
        return done

    done = sum(await asyncio.gather(*(count() for _ in range(tasks))))
    return done / (time.perf_counter() - started)


def in_flight(url, library, count):
    """Seconds until `count` concurrent `ainvoke` have ended; the server knows how many were in flight."""
    model = ours(url) if library == "llama-bedrock" else langchain_aws(url)

    async def run():
        await model.ainvoke(QUESTION)
        started = time.perf_counter()
        await asyncio.gather(*(model.ainvoke(QUESTION) for _ in range(count)))
        return time.perf_counter() - started, threading.active_count()

    seconds, threads = asyncio.run(run())
    return {"calls": count, "seconds": seconds, "threads": threads}


def memory(url, library, count):
    """Kilobytes of this process for each open stream."""
    model = ours(url) if library == "llama-bedrock" else langchain_aws(url)

    async def run():
        async with contextlib.AsyncExitStack() as stack:
            warm = await stack.enter_async_context(contextlib.aclosing(model.astream(QUESTION)))
            await anext(warm)
            gc.collect()
            before = resident()
            streams = [
                await stack.enter_async_context(contextlib.aclosing(model.astream(QUESTION)))
                for _ in range(count)
            ]
            await asyncio.gather(*(anext(stream) for stream in streams))
            gc.collect()
            return (resident() - before) / count / 1024

    return {"streams": count, "kilobytes_per_stream": asyncio.run(run())}


def resident():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def cold_start(url, library):
    """Milliseconds from nothing imported to the first chunk."""
    started = time.perf_counter()
    if library == "botocore":
        next(botocore_stream(botocore_client(url)))
    elif library == "llama-bedrock, async":

        async def first():
            async with contextlib.aclosing(ours(url).astream(QUESTION)) as stream:
                await anext(stream)

        asyncio.run(first())
    else:
        next((ours if library == "llama-bedrock" else langchain_aws)(url).stream(QUESTION))
    return {"milliseconds": (time.perf_counter() - started) * 1000}


def import_time(base, statement):
    """CPU milliseconds of an import statement in a fresh process, and as a multiple of one it contains."""
    started = time.process_time()
    exec(base, {})
    after_base = time.process_time()
    exec(statement, {})
    ended = time.process_time()
    return {
        "milliseconds": (ended - started) * 1000,
        "ratio": (ended - started) / (after_base - started),
    }


MEASUREMENTS = {
    function.__name__: function
    for function in (
        stream_cpu,
        ttft,
        paced_streams,
        calls,
        call_cpu,
        in_flight,
        memory,
        cold_start,
        import_time,
    )
}


if __name__ == "__main__":
    warnings.simplefilter("ignore")  # of lifecycles; this is about speed
    name, *arguments = sys.argv[1:]
    values = [json.loads(value) if value[:1] in "0123456789[{" else value for value in arguments]
    print(json.dumps(MEASUREMENTS[name](*values)))
