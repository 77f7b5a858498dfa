"""Prompts and texts of a Ray dataset, on two workers that share one bound."""

import json
import os

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import EmbeddingMapper, LlamaMapper, RayLimiter
from llama_bedrock.local import ErrorResponse, LocalBedrock, Quotas
from tests.control.conftest import Echo

ray = pytest.importorskip("ray")
data = pytest.importorskip("ray.data")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # Ray's own
    pytest.mark.timeout(200),
]
MODEL = "us.meta.llama3-3-70b-instruct-v1:0"


@pytest.fixture(scope="module")
def cluster():
    started = not ray.is_initialized()
    if started:
        ray.init(num_cpus=3, logging_level="ERROR", log_to_driver=False, include_dashboard=False)
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    yield
    if started:
        ray.shutdown()


def test_two_workers_answer_under_one_quota_and_nothing_is_lost(cluster):
    engine = Echo()
    refused = ErrorResponse("ValidationException", "No.").when(lambda t: "row 7<" in str(t.body))
    quotas = Quotas(requests_per_minute=120, minute=1.0)
    with LocalBedrock(engine, quotas=quotas, faults=[refused]) as server:
        llm = ChatLlamaBedrock(
            model=MODEL, region_name="us-east-2", endpoint_url=server.endpoint_url, api_key="k", max_retries=0
        )
        dataset = data.from_items(
            [{"n": n, "question": f"row {n}"} for n in range(200)], override_num_blocks=8
        )
        rows = dataset.map_batches(
            LlamaMapper,
            fn_constructor_kwargs={
                "model": llm,
                "field": "question",
                "limiter": RayLimiter(f"test-{os.getpid()}", initial=4),
            },
            batch_size=25,
            concurrency=2,
        ).take_all()
    assert sorted(row["n"] for row in rows) == list(range(200))
    by_number = {row["n"]: row for row in rows}
    assert by_number.pop(7)["error"].startswith("BedrockValidationError: ")
    assert [row for n, row in by_number.items() if (row["answer"], row["error"]) != (f"row {n}", None)] == []
    assert all(row["usd"] > 0 and row["output_tokens"] for row in by_number.values())
    assert sorted(engine.asked) == sorted(f"row {n}" for n in by_number)


def test_tools_and_a_missing_column(cluster):
    engine = Echo()
    tool = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
    with LocalBedrock(engine) as server:
        llm = ChatLlamaBedrock(
            model=MODEL, region_name="us-east-2", endpoint_url=server.endpoint_url, api_key="k"
        )
        mapper = LlamaMapper(llm.bind_tools([tool]))
        batch = mapper({"prompt": ["[weather()]", json.dumps([{"role": "user", "content": "Hi"}])]})
        with pytest.raises(ValueError, match="no column 'prompt'; it has a"):
            mapper({"a": ["x"]})
    assert json.loads(batch["tool_calls"][0])[0]["name"] == "weather"
    assert batch["answer"][1] == "Hi"


def test_embeddings(cluster):
    model = DeterministicFakeEmbedding(size=8)
    rows = (
        data.from_items([{"text": f"t{n}"} for n in range(20)])
        .map_batches(EmbeddingMapper, fn_constructor_args=(model,), batch_size=10, concurrency=2)
        .take_all()
    )
    assert len(rows) == 20
    for row in rows:
        assert list(row["vector"]) == pytest.approx(model.embed_query(row["text"]), abs=1e-6)
