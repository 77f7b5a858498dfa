"""Documents into a knowledge base: directly and through S3 (moto), sync and async."""

import asyncio
import json
from collections import OrderedDict
from importlib import import_module

import boto3
import pytest
from botocore import handlers
from langchain_core.documents import Document

from llama_bedrock.local import ErrorResponse, LocalBedrock, LocalKnowledgeBase
from llama_bedrock.retrievers import (
    FAISSStore,
    KnowledgeBaseIngestor,
    KnowledgeBaseRetriever,
    split_documents,
)
from llama_bedrock.retrievers.knowledge_base.uploads import read_uploads, s3_objects, split_s3_uri
from llama_bedrock.transport import clients

pytestmark = pytest.mark.slow

BASE = "LOCALKB001"
SOURCE = "LOCALDS001"


@pytest.fixture
def base():
    """An empty knowledge base with one seed document (LSA needs text to be fitted on)."""
    seed = "Opening hours, prices and directions. What do llamas eat? How long is the neck of a giraffe?"
    return LocalKnowledgeBase(FAISSStore.from_documents([Document(seed, id="seed")]))


@pytest.fixture
def server(base):
    with LocalBedrock(knowledge_bases={BASE: base}) as running:
        yield running


@pytest.fixture
def ingestor(settings):
    return KnowledgeBaseIngestor(data_source_id=SOURCE, **settings)


@pytest.fixture(params=["sync", "async"])
def run(request):
    """Calls an ingestor's method sync and async."""

    def call(ingestor, method, *args, **options):
        if request.param == "sync":
            return getattr(ingestor, method)(*args, **options)

        async def later():
            try:
                return await getattr(ingestor, f"a{method}")(*args, **options)
            finally:
                await ingestor.aclose()

        return asyncio.run(later())

    return call


def ids_of(settings, query, **options):
    retriever = KnowledgeBaseRetriever(**settings, k=50, **options)
    return sorted({d.metadata.get("source", d.id) for d in retriever.invoke(query)})


def test_documents_can_be_found_after_they_were_sent(settings, ingestor, run):
    documents = [
        Document(
            f"Llamas eat hay, note {n}.", id=f"note-{n}", metadata={"n": n, "tags": ["a", "b"], "open": True}
        )
        for n in range(23)
    ]
    seen = []
    report = run(ingestor, "ingest", documents, progress=seen.append)
    assert sorted(report.indexed) == sorted(d.id for d in documents)
    assert (report.failed, report.pending) == ({}, [])
    assert [p.done for p in seen if p.phase == "upload"] == [10, 20, 23]
    assert (seen[-1].phase, seen[-1].done, seen[-1].total) == ("index", 23, 23)
    assert ids_of(settings, "llamas", filter={"n": {"$gte": 21}, "open": True}) == ["note-21", "note-22"]
    assert ids_of(settings, "llamas", filter={"tags": {"$list_contains": "b"}, "n": 1}) == ["note-1"]


def test_sending_an_id_again_replaces_the_document(settings, ingestor, run):
    for year in (2020, 2021):
        run(ingestor, "ingest", [Document(f"Prices of {year}", id="prices", metadata={"year": year})])
    assert ids_of(settings, "prices", filter={"year": 2020}) == []
    assert ids_of(settings, "prices", filter={"year": 2021}) == ["prices"]


def test_documents_can_be_taken_out(settings, ingestor, run):
    run(ingestor, "ingest", [Document("Llamas hum", id="a"), Document("Llamas spit", id="b")])
    report = run(ingestor, "delete", ["a", "never-there"])
    assert report.failed == {"never-there": "NOT_FOUND"}
    for _ in range(50):
        if ids_of(settings, "llamas") == ["b", "seed"]:
            break
    assert ids_of(settings, "llamas") == ["b", "seed"]


def test_files_of_a_folder_are_sent_as_they_are(settings, ingestor, run, tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "hours.txt").write_text("Opening hours are 9 to 5.")
    (tmp_path / "sub" / "page.html").write_text("<html><body><h1>Prices</h1><p>Ten euros.</p></body></html>")
    (tmp_path / ".hidden").write_text("secret")
    report = run(ingestor, "ingest", tmp_path)
    assert sorted(report.indexed) == ["hours.txt", "sub/page.html"]
    retriever = KnowledgeBaseRetriever(**settings, filter={"source": "sub/page.html"})
    assert "Ten euros." in retriever.invoke("prices")[0].page_content
    assert "<p>" not in retriever.invoke("prices")[0].page_content


def test_long_documents_are_split_where_the_base_says_so(base, settings, ingestor, run):
    base.split = lambda documents: split_documents(documents, chunk_size=200)
    run(ingestor, "ingest", [Document("Llamas eat hay. " * 100, id="long")])
    found = KnowledgeBaseRetriever(**settings, k=50, filter={"source": "long"}).invoke("hay")
    assert len(found) > 5


def test_a_document_that_cannot_be_indexed_is_reported(ingestor, run, base):
    base.split = lambda documents: 1 / 0
    report = run(ingestor, "ingest", [Document("Llamas", id="a")])
    assert report.failed == {"a": "ZeroDivisionError: division by zero"}


def test_without_waiting_documents_are_pending(ingestor, run):
    report = run(ingestor, "ingest", [Document("Llamas", id="a")], wait=False)
    assert report.pending == ["a"]


def test_throttling_is_retried(server, ingestor, run):
    server.faults = [ErrorResponse("ThrottlingException").first(1)]
    assert run(ingestor, "ingest", [Document("Llamas", id="a")]).indexed == ["a"]


