"""Keys, tokens and passwords are in nothing that is logged, traced, measured, raised, shown or dumped."""

import asyncio
import copy
import functools
import io
import logging
import pickle
import traceback

import pytest
from botocore.httpsession import URLLib3Session
from langchain_core.load import dumps
from langchain_core.tracers.base import BaseTracer

from llama_bedrock import ChatLlamaBedrock, EMFMetrics, LlamaBedrock
from llama_bedrock.errors import BedrockThrottlingError, BedrockValidationError, LlamaBedrockError
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from tests.observability.conftest import MODEL, WAYS

KEYS = {
    "aws_access_key_id": "AKIDSECRETKEYID",
    "aws_secret_access_key": "secret-access-key-value",
    "aws_session_token": "session-token-value",
}
BEARER = {"api_key": "bearer-key-value"}
PASSWORD = "endpoint-password"
SECRETS = [*KEYS.values(), *BEARER.values(), PASSWORD]
OURS = ("llama_bedrock", "langchain", "opentelemetry")


class Everything(BaseTracer):
    """Keeps whatever LangChain tells a tracer."""

    run_inline = True  # in order, where the call is asynchronous, too

    def __init__(self):
        super().__init__(_schema_format="original+chat")
        self.told = []

    def _persist_run(self, run):
        self.told.append(repr(run.model_dump()))


@pytest.fixture
def spans():
    """What ends in an exporter: the attributes and events of a span that is open all the time."""
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    return provider.get_tracer("test"), lambda: [span.to_json() for span in exporter.get_finished_spans()]


@pytest.mark.parametrize("kind", [ChatLlamaBedrock, pytest.param(LlamaBedrock, marks=pytest.mark.slow)])
@pytest.mark.parametrize("credentials", [KEYS, BEARER], ids=["keys", "bearer"])
def test_secrets_stay_where_they_are(kind, credentials, spans, caplog, capfd, monkeypatch, no_waits):
    monkeypatch.setenv("LLAMA_BEDROCK_LOG_CONTENT", "1")
    caplog.set_level(logging.DEBUG)
    tracer, exported = spans
    everything, lines = Everything(), io.StringIO()
    config = {"callbacks": [everything, EMFMetrics("Herd", stream=lines)]}
    slow = BedrockThrottlingError("slow down")
    answers = [slow, "Ada.", "Ada.", "Ada.", slow, "Ada.", *[slow] * 4]
    with LocalBedrock(engine=ScriptedEngine(answers)) as server:
        address = server.endpoint_url.replace("http://", f"http://user:{PASSWORD}@")
        llm = kind(
            model=MODEL, region_name="us-east-2", endpoint_url=server.endpoint_url, max_retries=1,
            fallback_regions=["us-west-2"], **credentials,
        )  # fmt: skip
        named = kind(model=MODEL, region_name="us-east-2", endpoint_url=address, **credentials)
        raised = []
        with tracer.start_as_current_span("job"):
            llm.invoke("Who?", config)
            list(llm.stream("Who?", config))
            asyncio.run(llm.ainvoke("Who?", config))

            async def astream():
                return [chunk async for chunk in llm.astream("Who?", config)]

            asyncio.run(astream())
            try:
                llm.invoke("Who?", config)
            except LlamaBedrockError as error:
                raised = [repr(error), str(error.__dict__), pickle.dumps(error).decode("latin-1")]
                raised.append("".join(traceback.format_exception(error)))
        shown = [repr(llm), str(llm), repr(named), str(named._identifying_params), dumps(llm), dumps(named)]
        shown += [repr(copy.copy(llm)), str(llm._serialized), str(named._serialized)]
    records = [str(record.__dict__) for record in caplog.records if record.name.startswith(OURS)]
    printed = capfd.readouterr()
    assert len(raised) == 4
    assert len(everything.told) == 5
    assert len(exported()) == 1
    assert len(lines.getvalue().splitlines()) == 5
    assert len(records) >= 5
    texts = [
        *records,
        *everything.told,
        *exported(),
        lines.getvalue(),
        *raised,
        *shown,
        printed.out,
        printed.err,
    ]
    for secret in SECRETS:
        assert not [text for text in texts if secret in text], secret


@pytest.mark.parametrize("way", ["invoke", "ainvoke"])
@pytest.mark.parametrize(
    "address",
    [
        "http://ada:{}@127.0.0.1:1",
        "http://{}@127.0.0.1:1",
        "http://127.0.0.1:1/?api_key={}",
        "http://127.0.0.1:1?a=b@c&token={}",
        "htp://ada:{}@",
    ],
)
def test_what_is_secret_in_an_endpoint_is_not_told(address, way, caplog):
    caplog.set_level(logging.DEBUG)
    address = address.format(PASSWORD)
    llm = ChatLlamaBedrock(
        model=MODEL, region_name="us-east-2", endpoint_url=address, max_retries=0, **BEARER
    )
    with pytest.raises((LlamaBedrockError, ValueError)) as caught:
        llm.invoke("Who?") if way == "invoke" else asyncio.run(llm.ainvoke("Who?"))
    told = [repr(llm), str(llm._identifying_params), str(caught.value), repr(caught.value.__dict__)]
    told += [str(record.__dict__) for record in caplog.records if record.name.startswith(OURS)]
    told.append(pickle.dumps(caught.value).decode("latin-1"))
    assert not [text for text in told if PASSWORD in text or BEARER["api_key"] in text]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("credentials", [KEYS, BEARER], ids=["keys", "bearer"])
@pytest.mark.parametrize("fault", ["refused", "not there", "through botocore", "no such file"])
def test_tracebacks_with_the_variables_of_their_frames_show_none(
    way, credentials, fault, tmp_path, monkeypatch
):
    """As rich shows them and Sentry sends them: with our frames, botocore's and aiohttp's."""
    settings = {}
    if fault == "through botocore":  # to its own connections, as where Sentry watches
        send = URLLib3Session.send
        monkeypatch.setattr(URLLib3Session, "send", functools.wraps(send)(lambda *given: send(*given)))
    if fault == "no such file":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(tmp_path / "absent"))
        settings["timeout"] = 30.5  # a client of its own
    with LocalBedrock(engine=ScriptedEngine([BedrockValidationError("no")])) as server:
        here = server.endpoint_url if fault == "refused" else f"http://ada:{PASSWORD}@127.0.0.1:1"
        url = {"no such file": "https://localhost:1"}.get(fault, here)
        llm = ChatLlamaBedrock(
            model=MODEL, region_name="us-east-2", endpoint_url=url, max_retries=0, **credentials, **settings
        )
        with pytest.raises(Exception) as caught:
            WAYS[way](llm)
    frames, shown = 0, []
    for told in chained(traceback.TracebackException.from_exception(caught.value, capture_locals=True)):
        shown += told.format_exception_only()
        for frame in told.stack:
            if "/tests/" not in frame.filename:
                frames += "llama_bedrock" in frame.filename
                shown += [f"{frame.filename}:{frame.lineno} {pair}" for pair in (frame.locals or {}).items()]
    assert frames > 3
    assert not [text for text in shown if any(secret in text for secret in SECRETS)]


def chained(told):
    while told is not None:
        yield told
        told = told.__cause__ or (None if told.__suppress_context__ else told.__context__)
