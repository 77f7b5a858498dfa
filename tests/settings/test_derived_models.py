"""What a model sends follows its settings, however it was made from another: seen on the wire."""

import asyncio
import copy
import json
import pickle
import re
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.runnables import ConfigurableField

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock
from llama_bedrock.retrievers import KnowledgeBaseRetriever
from llama_bedrock.transport.eventstream import encode_frame

MODEL = "meta.llama3-3-70b-instruct-v1:0"
ARN = "arn:aws:bedrock:us-east-2:123456789012:imported-model/abcdefghijkl"


class Mirror(BaseHTTPRequestHandler):
    """Answers with what it was sent: who calls, where, and the prompt."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        key = self.headers["Authorization"]
        key = re.sub(r"Bearer |.*Credential=([^/]+)/\d+/([^/]+)/.*", r"\1\2", key)
        # In hexadecimal digits: a control token in the answer would end it.
        prompt = body.get("prompt", "").encode().hex()
        text = json.dumps({"key": key, "port": self.server.server_port, "path": self.path, "prompt": prompt})
        if "/retrieve" in self.path:
            answer = json.dumps({"retrievalResults": [{"content": {"text": text}}]}).encode()
        else:
            answer = json.dumps({"generation": text, "stop_reason": "stop"}).encode()
        if self.path.endswith("stream"):
            payload = json.dumps({"bytes": b64encode(answer).decode()}).encode()
            answer = encode_frame({":message-type": "event", ":event-type": "chunk"}, payload)
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def ports():
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), Mirror) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    yield [server.server_port for server in servers]
    for server in servers:
        server.shutdown()
        server.server_close()


def seen(answer):
    text = answer[0].page_content if isinstance(answer, list) else getattr(answer, "text", answer)
    said = json.loads(text)
    return {**said, "prompt": bytes.fromhex(said["prompt"]).decode()}


def sync_call(runnable):
    return seen(runnable.invoke("hi"))


def async_call(runnable):
    return seen(asyncio.run(runnable.ainvoke("hi")))


def sync_stream(runnable):
    chunks = list(runnable.stream("hi"))
    return seen(chunks[0] if isinstance(chunks[0], list) else "".join(getattr(c, "text", c) for c in chunks))


CALLS = [sync_call, async_call, sync_stream]


def assigned(model, changes):
    for name, value in changes.items():
        setattr(model, name, value)
    return model


def configured(model, changes):
    fields = {name: ConfigurableField(id=name) for name in changes}
    return model.configurable_fields(**fields).with_config(configurable=changes)


def alternative(model, changes):
    other = model.model_copy(update=changes)
    choice = model.configurable_alternatives(ConfigurableField(id="who"), default_key="first", second=other)
    return choice.with_config(configurable={"who": "second"})


WAYS = {
    "model_copy": lambda model, changes: model.model_copy(update=changes),
    "model_copy deep": lambda model, changes: model.model_copy(update=changes, deep=True),
    "copy": lambda model, changes: assigned(copy.copy(model), changes),
    "deepcopy": lambda model, changes: assigned(copy.deepcopy(model), changes),
    "pickle": lambda model, changes: assigned(pickle.loads(pickle.dumps(model)), changes),
    "configurable_fields": configured,
    "configurable_alternatives": alternative,
    "bind of a copy": lambda model, changes: model.model_copy(update=changes).bind(),
    "with_config of a copy": lambda model, changes: model.model_copy(update=changes).with_config(tags=["x"]),
}


def kinds(port):
    common = {"region_name": "us-east-2", "endpoint_url": f"http://127.0.0.1:{port}"}
    return [
        ChatLlamaBedrock(model=MODEL, api_key="first", **common),
        LlamaBedrock(model=MODEL, api_key="first", **common),
        ChatLlamaBedrock(model=MODEL, **signed("first"), **common),
        KnowledgeBaseRetriever(knowledge_base_id="ABCDEFGHIJ", **signed("first"), **common),
    ]


def signed(key):
    return {"aws_access_key_id": key, "aws_secret_access_key": f"secret of {key}"}


KINDS = pytest.mark.parametrize(
    "kind", range(4), ids=["chat", "completion", "chat, signed", "knowledge base"]
)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("derived_first", [False, True], ids=["base first", "derived first"])
@pytest.mark.parametrize("way", WAYS)
@KINDS
def test_one_tenants_key_and_endpoint_are_never_used_for_another(kind, way, derived_first, call, ports):
    base = kinds(ports[0])[kind]
    mine, theirs = ("first", "second") if kind < 2 else ("firstus-east-2", "secondus-east-2")
    if not derived_first:
        assert call(base)["key"] == mine
    key = {"api_key": "second"} if kind < 2 else signed("second")
    derived = WAYS[way](base, {**key, "endpoint_url": f"http://127.0.0.1:{ports[1]}"})
    found = call(derived)
    assert (found["key"], found["port"]) == (theirs, ports[1])
    found = call(base)
    assert (found["key"], found["port"]) == (mine, ports[0])


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@KINDS
def test_an_assignment_after_the_first_use_counts(kind, call, ports):
    model = kinds(ports[0])[kind]
    assert call(model)["key"].startswith("first")
    if kind < 2:
        model.api_key = "second"
        assert call(model)["key"] == "second"
        assert "second" not in repr(model)
        model.api_key = None
    model.endpoint_url = f"http://127.0.0.1:{ports[1]}"
    model.aws_access_key_id, model.aws_secret_access_key = "third", "secret"
    assert call(model) == {**call(model), "key": "thirdus-east-2", "port": ports[1]}
    model.region_name = "us-west-2"
    assert call(model)["key"] == "thirdus-west-2"


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)
@pytest.mark.parametrize("way", [way for way in WAYS if "fields" not in way])
@pytest.mark.parametrize("kind", [0, 1], ids=["chat", "completion"])
def test_prompt_and_path_follow_the_model(kind, way, call, ports):
    base = kinds(ports[0])[kind].model_copy(update={"model": ARN, "prompt_format": "llama3"})
    first = call(base)
    assert "imported-model" in first["path"]
    assert "<|begin_of_text|>" in first["prompt"]
    other = call(WAYS[way](base, {"prompt_format": "llama2"}))
    assert other["prompt"].startswith("<s>")
    assert MODEL.split(":")[0] in call(WAYS[way](base, {"model": MODEL, "prompt_format": None}))["path"]
    assert call(base) == first


def test_what_is_known_of_a_model_follows_it():
    base = ChatLlamaBedrock(model=MODEL)
    small = base.model_copy(update={"model": "meta.llama3-8b-instruct-v1:0"})
    assert (base.profile["max_input_tokens"], small.profile["max_input_tokens"]) == (128_000, 8192)
    mine = ChatLlamaBedrock(model=MODEL, profile={"max_input_tokens": 5})
    mine.model = "meta.llama3-8b-instruct-v1:0"
    assert mine.profile == {"max_input_tokens": 5}


def test_closing_a_copy_leaves_the_connections_of_the_first_open(ports):
    async def main():
        base = kinds(ports[0])[0]
        await base.ainvoke("hi")
        async with base.model_copy() as other:
            await other.ainvoke("hi")
        transport = base._async_transport("us-east-2")
        return [held.pool.closed for held in transport._pools._pools.values()]

    assert asyncio.run(main()) == [False]


DIFFERENT = [
    {"temperature": 0.9},
    {"top_p": 0.1},
    {"max_tokens": 5},
    {"stop": ["x"]},
    {"guardrails": {"id": "g1"}},
    {"trace": True, "guardrails": {"id": "g1"}},
    {"model": "us.meta.llama3-1-8b-instruct-v1:0"},
    {"prompt_format": "llama3", "model": ARN},
    {"import_format": "openai-completion", "model": ARN, "prompt_format": "llama3"},
    {"region_name": "us-west-2"},
    {"latency": "optimized"},
    {"service_tier": "default"},
    {"special_tokens": "error"},
    {"fallback_models": ["us.meta.llama3-1-8b-instruct-v1:0"]},
]


@pytest.mark.parametrize("kind", [ChatLlamaBedrock, LlamaBedrock])
def test_the_cache_key_holds_everything_that_changes_the_answer(kind, ports):
    """Each setting, given to the model or to the call, asks the service anew; asked again, it does not."""
    cache = InMemoryCache()
    base = kind(
        model=MODEL,
        region_name="us-east-2",
        endpoint_url=f"http://127.0.0.1:{ports[0]}",
        api_key="k",
        cache=cache,
    )
    base.invoke("hi")
    for number, changes in enumerate([*DIFFERENT, {"endpoint_url": f"http://127.0.0.1:{ports[1]}"}], 2):
        other = base.model_copy(update=changes)
        other.invoke("hi")
        other.invoke("hi")
        assert len(cache._cache) == number, changes
    for changes in [{"temperature": 0.1}, {"max_tokens": 9}, {"model": "us.meta.llama3-1-70b-instruct-v1:0"}]:
        number += 1
        base.invoke("hi", **changes)
        base.bind(**changes).invoke("hi")
        asyncio.run(base.ainvoke("hi", **changes))
        assert len(cache._cache) == number, changes
    quiet = base.model_copy(update={"timeout": 30, "max_retries": 1, "api_key": "other", "streaming": True})
    assert sync_call(quiet)["key"] == "k"
    assert len(cache._cache) == number