@pytest.mark.parametrize(
    ("documents", "error", "text"),
    [
        ([], ValueError, "no documents"),
        ([Document("  ", id="a")], ValueError, "'a' is empty"),
        ([Document("x", id="a"), Document("y", id="a")], ValueError, "two documents have the id 'a'"),
        ([Document("x" * 5_242_881, id="a")], ValueError, "through S3"),
        (["text"], TypeError, "documents=.*: it takes a path or a list of Document"),
        ("/no/such/folder", FileNotFoundError, "no such file"),
    ],
)
def test_documents_that_cannot_be_sent_are_refused(server, ingestor, run, documents, error, text):
    with pytest.raises(error, match=text):
        run(ingestor, "ingest", documents)
    assert server.stats.requests == 0


def test_metadata_that_the_service_cannot_hold_is_left_out_and_told(caplog):
    metadata = {
        "ok": 1,
        "none": None,
        "dict": {"a": 1},
        "long": "x" * 3000,
        "nan": float("nan"),
        "empty": "",
        "l": [1],
    }
    (upload,) = read_uploads([Document("x", id="a", metadata=metadata)])
    assert upload.metadata == {"ok": 1}
    assert "dict, empty, l, long, nan" in caplog.text


@pytest.mark.parametrize(
    ("uri", "parts"),
    [("s3://buck", ("buck", "")), ("s3://buck/", ("buck", "")), ("s3://buck/a/b", ("buck", "a/b/"))],
)
def test_s3_uris_are_read(uri, parts):
    assert split_s3_uri(uri) == parts


@pytest.mark.parametrize("uri", ["buck/a", "s3://", "http://x/y", "s3://UPPER/x"])
def test_other_uris_are_refused(settings, uri):
    with pytest.raises(ValueError, match="s3://bucket"):
        KnowledgeBaseIngestor(data_source_id=SOURCE, s3_uri=uri, **settings)


def test_objects_in_s3_have_their_metadata_beside_them():
    (upload,) = read_uploads([Document("text", id="a b/ü?.x", metadata={"n": 1})])
    objects = dict(s3_objects(upload, "docs/"))
    assert objects["docs/a_b/ü_.x.txt"] == b"text"
    assert json.loads(objects["docs/a_b/ü_.x.txt.metadata.json"]) == {"metadataAttributes": {"n": 1}}


@pytest.fixture
def bucket(aws_credentials, monkeypatch):
    """An S3 bucket of moto; requests to the local endpoint go through to it."""
    moto = pytest.importorskip("moto")
    # Importing it hooks into every client made from then on, in the tests that follow too.
    hook = ("before-send", import_module("moto.core.models").botocore_stubber)
    others = [handler for handler in handlers.BUILTIN_HANDLERS if handler != hook]
    handlers.BUILTIN_HANDLERS[:] = others
    monkeypatch.setattr(handlers, "BUILTIN_HANDLERS", [*others, hook])
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    monkeypatch.setattr(clients, "_sessions", OrderedDict())
    with moto.mock_aws():
        s3 = boto3.client("s3", region_name="us-east-2")
        s3.create_bucket(Bucket="docs", CreateBucketConfiguration={"LocationConstraint": "us-east-2"})
        yield s3


def read_bucket(s3):
    """What a data source does: every object that is no metadata, with its metadata."""
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="docs").get("Contents", [])]
    for key in keys:
        if key.endswith(".metadata.json"):
            continue
        body = s3.get_object(Bucket="docs", Key=key)["Body"].read().decode()
        metadata = {"source": f"s3://docs/{key}"}
        if f"{key}.metadata.json" in keys:
            raw = s3.get_object(Bucket="docs", Key=f"{key}.metadata.json")["Body"].read()
            metadata |= json.loads(raw)["metadataAttributes"]
        yield Document(body, id=key, metadata=metadata)


def test_a_job_reads_what_was_uploaded_to_s3(bucket, base, settings, run):
    base.data_source = lambda: list(read_bucket(bucket))
    ingestor = KnowledgeBaseIngestor(data_source_id=SOURCE, s3_uri="s3://docs/in", **settings)
    seen = []
    documents = [Document(f"Llamas eat hay {n}", id=f"d{n}", metadata={"n": n}) for n in range(3)]
    report = run(ingestor, "ingest", documents, progress=seen.append)
    assert (report.job_status, len(report.job_id)) == ("COMPLETE", 10)
    assert report.statistics["numberOfNewDocumentsIndexed"] == 3
    assert [p.done for p in seen if p.phase == "upload"] == [1, 2, 3]
    assert seen[-1].done == 3
    assert ids_of(settings, "llamas", filter={"n": 2}) == ["s3://docs/in/d2.txt"]


def test_a_job_that_fails_tells_why(bucket, base, settings, run):
    def broken():
        raise PermissionError("no access to the bucket")

    base.data_source = broken
    ingestor = KnowledgeBaseIngestor(data_source_id=SOURCE, s3_uri="s3://docs", **settings)
    report = run(ingestor, "ingest", [Document("x", id="a")])
    assert report.job_status == "FAILED"
    assert report.failed == {"1": "PermissionError: no access to the bucket"}


def test_a_missing_bucket_is_an_error_of_s3(bucket, settings, run):
    from llama_bedrock.errors import LlamaBedrockError

    ingestor = KnowledgeBaseIngestor(data_source_id=SOURCE, s3_uri="s3://absent", **settings)
    with pytest.raises(LlamaBedrockError, match="bucket does not exist"):
        run(ingestor, "ingest", [Document("x", id="a")])
