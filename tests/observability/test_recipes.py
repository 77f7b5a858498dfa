"""The recipes of docs/observability.md, as they stand there, and what each of them exports."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.observability.otlp_collector import Collector
from tests.observability.traced_app import MODEL, SECRETS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
PAGE = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
PROGRAM = Path(__file__).with_name("traced_app.py")
NEEDS = {
    "OpenTelemetry": "opentelemetry.instrumentation.genai.langchain",
    "LangSmith": "langsmith",
    "Phoenix": "openinference.instrumentation.langchain",
    "Langfuse": "langfuse",
    "CloudWatch": "opentelemetry.instrumentation.genai.langchain",
}
# Beside this environment's packages, not among them: ADOT pins versions.
ADOT = [
    "aws-opentelemetry-distro==0.21.0", "opentelemetry-exporter-otlp-proto-http==1.44.0",
    "opentelemetry-exporter-otlp-proto-common==1.44.0", "opentelemetry-api==1.44.0", "opentelemetry-sdk==1.44.0",
    "opentelemetry-semantic-conventions==0.65b0", "opentelemetry-distro", "opentelemetry-sdk-extension-aws", "opentelemetry-util-http",
    "opentelemetry-propagator-aws-xray", "opentelemetry-processor-baggage", "opentelemetry-exporter-otlp-proto-grpc",
    "opentelemetry-instrumentation-logging", "opentelemetry-instrumentation-system-metrics",
    "opentelemetry-instrumentation-botocore", "cachetools", "bytecode",
]  # fmt: skip


def recipe(name, url):
    """The environment and the code of a recipe, with its addresses in place of the collector's."""
    section = PAGE.read_text("utf-8").split(f"\n## {name}\n")[1].split("\n## ")[0]
    section = re.sub(r"https?://[\w.:-]+", url, re.sub(r"\[[^\]]*\]\([^)]*\)", "", section))
    exports = re.findall(r"^export (\w+)=(\S+)", section, re.M)
    return dict(exports), "\n".join(re.findall(r"^```python\n(.*?)^```", section, re.M | re.S))


