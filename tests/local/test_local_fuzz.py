"""Whatever JSON comes in, the endpoint answers it or refuses it: never 500, never silence."""

import http.client
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from langchain_core.documents import Document
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.vectorstores import InMemoryVectorStore

from llama_bedrock.local import LocalBedrock, LocalKnowledgeBase

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
IMPORTED = "arn:aws:bedrock:us-east-2:123456789012:imported-model%2Fabcdefghijkl"
BASE = "/knowledgebases/LOCALKB001"
SOURCE = f"{BASE}/datasources/LOCALDS001"

SCALARS = (
    st.none() | st.booleans() | st.integers(-5, 200_000) | st.floats(allow_nan=False) | st.text(max_size=20)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
PATHS = {
    f"/model/{MODEL}/invoke": {"prompt", "temperature", "top_p", "max_gen_len", "images"},
    f"/model/{MODEL}/invoke-with-response-stream": {
        "prompt",
        "max_gen_len",
        "amazon-bedrock-guardrailConfig",
    },
    f"/model/{IMPORTED}/invoke": {"prompt", "messages", "max_tokens", "stop", "temperature"},
    f"{BASE}/retrieve": {"retrievalQuery", "retrievalConfiguration", "nextToken", "guardrailConfiguration"},
    "/retrieveAndGenerate": {"input", "retrieveAndGenerateConfiguration", "sessionId"},
    "/rerank": {"queries", "sources", "rerankingConfiguration"},
    f"{SOURCE}/documents/getDocuments": {"documentIdentifiers"},
}
GOOD = {
    "prompt": "Hi",
    "retrievalQuery": {"text": "x"},
    "input": {"text": "x"},
    "retrieveAndGenerateConfiguration": {
        "type": "KNOWLEDGE_BASE",
        "knowledgeBaseConfiguration": {
            "knowledgeBaseId": "LOCALKB001",
            "modelArn": MODEL,
            "generationConfiguration": {
                "inferenceConfig": {
                    "textInferenceConfig": {
                        "maxTokens": 9,
                        "temperature": 0.5,
                        "topP": 0.5,
                        "stopSequences": ["END"],
                    }
                },
                "promptTemplate": {"textPromptTemplate": "$search_results$"},
            },
        },
    },
    "retrievalConfiguration": {
        "vectorSearchConfiguration": {
            "numberOfResults": 2,
            "overrideSearchType": "SEMANTIC",
            "filter": {
                "andAll": [{"equals": {"key": "a", "value": 1}}, {"in": {"key": "a", "value": [1, 2]}}]
            },
            "rerankingConfiguration": {
                "type": "BEDROCK_RERANKING_MODEL",
                "bedrockRerankingConfiguration": {
                    "modelConfiguration": {"modelArn": "arn:aws:bedrock:us-east-2::foundation-model/x"},
                    "numberOfRerankedResults": 1,
                },
            },
        }
    },
    "rerankingConfiguration": {
        "bedrockRerankingConfiguration": {"modelConfiguration": {"modelArn": "arn"}, "numberOfResults": 1}
    },
    "documentIdentifiers": [{"dataSourceType": "CUSTOM", "custom": {"id": "a"}}],
    "messages": [{"role": "user", "content": "Hi"}],
    "max_tokens": 5,
    "queries": [{"type": "TEXT", "textQuery": {"text": "x"}}],
    "sources": [{"type": "INLINE", "inlineDocumentSource": {"type": "TEXT", "textDocument": {"text": "x"}}}],
}


class Echo:
    name = "echo"
    blocking = False

    def generate(self, request):
        return [request.prompt[:20], "."]


@pytest.fixture(scope="module")
def connection():
    store = InMemoryVectorStore(DeterministicFakeEmbedding(size=8))
    store.add_documents([Document("x", metadata={"a": 1}), Document("y")])
    with LocalBedrock(Echo(), knowledge_bases={"LOCALKB001": LocalKnowledgeBase(store)}) as server:
        host, port = server.endpoint_url.removeprefix("http://").split(":")
        client = http.client.HTTPConnection(host, int(port), timeout=10)
        yield client
        client.close()


def set_at(body, path, value):
    """A copy of the body with the value put at a path of keys and positions."""
    if not path:
        return value
    head, *rest = path
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[head] = set_at(copy[head], rest, value)
    return copy


def paths_in(body, prefix=()):
    """Every path to a value inside a body."""
    items = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, value in items:
        yield (*prefix, key)
        yield from paths_in(value, (*prefix, key))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_body_is_answered_or_refused(connection, data):
    path = data.draw(st.sampled_from(sorted(PATHS)))
    wanted = (
        data.draw(st.sets(st.sampled_from(sorted(PATHS[path])))) if data.draw(st.booleans()) else PATHS[path]
    )
    body = {key: GOOD[key] for key in sorted(wanted & GOOD.keys())}
    for key in data.draw(st.lists(st.sampled_from(sorted(PATHS[path])), max_size=2, unique=True)):
        body[key] = data.draw(VALUES)
    places = sorted(paths_in(body), key=repr)
    if places and data.draw(st.booleans()):
        body = set_at(body, data.draw(st.sampled_from(places)), data.draw(VALUES))
    connection.request("POST", path, json.dumps(body), {"Authorization": "Bearer key"})
    response = connection.getresponse()
    answer = response.read()
    assert response.status in (200, 400, 404), answer
    if response.status != 200:
        assert json.loads(answer)["message"]
        assert response.headers["x-amzn-ErrorType"]
