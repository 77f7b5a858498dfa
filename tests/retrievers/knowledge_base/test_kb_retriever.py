"""KnowledgeBaseRetriever, synchronous and asynchronous, over the local endpoint and canned answers."""

import asyncio
import copy
import pickle

import pytest
from langchain_core.exceptions import ModelNotFoundError, ModelRateLimitError
from langchain_tests.integration_tests import RetrieversIntegrationTests

from llama_bedrock.local import ErrorResponse, Guardrail, LocalBedrock
from llama_bedrock.retrievers import FAISSStore, KnowledgeBaseRetriever
from llama_bedrock.retrievers.filters import eq, gte
from llama_bedrock.retrievers.knowledge_base.search_options import (
    ImplicitFilter,
    MetadataAttribute,
    Reranking,
)


@pytest.fixture(params=["sync", "async"])
def search(request):
    """Calls a retriever sync and async with the same arguments."""

    def run(retriever, query, method="invoke", **options):
        if request.param == "sync":
            return getattr(retriever, method)(query, **options)

        async def call():
            try:
                return await getattr(retriever, f"a{method}")(query, **options)
            finally:
                await retriever.aclose()

        return asyncio.run(call())

    return run


class TestStandard(RetrieversIntegrationTests):
    """LangChain's own tests of a retriever."""

    @pytest.fixture(autouse=True)
    def _connect(self, settings):
        self.settings = settings

    @property
    def retriever_constructor(self):
        return KnowledgeBaseRetriever

    @property
    def retriever_constructor_params(self):
        return self.settings

    @property
    def retriever_query_example(self):
        return "What is the context window of Llama?"


def test_documents_have_source_score_type_and_id(settings, search):
    first, second = search(
        KnowledgeBaseRetriever(**settings, k=2), "What is the context window of Llama 3.3?"
    )
    assert first.page_content == "The context window of Llama 3.3 is 128,000 tokens."
    assert first.id == "c1"
    assert first.metadata["source"] == "guide.md"
    assert first.metadata["location_type"] == "CUSTOM"
    assert first.metadata["type"] == "text"
    assert first.metadata["page"] == 3
    assert 1 >= first.metadata["score"] >= second.metadata["score"] >= 0


def test_options_of_a_call_override_the_retrievers(settings, search):
    retriever = KnowledgeBaseRetriever(**settings, k=1, filter={"year": {"$lt": 2020}})
    assert [d.id for d in search(retriever, "tokens")] == ["c2"]
    assert [d.id for d in search(retriever, "tokens", filter=eq("source", "https://x.org/y"))] == ["c3"]
    assert len(search(retriever, "tokens", filter=None, k=3)) == 3


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ({"source": "guide.md"}, {"c1", "c4"}),
        ({"$and": [{"source": "guide.md"}]}, {"c1", "c4"}),
        ({"source": "guide.md", "year": {"$gte": 2025}}, {"c4"}),
        ({"$or": [{"year": 2019}, {"year": 2023}]}, {"c2", "c3"}),
        ({"year": [2019, 2024]}, {"c1", "c2"}),
        ({"tags": {"$list_contains": "limits"}}, {"c1"}),
        ({"source": {"$startswith": "s3://"}}, {"c2"}),
        ({"$not": {"source": "guide.md"}}, {"c2", "c3"}),
        ({"equals": {"key": "year", "value": 2019}}, {"c2"}),
        (eq("source", "guide.md") & gte("year", 2025), {"c4"}),
    ],
)
def test_filters_of_every_form_work(settings, search, condition, ids):
    found = search(KnowledgeBaseRetriever(**settings), "tokens", filter=condition, k=10)
    assert {d.id for d in found} == ids


