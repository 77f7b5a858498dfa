import asyncio
import hashlib
import json
import logging
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from llama_bedrock.errors import BedrockAccessDeniedError, BedrockServiceError, BedrockThrottlingError
from llama_bedrock.retrievers import FAISSStore, LSAEmbeddings, default_embeddings
from llama_bedrock.retrievers.embeddings.batches import identity
from llama_bedrock.retrievers.embeddings.bounded import BoundedEmbeddings
from llama_bedrock.retrievers.embeddings.default_embeddings import TITAN_MODEL_ID

pytestmark = pytest.mark.slow


def vector_of(text):
    digest = hashlib.sha256(text.encode()).digest()
    return [byte / 255 for byte in digest[:8]]


class TitanService(ThreadingHTTPServer):
    """InvokeModel of Titan on a socket: throttles above a number of calls in flight, fails when told to."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self):
        super().__init__(("127.0.0.1", 0), TitanHandler)
        self.limit = 1000
        self.seconds = 0.01
        self.failures = {}  # text → list of (status, error code)
        self.in_flight = self.most_in_flight = self.throttled = 0
        self.served = Counter()
        self.lock = threading.Lock()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"


class TitanHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes

    def do_POST(self):
        service = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["inputText"]
        with service.lock:
            service.in_flight += 1
            service.most_in_flight = max(service.most_in_flight, service.in_flight)
            too_many = service.in_flight > service.limit
            service.throttled += too_many
            failure = (429, "ThrottlingException") if too_many else None
            if not too_many and service.failures.get(text):
                failure = service.failures[text].pop(0)
        time.sleep(service.seconds)
        with service.lock:
            service.in_flight -= 1
            service.served[text] += failure is None
        if failure:
            self.answer(failure[0], {"message": "no"}, failure[1])
        else:
            self.answer(200, {"embedding": vector_of(text), "inputTextTokenCount": 1})

    def answer(self, status, content, error=None):
        data = json.dumps(content).encode()
        self.send_response(status)
        if error:
            self.send_header("x-amzn-errortype", error)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def service(aws_credentials):
    with TitanService() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def titan(service):
    return default_embeddings(endpoint_url=service.url)


TEXTS = [f"text number {n}" for n in range(60)]


def run(is_async, embeddings, texts):
    if is_async:
        return asyncio.run(embeddings.aembed_documents(texts))
    return embeddings.embed_documents(texts)


@pytest.mark.parametrize("is_async", [False, True])
def test_vectors_come_in_order_from_many_calls_at_once(service, titan, is_async):
    assert run(is_async, titan, TEXTS) == [vector_of(text) for text in TEXTS]
    assert 4 <= service.most_in_flight <= 16
    assert run(is_async, titan, []) == []
    assert run(is_async, titan, ["one"]) == [vector_of("one")]


@pytest.mark.parametrize("is_async", [False, True])
def test_throttling_is_waited_out_with_fewer_calls_in_flight(service, titan, is_async):
    service.limit = 4
    assert run(is_async, titan, TEXTS[:24]) == [vector_of(text) for text in TEXTS[:24]]
    assert service.throttled > 0
    assert titan.concurrency < 16
    assert set(service.served.values()) == {1}


@pytest.mark.parametrize("is_async", [False, True])
def test_a_passing_failure_is_tried_again_and_a_lasting_one_raised(service, titan, is_async):
    service.failures = {TEXTS[3]: [(503, "ServiceUnavailableException")]}
    assert run(is_async, titan, TEXTS[:8]) == [vector_of(text) for text in TEXTS[:8]]
    quick = BoundedEmbeddings(titan._embeddings, max_retries=0, patience=0.0)
    service.failures = {TEXTS[3]: [(500, "InternalServerException")] * 5}
    with pytest.raises(BedrockServiceError):
        run(is_async, quick, TEXTS[:8])
    service.failures = {TEXTS[3]: [(429, "ThrottlingException")] * 5}
    with pytest.raises(BedrockThrottlingError):
        run(is_async, quick, TEXTS[:8])


@pytest.mark.parametrize("is_async", [False, True])
def test_a_final_failure_ends_the_call_and_the_rest_is_not_sent(service, titan, is_async):
    service.failures = {TEXTS[0]: [(403, "AccessDeniedException")]}
    with pytest.raises(BedrockAccessDeniedError) as caught:
        run(is_async, titan, TEXTS)
    assert caught.value.model_id == TITAN_MODEL_ID
    time.sleep(0.1)
    assert sum(service.served.values()) < len(TEXTS)


def test_failures_that_are_handled_leave_no_traceback_in_the_log(service, titan, caplog):
    service.failures = {TEXTS[0]: [(503, "ServiceUnavailableException")]}
    with caplog.at_level(logging.WARNING):
        titan.embed_documents(TEXTS[:2])
    assert [record.levelname for record in caplog.records] == ["WARNING"]  # of the attempt that follows
    assert [record.exc_info for record in caplog.records] == [None]


async def test_cancelling_stops_sending(service, titan):
    service.seconds = 0.05
    task = asyncio.create_task(titan.aembed_documents([f"cancelled {n}" for n in range(500)]))
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0.3)
    sent = sum(service.served.values())
    await asyncio.sleep(0.3)
    assert sum(service.served.values()) == sent < 200


async def test_questions_are_embedded_with_the_same_retries(service, titan):
    service.failures = {"why?": [(503, "ServiceUnavailableException")]}
    assert titan.embed_query("why?") == vector_of("why?")
    service.failures = {"how?": [(429, "ThrottlingException")]}
    assert await titan.aembed_query("how?") == vector_of("how?")


def test_a_mistake_of_the_caller_is_raised_as_it_is(titan):
    with pytest.raises(TypeError, match="takes a list of texts"):
        titan.embed_documents([None, "text"])


def test_texts_go_in_batches_where_the_model_takes_them():
    class Batched(LSAEmbeddings):
        sizes = []  # noqa: RUF012

        def embed_documents(self, texts):
            self.sizes.append(len(texts))
            return super().embed_documents(texts)

    inner = Batched().fit(TEXTS)
    bounded = BoundedEmbeddings(inner, batch_size=25)
    assert bounded.embed_documents(TEXTS) == LSAEmbeddings().fit(TEXTS).embed_documents(TEXTS)
    assert sorted(Batched.sizes) == [10, 25, 25]


def test_too_few_vectors_are_noticed():
    class Short(LSAEmbeddings):
        def embed_documents(self, texts):
            return super().embed_documents(texts)[1:]

    with pytest.raises(ValueError, match="gave 3 vectors for 4 texts"):
        BoundedEmbeddings(Short().fit(TEXTS), batch_size=4).embed_documents(TEXTS)


@pytest.mark.parametrize("options", [{"max_concurrency": 0}, {"batch_size": 0}])
def test_bounds_that_make_no_sense_are_refused(options):
    with pytest.raises(ValueError, match="must be positive, got 0"):
        BoundedEmbeddings(LSAEmbeddings(), **options)


def test_the_wrapped_model_keeps_its_name_so_that_a_store_can_be_opened_with_it(titan):
    assert TITAN_MODEL_ID in titan.model_id
    assert titan.model_id == identity(titan._embeddings)
    assert identity(titan) == identity(titan._embeddings)


def test_a_store_is_made_and_searched_with_titan(service, titan):
    store = FAISSStore.from_texts(TEXTS, titan)
    assert store.similarity_search(TEXTS[7], k=1)[0].page_content == TEXTS[7]


def test_without_credentials_the_default_is_lsa_fitted_on_the_documents():
    embeddings = default_embeddings(["some text", "another text"])
    assert isinstance(embeddings, LSAEmbeddings)
    assert embeddings.fitted_documents == 2


def test_a_bearer_key_counts_as_credentials(monkeypatch):
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "key")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    assert TITAN_MODEL_ID in default_embeddings([]).model_id
