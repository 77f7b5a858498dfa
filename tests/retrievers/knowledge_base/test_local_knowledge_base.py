"""The knowledge base operations of the local endpoint, with foreign clients."""

import json

import pytest
from botocore.exceptions import ClientError
from langchain_core.documents import Document

from llama_bedrock.local.knowledge_base.cited_parts import CitedPart, CitedText
from llama_bedrock.local.knowledge_base.rerank_operation import relevance

BASE = "LOCALKB001"
RERANKER = "arn:aws:bedrock:us-east-2::foundation-model/cohere.rerank-v3-5:0"


@pytest.fixture
def langchain_aws(aws_credentials):
    return pytest.importorskip("langchain_aws")


def test_langchain_aws_retrieves(langchain_aws, server):
    retriever = langchain_aws.AmazonKnowledgeBasesRetriever(
        knowledge_base_id=BASE,
        region_name="us-east-2",
        endpoint_url=server.endpoint_url,
        retrieval_config={
            "vectorSearchConfiguration": {
                "numberOfResults": 2,
                "filter": {"equals": {"key": "source", "value": "guide.md"}},
            }
        },
    )
    documents = retriever.invoke("What is the context window of Llama 3.3?")
    assert documents[0].page_content == "The context window of Llama 3.3 is 128,000 tokens."
    assert documents[0].metadata["location"] == {
        "type": "CUSTOM",
        "customDocumentLocation": {"id": "guide.md"},
    }
    assert documents[0].metadata["source_metadata"]["year"] == 2024
    assert len(documents) == 2


def test_langchain_aws_reranks(langchain_aws, agent_runtime):
    reranker = langchain_aws.BedrockRerank(client=agent_runtime, model_arn=RERANKER, top_n=2)
    texts = ["Bedrock streams.", "Llamas eat hay and grass.", "Hay is dry grass."]
    ranked = reranker.compress_documents([Document(t) for t in texts], "Do llamas eat hay?")
    assert [d.page_content for d in ranked] == ["Llamas eat hay and grass.", "Hay is dry grass."]
    scores = [d.metadata["relevance_score"] for d in ranked]
    assert 1 >= scores[0] > scores[1] > 0


def test_boto3_pages_through_all_results(agent_runtime):
    pages = agent_runtime.get_paginator("retrieve").paginate(
        knowledgeBaseId=BASE,
        retrievalQuery={"text": "tokens"},
        retrievalConfiguration={"vectorSearchConfiguration": {"numberOfResults": 3}},
    )
    sizes = [len(page["retrievalResults"]) for page in pages]
    assert sizes == [3, 1]


def test_a_token_belongs_to_its_query(agent_runtime):
    config = {"vectorSearchConfiguration": {"numberOfResults": 1}}
    first = agent_runtime.retrieve(
        knowledgeBaseId=BASE, retrievalQuery={"text": "tokens"}, retrievalConfiguration=config
    )
    for token in (first["nextToken"], "garbage", "LTE6MQ=="):
        with pytest.raises(ClientError, match="nextToken is not valid"):
            agent_runtime.retrieve(
                knowledgeBaseId=BASE,
                retrievalQuery={"text": "other"},
                nextToken=token,
                retrievalConfiguration=config,
            )


def test_an_arn_names_a_knowledge_base_too(agent_runtime):
    arn = f"arn:aws:bedrock:us-east-2:123456789012:knowledge-base/{BASE}"
    assert agent_runtime.retrieve(knowledgeBaseId=arn, retrievalQuery={"text": "tokens"})["retrievalResults"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"numberOfResults": 2, "filter": {"andAll": [{"equals": {"key": "a", "value": 1}}]}},
            "greater than or equal to 2",
        ),
        (
            {"filter": {"greaterThan": {"key": "a", "value": "b"}, "equals": {"key": "a", "value": 1}}},
            "exactly one member",
        ),
        ({"filter": {"startsWith": {"key": "a", "value": 1}}}, "filter is not valid"),
        ({"rerankingConfiguration": {"type": "BEDROCK_RERANKING_MODEL"}}, "ARN of a reranker"),
    ],
)
def test_configurations_are_refused_as_by_the_api(server, config, text):
    import urllib.error
    import urllib.request

    body = {"retrievalQuery": {"text": "x"}, "retrievalConfiguration": {"vectorSearchConfiguration": config}}
    request = urllib.request.Request(
        f"{server.endpoint_url}/knowledgebases/{BASE}/retrieve",
        json.dumps(body).encode(),
        {"Authorization": "Bearer key"},
        method="POST",
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request, timeout=10)
    with caught.value as error:
        assert error.code == 400
        assert error.headers["x-amzn-ErrorType"].startswith("ValidationException")
        assert text in json.loads(error.read())["message"]