def test_and_or_of_one_collapse_on_the_wire(service, canned, search):
    service.answers = [{"retrievalResults": []}]
    search(
        KnowledgeBaseRetriever(**canned),
        "x",
        filter={"andAll": [{"orAll": [{"equals": {"key": "a", "value": 1}}]}]},
    )
    sent = service.requests[0]["retrievalConfiguration"]["vectorSearchConfiguration"]
    assert sent["filter"] == {"equals": {"key": "a", "value": 1}}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"filter": {"year": {"$gtt": 1}}}, "unknown filter operator"),
        ({"filter": {"andAll": []}}, "at least one filter"),
        ({"k": 0}, "at least 1"),
        ({"k": "many"}, "at least 1"),
        ({"search_type": "keyword"}, "'hybrid', 'semantic' or None"),
        ({"reranking": 7}, "a Reranking"),
        ({"reranking": "managed"}, "for managed knowledge bases"),
        ({"threshold": 1}, "takes no 'threshold'"),
        ({"image": b"GIF89a..."}, "by text or by image"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_sent(service, canned, search, options, text):
    with pytest.raises((ValueError, TypeError), match=text):
        search(KnowledgeBaseRetriever(**canned), "x", **options)
    assert service.requests == []


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"knowledge_base_id": "short"}, "10 letters and digits"),
        ({"k": 0}, "greater than or equal to 1"),
        ({"filter": {"a": {"$near": 1}}}, "unknown filter operator"),
        ({"kind": "managed", "search_type": "hybrid"}, "for vector knowledge bases"),
        ({"unknown": 1}, "takes no .unknown."),
    ],
)
def test_wrong_settings_are_refused_when_the_retriever_is_made(canned, arguments, text):
    with pytest.raises(ValueError, match=text):
        KnowledgeBaseRetriever(**{**canned, **arguments})


@pytest.mark.parametrize(("query", "text"), [("", "empty"), ("  \n", "empty"), ("x" * 20_001, "20,000")])
def test_queries_that_cannot_be_sent_are_refused(service, canned, search, query, text):
    with pytest.raises(ValueError, match=text):
        search(KnowledgeBaseRetriever(**canned), query)
    assert service.requests == []


def test_more_than_a_hundred_documents_come_page_by_page(search):
    from langchain_core.documents import Document

    documents = [Document(f"llama number {n}", id=f"d{n}", metadata={"n": n}) for n in range(260)]
    with LocalBedrock(knowledge_bases={"MANYDOCS01": FAISSStore.from_documents(documents)}) as server:
        retriever = KnowledgeBaseRetriever(
            knowledge_base_id="MANYDOCS01",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )
        result = search(retriever, "llama number", method="retrieve", k=250)
        assert (len(result.documents), len({d.id for d in result.documents}), result.pages) == (250, 250, 3)
        assert len(search(retriever, "llama number", k=1000)) == 260


def test_paging_ends_when_the_service_repeats_a_token(service, canned, search):
    page = {"retrievalResults": [{"content": {"text": "x"}}], "nextToken": "same"}
    service.answers = [dict(page), dict(page)]
    assert len(search(KnowledgeBaseRetriever(**canned), "x", k=50)) == 2
    assert service.requests[1]["nextToken"] == "same"


def test_hybrid_semantic_and_reranked_searches_find_their_documents(settings, search):
    retriever = KnowledgeBaseRetriever(**settings, k=1)
    for options in (
        {"search_type": "hybrid"},
        {"search_type": "semantic"},
        {"reranking": "cohere.rerank-v3-5:0", "k": 4},
    ):
        assert search(retriever, "llamas eat hay", **options)[0].id == "c2"


def test_hybrid_search_of_a_store_without_it_is_refused_as_by_the_service(search):
    from langchain_core.embeddings import DeterministicFakeEmbedding
    from langchain_core.vectorstores import InMemoryVectorStore

    from llama_bedrock.errors import BedrockValidationError

    store = InMemoryVectorStore.from_texts(
        ["a", "b"], DeterministicFakeEmbedding(size=8), metadatas=[{"n": 1}, {"n": 2}]
    )
    with LocalBedrock(knowledge_bases={"OTHERSTORE": store}) as server:
        retriever = KnowledgeBaseRetriever(
            knowledge_base_id="OTHERSTORE",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )
        with pytest.raises(BedrockValidationError, match="HYBRID search type is not supported"):
            search(retriever, "a", search_type="hybrid")
        (found,) = search(retriever, "a", filter={"n": 2})
    assert found.page_content == "b"
    assert found.metadata["score"] is None


