"""Indexing with Ray, for real: Ray is started on this machine."""

from collections import Counter

import numpy as np
import pytest
from langchain_core.embeddings import Embeddings

from llama_bedrock.retrievers import FAISSStore, index_folder

pytestmark = [pytest.mark.slow, pytest.mark.enable_socket, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def docs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docs")
    for number in range(300):
        (folder / f"file{number:03}.md").write_text(
            f"# Title {number}\n\nText of subject{number} and word{number % 7}.\n"
        )
    (folder / "copy.md").write_text((folder / "file007.md").read_text())
    (folder / "table.csv").write_text("name,value\nx,1.5\ny,2\n")
    (folder / "bad.pdf").write_bytes(b"")
    return folder


@pytest.fixture(scope="module", autouse=True)
def ray():
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    yield ray
    ray.shutdown()


class Local(Embeddings):
    """A model that can be sent to workers."""

    model_id = "local"

    def embed_documents(self, texts):
        return [self.embed_query(text) for text in texts]

    def embed_query(self, text):
        return [1.0 + text.count(letter) for letter in "abcdefgh0123456789"]


class Connected(Local):
    """A model that cannot be sent: it holds a lock, as every client does."""

    def __init__(self):
        import threading

        self.lock = threading.Lock()
        self.texts = Counter()

    def embed_documents(self, texts):
        self.texts.update(texts)
        return super().embed_documents(texts)


def contents(store):
    return [(d.id, d.page_content, d.metadata) for d in store.documents()]


@pytest.mark.parametrize("model", [lambda: None, Local, Connected])
def test_ray_gives_the_same_store_as_this_process(docs, model):
    here, there = FAISSStore(model()), FAISSStore(model())
    expected = index_folder(docs, here, on_error=lambda problem: None)
    report = index_folder(docs, there, engine="ray", on_error=lambda problem: None)
    assert (report.added, report.chunks, report.embedded, report.duplicates) == (303, 302, 302, 1)
    assert report.unreadable == expected.unreadable
    assert contents(there) == contents(here)
    ids = [id_ for id_, _, _ in contents(here)]
    np.testing.assert_allclose(there.vectors(ids), here.vectors(ids), atol=1e-5)


def test_a_second_run_with_ray_embeds_nothing(docs, tmp_path):
    store = FAISSStore(Connected())
    index_folder(docs, store, engine="ray", on_error=lambda problem: None)
    store.save(tmp_path / "store")
    again = FAISSStore.load(tmp_path / "store", Connected())
    assert index_folder(docs, again, engine="ray", on_error=lambda problem: None).embedded == 0
    assert not again.embeddings.texts


def test_ray_that_was_running_goes_on_running(ray):
    assert ray.is_initialized()
