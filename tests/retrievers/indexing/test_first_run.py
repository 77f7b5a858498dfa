"""The first run into a folder, where there is no saved store yet: interrupted, killed, run twice at once."""

import os
import subprocess
import sys
from collections import Counter

import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder
from llama_bedrock.retrievers.store.generations import StoreChangedError, StoreLockedError
from llama_bedrock.retrievers.store.locks import FileLock


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(30):
        (folder / f"{number:02}.txt").write_text(f"A text about subject {number}.")
    return folder


def test_the_store_is_saved_where_it_is_told_to_and_later_runs_need_no_folder(counting, docs, tmp_path):
    report = index_folder(docs, FAISSStore(counting()), save=tmp_path / "index")
    assert (report.added, report.embedded) == (30, 30)
    again = FAISSStore.load(tmp_path / "index", counting())
    assert index_folder(docs, again).unchanged == 30
    assert again.embeddings.texts.total() == 0
    assert sorted(path.name for path in (tmp_path / "index").glob("index-journal*")) == []


def test_an_interrupted_first_run_is_gone_on_with(counting, docs, tmp_path):
    embeddings = counting(fail_after=17)
    with pytest.raises(KeyboardInterrupt):
        index_folder(docs, FAISSStore(embeddings), batch_size=4, save=tmp_path / "index")
    with pytest.raises(FileNotFoundError):
        FAISSStore.load(tmp_path / "index", embeddings)
    embeddings.fail_after = None
    report = index_folder(docs, FAISSStore(embeddings), batch_size=4, save=tmp_path / "index")
    assert (report.added, report.embedded) == (30, 14)  # four batches of four were kept
    assert len(FAISSStore.load(tmp_path / "index", embeddings)) == 30


PROGRAM = """
import os, sys
from langchain_core.embeddings import Embeddings
from llama_bedrock.retrievers import FAISSStore, index_folder

class Logging(Embeddings):
    model_id = "logging"
    def embed_documents(self, texts):
        with open(sys.argv[3], "a") as log:
            log.writelines(text + "\\n" for text in texts)
        if sum(1 for _ in open(sys.argv[3])) >= int(sys.argv[4]):
            os.kill(os.getpid(), 9)
        return [self.embed_query(text) for text in texts]
    def embed_query(self, text):
        return [1.0 + text.count(letter) for letter in "abcdefgh"]

index_folder(sys.argv[1], FAISSStore(Logging()), batch_size=4, save=sys.argv[2])
"""


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_killed_first_run_is_gone_on_with(counting, docs, tmp_path):
    log = tmp_path / "log"
    for death in (10, 20, 1000):
        command = [sys.executable, "-c", PROGRAM, docs, tmp_path / "index", log, str(death)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == (0 if death == 1000 else -9), done.stderr
    embedded = Counter(log.read_text().splitlines())
    assert len(embedded) == 30
    assert sum(embedded.values()) - 30 <= 2 * 4  # the answer of the call it was killed in is lost with it
    store = FAISSStore.load(tmp_path / "index", counting(), embedding_id="logging")
    assert len(store) == 30


def test_a_new_store_does_not_replace_a_saved_one(counting, docs, tmp_path):
    index_folder(docs, FAISSStore(counting()), save=tmp_path / "index")
    with pytest.raises(StoreChangedError, match=r"holds a saved store: open it with FAISSStore\.load"):
        index_folder(docs, FAISSStore(counting()), save=tmp_path / "index")


def test_two_first_runs_do_not_share_a_folder(counting, docs, tmp_path):
    (tmp_path / "index").mkdir()
    lock = FileLock(tmp_path / "index" / "indexing.lock")
    with pytest.raises(StoreLockedError, match="another process is indexing into"):
        index_folder(docs, FAISSStore(counting()), save=tmp_path / "index")
    lock.release()


def test_what_was_not_saved_before_is_saved_although_no_file_has_changed(counting, docs, tmp_path):
    store = FAISSStore(counting())
    index_folder(docs, store)
    assert index_folder(docs, store, save=tmp_path / "index").unchanged == 30
    assert len(FAISSStore.load(tmp_path / "index", counting())) == 30
    (docs / "new.txt").write_text("A new text.")
    index_folder(docs, store, save=False)
    assert len(FAISSStore.load(tmp_path / "index", counting())) == 30
    index_folder(docs, store)
    assert len(FAISSStore.load(tmp_path / "index", counting())) == 31


def test_a_store_among_its_documents_is_not_read_while_it_is_made(counting, docs):
    embeddings = counting(fail_after=10)
    with pytest.raises(KeyboardInterrupt):
        index_folder(docs, FAISSStore(embeddings), batch_size=4, save=docs / "index")
    embeddings.fail_after = None
    assert index_folder(docs, FAISSStore(embeddings), save=docs / "index").added == 30


def test_a_run_that_embedded_nothing_leaves_no_journal(counting, docs, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        index_folder(docs, FAISSStore(counting(fail_after=0)), save=tmp_path / "index")
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["indexing.lock"]


def test_files_that_vanish_or_change_while_a_run_reads_are_right_after_the_next_one(counting, docs, tmp_path):
    store = FAISSStore(counting())

    def disturb(stage, done, total):
        if stage == "read" and done == 5:
            (docs / "20.txt").unlink()
            (docs / "21.txt").write_text("Changed before it was read.")
            (docs / "02.txt").write_text("Changed after it was read.")
            (docs / "new.txt").write_text("New meanwhile.")

    first = index_folder(
        docs, store, save=tmp_path / "index", on_progress=disturb, on_error=lambda problem: None
    )
    assert [str(problem) for problem in first.unreadable] == [
        f"{docs / '20.txt'}: it is gone, or a link to nothing"
    ]
    second = index_folder(docs, store)
    assert (second.added, second.changed, second.removed) == (1, 1, 1)
    texts = {document.page_content for document in store.documents()}
    assert texts == {path.read_text() for path in docs.iterdir()}
    assert index_folder(docs, store).unchanged == len(texts)