def test_the_configuration_on_the_wire_is_the_apis(service, canned, search):
    service.answers = [{"retrievalResults": []}]
    retriever = KnowledgeBaseRetriever(
        **canned,
        k=7,
        search_type="hybrid",
        guardrail_id="gr1",
        guardrail_version="2",
        user_id="ann",
        reranking=Reranking(
            "amazon.rerank-v1:0", top_n=3, exclude_metadata=["secret"], additional_fields={"a": 1}
        ),
        implicit_filter=ImplicitFilter(
            "arn:aws:bedrock:us-east-2::foundation-model/x", [MetadataAttribute("year", "number", "of issue")]
        ),
    )
    search(retriever, "when?")
    assert service.requests[0] == {
        "retrievalQuery": {"text": "when?"},
        "guardrailConfiguration": {"guardrailId": "gr1", "guardrailVersion": "2"},
        "userContext": {"userId": "ann"},
        "retrievalConfiguration": {
            "vectorSearchConfiguration": {
                "numberOfResults": 7,
                "overrideSearchType": "HYBRID",
                "rerankingConfiguration": {
                    "type": "BEDROCK_RERANKING_MODEL",
                    "bedrockRerankingConfiguration": {
                        "modelConfiguration": {
                            "modelArn": "arn:aws:bedrock:us-east-2::foundation-model/amazon.rerank-v1:0",
                            "additionalModelRequestFields": {"a": 1},
                        },
                        "numberOfRerankedResults": 3,
                        "metadataConfiguration": {
                            "selectionMode": "SELECTIVE",
                            "selectiveModeConfiguration": {"fieldsToExclude": [{"fieldName": "secret"}]},
                        },
                    },
                },
                "implicitFilterConfiguration": {
                    "modelArn": "arn:aws:bedrock:us-east-2::foundation-model/x",
                    "metadataAttributes": [{"key": "year", "type": "NUMBER", "description": "of issue"}],
                },
            }
        },
    }


@pytest.mark.parametrize(
    ("reranking", "kind"), [("managed", "MANAGED"), (False, "NONE"), ("amazon.rerank-v1:0", "CUSTOM")]
)
def test_managed_knowledge_bases_have_a_configuration_of_their_own(service, canned, search, reranking, kind):
    service.answers = [{"retrievalResults": []}]
    search(KnowledgeBaseRetriever(**canned, kind="managed", reranking=reranking), "x", filter={"a": 1})
    (name,) = service.requests[0]["retrievalConfiguration"]
    sent = service.requests[0]["retrievalConfiguration"][name]
    assert name == "managedSearchConfiguration"
    assert sent["rerankingModelType"] == kind
    assert sent["filter"] == {"equals": {"key": "a", "value": 1}}
    assert ("rerankingConfiguration" in sent) == (kind == "CUSTOM")


def test_images_can_be_searched_by(service, canned, search):
    service.answers = [{"retrievalResults": []}]
    search(KnowledgeBaseRetriever(**canned), "", image=b"\x89PNG\r\n\x1a\n....")
    assert service.requests[0]["retrievalQuery"] == {
        "type": "IMAGE",
        "image": {"format": "png", "inlineContent": "iVBORw0KGgouLi4u"},
    }
    with pytest.raises(ValueError, match="PNG, JPEG, GIF or WebP"):
        search(KnowledgeBaseRetriever(**canned), "", image=b"BM......")


CONTENTS = [
    ({"type": "TEXT", "text": "plain"}, "plain", {"type": "text"}),
    ({"text": "no type"}, "no type", {"type": "text"}),
    (
        {
            "type": "ROW",
            "row": [
                {"columnName": "name", "columnValue": "Ann", "type": "STRING"},
                {"columnName": "age", "columnValue": "41", "type": "LONG"},
                {"columnName": "rate", "columnValue": "1.5", "type": "DOUBLE"},
                {"columnName": "vip", "columnValue": "true", "type": "BOOLEAN"},
                {"columnName": "gone", "type": "NULL"},
                {"columnName": "odd", "columnValue": "n/a", "type": "LONG"},
            ],
        },
        "name: Ann\nage: 41\nrate: 1.5\nvip: True\ngone: \nodd: n/a",
        {
            "type": "row",
            "row": {"name": "Ann", "age": 41, "rate": 1.5, "vip": True, "gone": None, "odd": "n/a"},
        },
    ),
    (
        {"type": "IMAGE", "byteContent": "data:image/png;base64,AA=="},
        "",
        {"type": "image", "image": "data:image/png;base64,AA=="},
    ),
    (
        {"type": "AUDIO", "audio": {"s3Uri": "s3://b/a.mp3", "transcription": "hello"}},
        "hello",
        {"type": "audio", "media_uri": "s3://b/a.mp3"},
    ),
    (
        {"type": "VIDEO", "video": {"s3Uri": "s3://b/v.mp4", "summary": "a llama walks"}},
        "a llama walks",
        {"type": "video", "media_uri": "s3://b/v.mp4"},
    ),
    ({"type": "AUDIO", "audio": {"s3Uri": "s3://b/a.mp3"}}, "", {"type": "audio"}),
]


