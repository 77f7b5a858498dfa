import pytest
from langchain_aws.document_compressors.rerank import BedrockRerank
from langchain_core.documents import BaseDocumentCompressor, Document

from llama_bedrock.errors import BedrockNotFoundError, BedrockThrottlingError
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.faults import ErrorResponse
from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from llama_bedrock.retrievers.search.rerank import BedrockReranker, RerankRetriever

pytestmark = pytest.mark.slow

MODEL = "cohere.rerank-v3-5:0"
TEXTS = ["Llamas carry loads.", "The wool of llamas is soft wool.", "Bread is baked.", "Wings fly."]
DOCUMENTS = [Document(id=str(n), page_content=text, metadata={"n": n}) for n, text in enumerate(TEXTS)]


@pytest.fixture
def server(aws_credentials):
    with LocalBedrock() as local:
        yield local


@pytest.fixture
def reranker(server):
    return BedrockReranker(model=MODEL, endpoint_url=server.endpoint_url, region_name="us-west-2")


def ids(documents):
    return [document.id for document in documents]


def test_documents_come_in_the_order_of_their_relevance(reranker):
    documents = reranker.compress_documents(DOCUMENTS, "soft llama wool")
    assert ids(documents)[0] == "1"
    assert len(documents) == 4
    scores = [document.metadata["relevance_score"] for document in documents]
    assert scores == sorted(scores, reverse=True)
    assert "relevance_score" not in DOCUMENTS[1].metadata


async def test_async_gives_the_same(reranker):
    expected = reranker.compress_documents(DOCUMENTS, "soft llama wool")
    assert await reranker.acompress_documents(DOCUMENTS, "soft llama wool") == expected


def test_top_n_bounds_the_result(server):
    reranker = BedrockReranker(
        model=MODEL, top_n=1, endpoint_url=server.endpoint_url, region_name="us-west-2"
    )
    assert ids(reranker.compress_documents(DOCUMENTS, "bread")) == ["2"]


def test_more_documents_than_one_request_takes_go_in_several(reranker):
    many = [Document(id=str(n), page_content=f"filler {n}") for n in range(2300)]
    many[2222] = Document(id="wanted", page_content="bread of flour")
    documents = reranker.compress_documents(many, "bread flour")
    assert len(documents) == 2300
    assert documents[0].id == "wanted"


def test_long_texts_are_cut_for_the_service_and_come_back_whole(reranker):
    long = Document(id="long", page_content="bread " + "x" * 100_000)
    [document] = reranker.compress_documents([long], "bread")
    assert document.page_content == long.page_content


def test_empty_texts_are_left_out_and_nothing_gives_nothing(reranker):
    assert reranker.compress_documents([], "bread") == []
    blank = Document(id="blank", page_content="  ")
    assert ids(reranker.compress_documents([blank, DOCUMENTS[2]], "bread")) == ["2"]


@pytest.mark.parametrize("query", ["", " \n", "x" * 32_001])
def test_a_query_that_the_service_would_refuse_is_a_clear_error(reranker, query):
    with pytest.raises(ValueError, match="1 to 32,000 characters"):
        reranker.compress_documents(DOCUMENTS, query)


def test_the_model_may_be_an_id_or_an_arn(server, reranker):
    reranker.compress_documents(DOCUMENTS, "bread")
    assert reranker._reranker().model_arn == f"arn:aws:bedrock:us-west-2::foundation-model/{MODEL}"
    arn = f"arn:aws:bedrock:us-east-1::foundation-model/{MODEL}"
    named = BedrockReranker(model=arn, endpoint_url=server.endpoint_url, region_name="us-east-1")
    assert named._reranker().model_arn == arn


def test_the_inner_reranker_is_that_of_langchain_aws(reranker):
    assert isinstance(reranker._reranker(), BedrockRerank)


@pytest.mark.parametrize("is_async", [False, True])
async def test_failures_of_the_service_are_typed_and_passing_ones_tried_again(server, is_async):
    reranker = BedrockReranker(
        model=MODEL, endpoint_url=server.endpoint_url, region_name="us-west-2", max_retries=1
    )

    async def run():
        if is_async:
            return await reranker.acompress_documents(DOCUMENTS, "bread")
        return reranker.compress_documents(DOCUMENTS, "bread")

    server.faults = [ErrorResponse("ThrottlingException").first(1)]
    assert ids(await run())[0] == "2"
    server.faults = [ErrorResponse("ResourceNotFoundException")]
    with pytest.raises(BedrockNotFoundError):
        await run()
    server.faults = [ErrorResponse("ThrottlingException")]
    with pytest.raises(BedrockThrottlingError):
        await run()


class Reverse(BaseDocumentCompressor):
    """Any LangChain compressor: here, one that puts the last first."""

    def compress_documents(self, documents, query, callbacks=None):
        return list(reversed(documents))


@pytest.fixture
def hybrid():
    return HybridRetriever(store=FAISSStore.from_documents(DOCUMENTS))


def test_a_retriever_reranks_what_another_finds(hybrid, reranker):
    retriever = RerankRetriever(retriever=hybrid, compressor=reranker, k=2)
    found = retriever.invoke("soft llama wool")
    assert ids(found)[0] == "1"
    assert len(found) == 2
    assert {"score", "relevance_score"} <= set(found[0].metadata)


@pytest.mark.parametrize("is_async", [False, True])
async def test_any_compressor_will_do_and_options_reach_the_retriever(hybrid, is_async):
    retriever = RerankRetriever(retriever=hybrid, compressor=Reverse(), k=4)

    async def run(**options):
        return ids(
            await retriever.ainvoke("llama", **options) if is_async else retriever.invoke("llama", **options)
        )

    assert await run() == list(reversed(ids(hybrid.invoke("llama", k=50))))
    assert await run(k=1, candidates=1) == ids(hybrid.invoke("llama", k=1))
    assert set(await run(filter={"n": {"$lt": 2}})) == {"0", "1"}
    assert await run(filter={"n": 99}) == []
    with pytest.raises(ValueError, match="k must be a positive integer"):
        await run(k=0)
