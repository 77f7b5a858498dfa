"""The cache file: many processes, bounds, foreign and damaged files, nothing lost to the caller."""

import asyncio
import logging
import os
import sqlite3
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain_core.embeddings import DeterministicFakeEmbedding
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, Generation
from langchain_tests.integration_tests import AsyncCacheTestSuite, SyncCacheTestSuite

from llama_bedrock import SQLiteCache
from llama_bedrock.retrievers import CachedEmbeddings, FAISSStore


@pytest.fixture
def path(tmp_path):
    return tmp_path / "folder" / "answers.db"


class TestLangChainsSuite(SyncCacheTestSuite):
    @pytest.fixture
    def cache(self, path):
        yield (cache := SQLiteCache(path))
        cache.close()


class TestLangChainsAsyncSuite(AsyncCacheTestSuite):
    @pytest.fixture
    async def cache(self, path):
        yield (cache := SQLiteCache(path))
        cache.close()


def answer(text):
    return [
        ChatGeneration(message=AIMessage(text, response_metadata={"a": [1, None]}), generation_info={"b": 2})
    ]


def test_an_answer_survives_the_process_and_is_private(path):
    first = SQLiteCache(path)
    first.update("p", "s", answer("ü 👋"))
    first.close()
    cache = SQLiteCache(path)
    assert cache.lookup("p", "s") == answer("ü 👋")
    assert cache.lookup("p", "other") is None
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    cache.clear()
    assert cache.lookup("p", "s") is None
    cache.close()


WRITER = """
import sys
from langchain_core.outputs import Generation
from llama_bedrock import SQLiteCache

path, worker = sys.argv[1:]
cache = SQLiteCache(path)
for number in range(50):
    cache.update(f"{worker} {number}", "s", [Generation(text=f"{worker} {number}")])
cache.close()
"""


@pytest.mark.slow
def test_many_processes_begin_at_once_and_none_loses_an_answer(path):
    command = [sys.executable, "-W", "error", "-c", WRITER, str(path)]
    writers = [
        subprocess.Popen([*command, str(worker)], stderr=subprocess.PIPE, text=True) for worker in range(3)
    ]
    assert [(writer.communicate()[1], writer.returncode) for writer in writers] == [("", 0)] * 3
    cache = SQLiteCache(path)
    found = [cache.lookup(f"{worker} {number}", "s") for worker in range(3) for number in range(50)]
    cache.close()
    assert [generation.text for (generation,) in found] == [f"{w} {n}" for w in range(3) for n in range(50)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_has_a_connection_of_its_own(path):
    cache = SQLiteCache(path)
    cache.update("p", "s", answer("parent"))
    child = os.fork()
    if not child:
        cache.update("p", "s", answer("child"))
        os._exit(0 if cache.lookup("p", "s") == answer("child") else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert cache.lookup("p", "s") == answer("child")
    cache.close()


def test_the_file_stays_within_its_bound_and_the_last_used_stay(path):
    cache = SQLiteCache(path, max_mb=0.5)
    text = "x" * 2_000
    for number in range(600):
        cache.update(str(number), "s", [Generation(text=text)])
    found = [number for number in range(600) if cache.lookup(str(number), "s")]
    assert 80 < len(found) < 320
    assert found == list(range(600 - len(found), 600))  # within one second too, the longest unused go first
    cache.close()
    assert path.stat().st_size < 550_000


def test_answers_grow_too_old(path):
    SQLiteCache(path).update("p", "s", answer("old"))  # closes its file when nobody has it any more
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE kept SET made = made - 100")
    connection.close()
    young, old = SQLiteCache(path, max_age=1_000), SQLiteCache(path, max_age=100)
    assert young.lookup("p", "s") == answer("old")
    assert old.lookup("p", "s") is None


@pytest.mark.parametrize("settings", [{"max_mb": 0}, {"max_mb": -1}, {"max_age": 0}])
def test_a_bound_that_is_none_is_refused(path, settings):
    with pytest.raises(ValueError, match="must be positive"):
        SQLiteCache(path, **settings)


def test_files_of_others_are_refused_and_left_alone(tmp_path):
    text, database = tmp_path / "notes.txt", tmp_path / "other.db"
    text.write_text("my notes, which are no database at all" * 100)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    for file in (text, database):
        before = file.read_bytes()
        with pytest.raises(ValueError, match="a file of its own"):
            SQLiteCache(file)
        assert file.read_bytes() == before


def test_a_damaged_answer_is_a_warning_and_a_miss(path, caplog):
    cache = SQLiteCache(path)
    cache.update("p", "s", answer("good"))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE kept SET value = ?", (b'[{"message": {"type": "human"',))
    connection.close()
    with caplog.at_level(logging.WARNING, "llama_bedrock"):
        assert cache.lookup("p", "s") is None
    assert "cannot be read" in caplog.text
    cache.close()


def test_a_locked_file_fails_no_call(path, caplog, monkeypatch):
    monkeypatch.setattr("llama_bedrock.sqlite_cache._WAIT_SECONDS", 0.05)
    cache = SQLiteCache(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with caplog.at_level(logging.WARNING, "llama_bedrock"):
        cache.update("p", "s", answer("lost"))
    assert "locked" in caplog.text
    other.execute("ROLLBACK")
    other.close()
    cache.update("p", "s", answer("kept"))
    assert cache.lookup("p", "s") == answer("kept")
    cache.close()


def test_threads_share_one(path):
    cache = SQLiteCache(path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: cache.update(str(n % 7), "s", answer(str(n % 7))), range(100)))
        found = list(pool.map(lambda n: cache.lookup(str(n), "s"), range(7)))
    assert found == [answer(str(n)) for n in range(7)]
    cache.close()


class Counting(DeterministicFakeEmbedding):
    asked: list[str]

    def embed_documents(self, texts):
        self.asked.extend(texts)
        return super().embed_documents(texts)

    def embed_query(self, text):
        self.asked.append(text)
        return super().embed_query(text)


@pytest.mark.parametrize("way", ["sync", "async"])
def test_a_text_is_embedded_once(path, way):
    model, cache = Counting(size=8, asked=[]), SQLiteCache(path)
    embeddings = CachedEmbeddings(model, cache)

    def documents(texts):
        if way == "sync":
            return embeddings.embed_documents(texts)
        return asyncio.run(embeddings.aembed_documents(texts))

    def query(text):
        return embeddings.embed_query(text) if way == "sync" else asyncio.run(embeddings.aembed_query(text))

    first = documents(["a", "b", "a"])
    second = documents(["c", "b", "a"])
    assert model.asked == ["a", "b", "c"]
    expected = Counting(size=8, asked=[])
    assert first == [expected.embed_query(text) for text in "aba"]
    assert second == [expected.embed_query(text) for text in "cba"]
    assert query("a") == query("a") == first[0]
    assert model.asked == ["a", "b", "c", "a"]  # a question is no document: some models embed it differently
    other = Counting(size=16, asked=[])
    assert len(CachedEmbeddings(other, cache).embed_query("a")) == 16
    cache.close()


def test_a_store_opens_with_the_cached_model_and_with_the_model_itself(path, tmp_path):
    model, cache = DeterministicFakeEmbedding(size=8), SQLiteCache(path)
    FAISSStore.from_texts(["a", "b"], CachedEmbeddings(model, cache)).save(tmp_path / "store")
    for embedding in (model, CachedEmbeddings(model, cache)):
        store = FAISSStore.load(tmp_path / "store", embedding)
        assert len(store.similarity_search("a", k=1)) == 1
    cache.close()