@pytest.mark.parametrize(
    ("content", "text", "metadata"),
    CONTENTS,
    ids=[str(c[0].get("type")) + str(n) for n, c in enumerate(CONTENTS)],
)
def test_every_type_of_content_becomes_a_document(service, canned, search, content, text, metadata):
    service.answers = [{"retrievalResults": [{"content": content}]}]
    (document,) = search(KnowledgeBaseRetriever(**canned), "x")
    assert document.page_content == text
    assert metadata.items() <= document.metadata.items()
    assert document.metadata["score"] is None


@pytest.mark.parametrize(
    ("location", "source"),
    [
        ({"type": "S3", "s3Location": {"uri": "s3://b/k"}}, "s3://b/k"),
        ({"type": "WEB", "webLocation": {"url": "https://w"}}, "https://w"),
        ({"type": "CONFLUENCE", "confluenceLocation": {"url": "https://c"}}, "https://c"),
        ({"type": "SALESFORCE", "salesforceLocation": {"url": "https://s"}}, "https://s"),
        ({"type": "SHAREPOINT", "sharePointLocation": {"url": "https://p"}}, "https://p"),
        ({"type": "CUSTOM", "customDocumentLocation": {"id": "doc-1"}}, "doc-1"),
        ({"type": "KENDRA", "kendraDocumentLocation": {"uri": "k://1"}}, "k://1"),
        ({"type": "SQL", "sqlLocation": {"query": "SELECT 1"}}, "SELECT 1"),
        ({"type": "ONEDRIVE", "oneDriveLocation": {"url": "https://o"}}, "https://o"),
        ({"type": "GOOGLEDRIVE", "googleDriveLocation": {"url": "https://g"}}, "https://g"),
    ],
)
def test_every_type_of_location_becomes_the_source(service, canned, search, location, source):
    service.answers = [{"retrievalResults": [{"content": {"text": "x"}, "location": location, "score": 0.5}]}]
    (document,) = search(KnowledgeBaseRetriever(**canned), "x")
    assert document.metadata["source"] == source
    assert document.metadata["location_type"] == location["type"]
    assert document.metadata["score"] == 0.5


def test_every_location_type_of_the_api_is_known():
    import botocore.session

    from llama_bedrock.retrievers.knowledge_base.results import source_of

    model = botocore.session.get_session().get_service_model("bedrock-agent-runtime")
    shape = model.shape_for("RetrievalResultLocation")
    for kind in shape.members["type"].enum:
        members = [m for m in shape.members if m.lower().startswith(kind.lower()) and m != "type"]
        (member,) = members
        (field,) = shape.members[member].members
        assert source_of({"type": kind, member: {field: "place"}}) == "place"


def test_ids_and_metadata_of_the_service_are_kept(service, canned, search):
    service.answers = [
        {
            "retrievalResults": [
                {
                    "content": {"text": "x"},
                    "documentId": "doc-7",
                    "metadata": {
                        "x-amz-bedrock-kb-chunk-id": "1%3A0:abc",
                        "x-amz-bedrock-kb-source-uri": "s3://b/k.pdf",
                        "x-amz-bedrock-kb-document-page-number": 4.0,
                        "team": "search",
                    },
                }
            ]
        }
    ]
    (document,) = search(KnowledgeBaseRetriever(**canned), "x")
    assert document.id == "1%3A0:abc"
    assert document.metadata["document_id"] == "doc-7"
    assert document.metadata["source"] == "s3://b/k.pdf"
    assert document.metadata["page"] == 4
    assert document.metadata["team"] == "search"