def run(name, tmp_path, command=(sys.executable,), python_path=()):
    """Run the program under the recipe; what the collector got."""
    pytest.importorskip(NEEDS[name])
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector() as collector:
        exports, code = recipe(name, collector.url)
        (tmp_path / "recipe.py").write_text(code)
        root = str(PROGRAM.parents[2])
        environment = {**os.environ, **exports, "PYTHONPATH": os.pathsep.join([*map(str, python_path), root])}
        done = subprocess.run(
            [*command, str(PROGRAM), str(tmp_path / "recipe.py")],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
    assert done.stdout.strip().endswith("all answers came"), done.stderr[-3000:]
    for secret in (*SECRETS, "lsv2_example", "sk-lf-example"):
        assert not [path for path, _, body in collector.requests if secret.encode() in body], secret
        assert secret not in done.stdout + done.stderr
    return collector


def named(spans, name):
    return [span for span in spans if span.name == name]


def check_official_spans(spans):
    """What the official instrumentation tells of the program, with our figures on it."""
    chats = named(spans, f"chat {MODEL}")
    assert len(chats) == 14
    assert {span["gen_ai.request.model"] for span in chats} == {MODEL}
    assert {span["gen_ai.provider.name"] for span in chats} == {"aws.bedrock"}
    (failed,) = [span for span in chats if span.error]
    assert failed["error.type"].endswith("BedrockValidationError")
    answered = [span for span in chats if not span.error]
    for span in answered:
        assert span["gen_ai.usage.input_tokens"] > 0
        assert span["gen_ai.usage.output_tokens"] > 0
        assert span["llama_bedrock.cost_usd"] > 0
        assert span["llama_bedrock.region"] == "us-east-2"
        assert span["aws.request_id"]
    tried = [(span["llama_bedrock.retries"], span["llama_bedrock.throttles"]) for span in chats]
    assert tried == [(1, 1)] + [(0, 0)] * 13
    assert sum("gen_ai.response.time_to_first_chunk" in span.attributes for span in chats) == 2
    retrievals = named(spans, "retrieval")
    assert len(retrievals) == 4
    for span in retrievals:
        found = json.loads(span["gen_ai.retrieval.documents"])
        assert [document["id"] for document in found] == ["a", "b"]
        assert found[0]["score"] > found[1]["score"]
    chains = named(spans, "invoke_workflow RagChain")
    assert len(chains) == 2
    for chain in chains:
        assert [child.name.split()[0] for child in chain.children] == ["chat", "retrieval", "chat", "chat"]
        assert chain["llama_bedrock.grounded_fraction"] == 1
    (agent,) = named(spans, "invoke_agent RagAgent")
    assert agent["llama_bedrock.verdicts.supported"] == 1
    (tool,) = named(spans, "execute_tool search_documents")
    assert [child.name for child in tool.children] == ["retrieval"]


def test_opentelemetry(tmp_path):
    check_official_spans(run("OpenTelemetry", tmp_path).spans())


def check_steps(spans, names=("Condense question", "Retrieve", "Answer", "Verify")):
    """The steps of the RAG chain are named, in their order, sync and async; the retriever's spans below them."""
    chains = named(spans, "RagChain")
    assert len(chains) == 2
    for chain in chains:
        assert [child.name for child in chain.children] == [*names]
    assert named(spans, "RagAgent")
    assert named(spans, "search_documents")


def test_langsmith(tmp_path):
    collector = run("LangSmith", tmp_path)
    spans = collector.spans()
    check_steps(spans)
    assert {
        headers.get("x-api-key") or headers.get("X-API-Key")
        for path, headers, _ in collector.requests
        if "otel" in path
    } == {"lsv2_example"}
    calls = [span for span in spans if span["langsmith.span.kind"] == "llm"]
    assert len(calls) == 14
    assert {span["gen_ai.request.model"] for span in calls} == {MODEL}
    assert [
        span.attributes for span in calls if not span.error and not span["gen_ai.usage.input_tokens"]
    ] == []
    assert sum(span.error for span in calls) == 1
    found = [span for span in spans if span["langsmith.span.kind"] == "retriever"]
    assert len(found) == 4
    assert all('"score"' in str(span.attributes) for span in found)


def test_phoenix(tmp_path):
    spans = run("Phoenix", tmp_path).spans()
    check_steps(spans)
    calls = [span for span in spans if span["openinference.span.kind"] == "LLM"]
    assert len(calls) == 14
    assert {span["llm.model_name"] for span in calls} == {MODEL}
    (failed,) = [span for span in calls if span.error]
    assert [event["name"] for event in failed.events] == ["exception"]
    assert all(span["llm.token_count.total"] > 0 for span in calls if span is not failed)
    assert sum(span["llama_bedrock.cost_usd"] is not None for span in calls) == 11  # two streams, one failure
    assert calls[0]["llama_bedrock.retries"] == 1
    found = [span for span in spans if span["openinference.span.kind"] == "RETRIEVER"]
    assert len(found) == 4
    for span in found:
        assert span["retrieval.documents.0.document.content"] == "Llamas eat hay and grass."
        assert json.loads(span["retrieval.documents.0.document.metadata"])["score"] > 0
    assert [span["llama_bedrock.grounded_fraction"] for span in named(spans, "RagChain")] == [1, 1]


def test_langfuse(tmp_path):
    collector = run("Langfuse", tmp_path)
    spans = collector.spans()
    check_steps(spans)
    calls = [span for span in spans if span["langfuse.observation.type"] == "generation"]
    assert len(calls) == 14
    assert {span["langfuse.observation.model.name"] for span in calls} == {MODEL}
    usages = [
        json.loads(span["langfuse.observation.usage_details"])
        for span in calls
        if not span.error and span["langfuse.observation.level"] != "ERROR"
    ]
    assert len(usages) == 13
    assert all(usage["input"] > 0 < usage["output"] for usage in usages)
    assert sum("langfuse.observation.completion_start_time" in span.attributes for span in calls) >= 2
    found = [span for span in spans if span["langfuse.observation.type"] == "retriever"]
    assert len(found) == 4
    assert all("score" in span["langfuse.observation.output"] for span in found)


@pytest.fixture
def adot(beside):
    return Path(beside(*ADOT, options=["--no-deps"]))


def test_cloudwatch(tmp_path, adot):
    pytest.importorskip("opentelemetry.instrumentation")
    instrument = Path(sys.executable).with_name("opentelemetry-instrument")
    check_official_spans(run("CloudWatch", tmp_path, (str(instrument), sys.executable), [adot]).spans())


SIGNED = """
import sys
from botocore.credentials import Credentials
from botocore.session import Session
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from amazon.opentelemetry.distro.exporter.otlp.aws.traces.otlp_aws_span_exporter import OTLPAwsSpanExporter

session = Session()
session.set_credentials("AKIDOBSERVED", "observed-secret-key")
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(OTLPAwsSpanExporter("us-east-2", session, endpoint=sys.argv[1] + "/v1/traces")))
provider.get_tracer("test").start_span("signed").end()
"""


def test_adots_exporter_signs_what_it_sends(adot):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http")
    with Collector() as collector:
        environment = {**os.environ, "PYTHONPATH": str(adot)}
        subprocess.run(
            [sys.executable, "-c", SIGNED, collector.url], env=environment, check=True, timeout=100
        )
    ((_, headers, _),) = collector.requests
    scope = "Credential=AKIDOBSERVED/\\d+/us-east-2/xray/aws4_request"
    assert re.search(scope, headers["Authorization"])
    assert [span.name for span in collector.spans()] == ["signed"]


TRACELOOP = """
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.langchain import LangchainInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(provider)
LangchainInstrumentor().instrument()
"""


def test_traceloop_shows_the_models_name(tmp_path):
    pytest.importorskip("opentelemetry.instrumentation.langchain")
    (tmp_path / "recipe.py").write_text(TRACELOOP)
    with Collector() as collector:
        environment = {
            **os.environ,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "TRACELOOP_TELEMETRY": "false",
        }
        environment["PYTHONPATH"] = str(PROGRAM.parents[2])
        command = [sys.executable, str(PROGRAM), str(tmp_path / "recipe.py")]
        subprocess.run(command, env=environment, cwd=tmp_path, check=True, timeout=300, capture_output=True)
    calls = named(collector.spans(), "ChatLlamaBedrock.chat")
    assert len(calls) == 14
    assert {(span["gen_ai.request.model"], span["gen_ai.provider.name"]) for span in calls} == {
        (MODEL, "aws.bedrock")
    }


def test_the_other_blocks_of_the_page_run(tmp_path, aws_credentials):
    from llama_bedrock.local import LocalBedrock

    text = PAGE.read_text("utf-8").split("\n## What only llama-bedrock knows\n")[1]
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.M | re.S))
    with LocalBedrock() as server:
        environment = {**os.environ, "AWS_ENDPOINT_URL": server.endpoint_url}
        command = [sys.executable, "-W", "ignore", "-c", code]
        done = subprocess.run(
            command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True
        )
    assert json.loads(done.stdout.splitlines()[0])["Service"] == "search"