def rag(agent_runtime, text="x", model="us.meta.llama3-3-70b-instruct-v1:0", base=BASE, **more):
    return agent_runtime.retrieve_and_generate(
        input={"text": text},
        retrieveAndGenerateConfiguration={
            "type": "KNOWLEDGE_BASE",
            "knowledgeBaseConfiguration": {"knowledgeBaseId": base, "modelArn": model, **more},
        },
    )


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        ({"text": " "}, "ValidationException", "input.text"),
        ({"base": "UNKNOWNKB1"}, "ResourceNotFoundException", "does not exist"),
        ({"model": "meta.llama9"}, "ValidationException", "model identifier is invalid"),
        (
            {"retrievalConfiguration": {"managedSearchConfiguration": {"numberOfResults": 3}}},
            "ValidationException",
            "cannot be used with managed knowledge bases",
        ),
        (
            {"generationConfiguration": {"promptTemplate": {"textPromptTemplate": "nothing"}}},
            "ValidationException",
            "must include the placeholder",
        ),
    ],
)
def test_generation_is_refused_as_by_the_api(agent_runtime, arguments, code, text):
    with pytest.raises(ClientError, match=text) as caught:
        rag(agent_runtime, **arguments)
    assert caught.value.response["Error"]["Code"] == code


def test_citation_spans_end_at_their_last_character(agent_runtime):
    answer = rag(agent_runtime, "What is the context window of Llama 3.3?")
    text = answer["output"]["text"]
    (citation,) = answer["citations"]
    part = citation["generatedResponsePart"]["textResponsePart"]
    assert text[part["span"]["start"] : part["span"]["end"] + 1] == part["text"]
    assert "score" not in citation["retrievedReferences"][0]


ANSWER = "Llamas eat hay [1]. They hum[2][1], too. \n\nNo source [7]. 5 [kg] a day [1, 2] [2].  End"
PARTS = [
    ("Llamas eat hay.", (1,)),
    ("They hum,", (2, 1)),
    ("too. \n\nNo source. 5 [kg] a day.", (1, 2)),
    ("End", ()),
]


def read(pieces):
    cited = CitedText(passages=2)
    events = [event for piece in pieces for event in cited.feed(piece)] + cited.close()
    return cited, events


def test_marks_become_parts_whole_and_at_every_split():
    cited, events = read([ANSWER])
    parts = [event for event in events if isinstance(event, CitedPart)]
    assert [(" ".join(p.text.split()), p.numbers) for p in parts] == [
        (" ".join(t.split()), n) for t, n in PARTS
    ]
    for part in parts:
        assert cited.text[part.start : part.span["end"] + 1] == part.text
    for pieces in [[ANSWER[:n], ANSWER[n:]] for n in range(len(ANSWER))] + [list(ANSWER)]:
        other, other_events = read(pieces)
        assert other.text == cited.text
        assert "".join(e for e in other_events if isinstance(e, str)) == cited.text
        assert [e for e in other_events if isinstance(e, CitedPart)] == parts


def test_relevance_prefers_coverage_and_rare_words():
    scores = relevance("llama hay", ["llama llama llama", "llama and hay", "nothing", ""])
    assert scores[1] > scores[0] > scores[2] == scores[3] == 0
    assert relevance("", ["a"]) == [0.0]