def test_min_score_leaves_out_low_and_missing_scores(service, canned, search):
    results = [
        {"content": {"text": t}, **({"score": s} if s is not None else {})}
        for t, s in (("a", 0.9), ("b", 0.3), ("c", None))
    ]
    service.answers = [{"retrievalResults": results}, {"retrievalResults": results}]
    retriever = KnowledgeBaseRetriever(**canned)
    assert [d.page_content for d in search(retriever, "x")] == ["a", "b", "c"]
    assert [d.page_content for d in search(retriever, "x", min_score=0.5)] == ["a"]


def test_a_guardrails_action_is_told(store, search, caplog):
    with LocalBedrock(
        knowledge_bases={"LOCALKB001": store}, guardrails={"gr1": Guardrail(("secret",))}
    ) as server:
        retriever = KnowledgeBaseRetriever(
            knowledge_base_id="LOCALKB001",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
            guardrail_id="gr1",
        )
        passed = search(retriever, "tokens", method="retrieve")
        blocked = search(retriever, "the secret tokens", method="retrieve")
    assert passed.guardrail_action == "NONE"
    assert passed.documents[0].metadata["guardrail_action"] == "NONE"
    assert (blocked.guardrail_action, blocked.documents) == ("INTERVENED", [])
    assert "guardrail intervened" in caplog.text


def test_a_guardrail_that_intervened_on_one_page_has_intervened(service, canned, search):
    pages = [
        {"retrievalResults": [{"content": {"text": text}}], "guardrailAction": action, "nextToken": text}
        for text, action in (("a", "NONE"), ("b", "INTERVENED"), ("c", "NONE"))
    ]
    del pages[2]["nextToken"]
    service.answers = pages
    found = search(KnowledgeBaseRetriever(**canned, k=5), "x", method="retrieve")
    assert [document.page_content for document in found.documents] == ["a", "b", "c"]
    assert found.guardrail_action == "INTERVENED"


def test_faults_are_typed_errors_and_retried_where_that_helps(server, settings, search):
    retriever = KnowledgeBaseRetriever(**settings, max_retries=2)
    server.faults = [ErrorResponse("ThrottlingException").first(2)]
    assert len(search(retriever, "tokens")) == 4
    server.faults = [ErrorResponse("ThrottlingException")]
    with pytest.raises(ModelRateLimitError):
        search(KnowledgeBaseRetriever(**settings, max_retries=0), "tokens")


def test_an_unknown_knowledge_base_is_not_found(settings, search):
    with pytest.raises(ModelNotFoundError, match="Knowledge Base with id ABCDEFGHIJ does not exist"):
        search(KnowledgeBaseRetriever(**{**settings, "knowledge_base_id": "ABCDEFGHIJ"}), "tokens")


async def test_many_searches_run_at_once_without_blocking_the_loop(store):
    from llama_bedrock.local import Hang

    async with LocalBedrock(knowledge_bases={"LOCALKB001": store}, faults=[Hang(seconds=0.3)]) as server:
        retriever = KnowledgeBaseRetriever(
            knowledge_base_id="LOCALKB001",
            region_name="us-east-2",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="AKIDEXAMPLE",
            aws_secret_access_key="secret",
        )
        found = await asyncio.gather(*[retriever.ainvoke("tokens") for _ in range(50)])
        await retriever.aclose()
        assert server.stats.peak_active > 25
    assert all(len(documents) == 4 for documents in found)


@pytest.mark.parametrize(
    "make",
    [copy.copy, copy.deepcopy, lambda r: pickle.loads(pickle.dumps(r)), lambda r: r.model_copy(deep=True)],
)
def test_copies_of_a_used_retriever_make_their_own_connections(settings, search, make):
    retriever = KnowledgeBaseRetriever(**settings, k=2)
    search(retriever, "tokens")
    assert len(search(make(retriever), "tokens")) == 2


def test_secrets_are_not_shown(settings):
    assert "AKIDEXAMPLE" not in repr(KnowledgeBaseRetriever(**settings))
