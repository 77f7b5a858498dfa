import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.documents import Document
from langchain_core.vectorstores import InMemoryVectorStore

from llama_bedrock.retrievers import FAISSStore, HybridRetriever, LSAEmbeddings, index_folder
from llama_bedrock.retrievers.analysis import Analyser
from llama_bedrock.retrievers.store.generations import StoreLockedError


@pytest.fixture
def docs(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(6):
        (folder / f"file{number}.md").write_text(f"# Title {number}\n\nSome text about subject{number}.\n")
    return folder


@pytest.fixture
def store(counting, tmp_path):
    made = FAISSStore(counting())
    made.add_documents([Document(id="other", page_content="not of the folder")])
    made.save(tmp_path / "store")
    made.embeddings.texts.clear()
    return made


def reopened(store, embeddings=None):
    return FAISSStore.load(store.folder, embeddings or type(store.embeddings)())


def sources(store):
    return sorted(Path(d.metadata["source"]).name for d in store.documents() if "source" in d.metadata)


def counts(report):
    return report.added, report.changed, report.removed, report.unchanged


def test_a_folder_is_indexed_once_and_then_seen_as_unchanged(docs, store):
    report = index_folder(docs, store)
    assert counts(report) == (6, 0, 0, 0)
    assert (report.chunks, report.embedded, report.duplicates) == (6, 6, 0)
    again = reopened(store)
    assert sources(again) == [f"file{n}.md" for n in range(6)]
    report = index_folder(docs, again)
    assert counts(report) == (0, 0, 0, 6)
    assert report.embedded == again.embeddings.texts.total() == 0
    assert len(again) == 7


def test_only_what_is_new_or_changed_is_embedded_and_what_is_gone_is_deleted(docs, store):
    index_folder(docs, store)
    (docs / "file1.md").write_text("# Title 1\n\nAnother text altogether.\n")
    (docs / "file2.md").unlink()
    (docs / "new.txt").write_text("A new file.")
    again = reopened(store)
    report = index_folder(docs, again)
    assert counts(report) == (1, 1, 1, 4)
    assert (
        sorted(again.embeddings.texts) == ["# Title 1\n\nAnother text altogether.", "A new file."]
        or len(again.embeddings.texts) == 2
    )
    assert sources(again) == ["file0.md", "file1.md", "file3.md", "file4.md", "file5.md", "new.txt"]
    assert sources(reopened(store)) == sources(again)
    assert again.get_by_ids(["other"])


def test_a_touched_file_is_not_embedded_again(docs, store):
    index_folder(docs, store)
    for file in docs.iterdir():
        os.utime(file, (1, 1))
    again = reopened(store)
    report = index_folder(docs, again)
    assert counts(report) == (0, 0, 0, 6)
    assert again.embeddings.texts.total() == 0


def test_a_change_within_the_same_tick_and_of_the_same_size_is_seen(docs, store):
    index_folder(docs, store)
    file = docs / "file3.md"
    status = file.stat()
    file.write_text(file.read_text().replace("subject3", "thought3"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    report = index_folder(docs, reopened(store))
    assert counts(report) == (0, 1, 0, 5)


def test_moved_text_keeps_its_vector(docs, store):
    index_folder(docs, store)
    (docs / "file0.md").rename(docs / "moved.md")
    text = (docs / "file1.md").read_text()
    (docs / "file1.md").write_text(text + "\n# Appendix\n\n" + "A long section that is new. " * 20)
    again = reopened(store)
    report = index_folder(docs, again)
    assert counts(report) == (1, 1, 1, 4)
    assert report.embedded == 1
    assert "moved.md" in sources(again)


def test_duplicates_are_kept_once_and_inherited_when_the_first_is_gone(docs, store):
    (docs / "z-copy.md").write_text((docs / "file0.md").read_text())
    report = index_folder(docs, store)
    assert (report.chunks, report.embedded, report.duplicates) == (6, 6, 1)
    assert "z-copy.md" not in sources(store)
    (docs / "file0.md").unlink()
    again = reopened(store)
    report = index_folder(docs, again)
    assert (report.chunks, report.embedded, report.duplicates) == (6, 0, 0)
    assert "z-copy.md" in sources(again)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_named_pipe_is_reported_and_not_waited_for(docs, store):
    os.mkfifo(docs / "pipe.txt")
    report = index_folder(docs, store, on_error=lambda problem: None)
    assert [str(problem).rpartition(": ")[2] for problem in report.unreadable] == ["not a regular file"]
    assert sources(store) == [f"file{n}.md" for n in range(6)]


def test_an_unreadable_file_is_named_every_time_and_read_again_when_it_changes(docs, store):
    read = []

    def reader(path):
        read.append(path.read_bytes())
        raise ValueError("torn")

    def problems_of(store):
        report = index_folder(docs, store, readers={".xyz": reader}, on_error=lambda problem: None)
        assert report.unread == len(report.unreadable)
        return [problem.reason for problem in report.unreadable]

    (docs / "bad.xyz").write_bytes(b"1")
    os.utime(docs / "bad.xyz", (1, 1))
    assert problems_of(store) == ["torn"]
    again = reopened(store)
    assert [problems_of(again) for _ in range(2)] == [["torn"]] * 2
    assert read == [b"1"]
    (docs / "bad.xyz").write_bytes(b"2")
    assert problems_of(again) == ["torn"]
    assert read == [b"1", b"2"]
    assert again.embeddings.texts.total() == 0
    (docs / "bad.xyz").unlink()
    assert problems_of(again) == []


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_without_permission_is_named_every_time_and_read_when_there_is_one(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "open.txt").write_text("open to all")
    (tmp_path / "docs" / "closed.txt").write_text("closed to all")
    program = (
        "import os\n"
        "from llama_bedrock.retrievers import FAISSStore, index_folder\n"
        "index_folder('docs', FAISSStore())\n"  # imports what another user may not
        "if os.getuid() == 0:\n"
        "    os.chown('docs/closed.txt', 65534, 65534)\n"
        "    os.setuid(65534)\n"
        "os.chmod('docs/closed.txt', 0)\n"
        "store = FAISSStore()\n"
        "for turn in range(3):\n"
        "    if turn == 2:\n"
        "        os.chmod('docs/closed.txt', 0o400)\n"
        "    report = index_folder('docs', store, on_error=lambda problem: None)\n"
        "    print([*map(str, report.unreadable)], report.changed, len(store))\n"
    )
    tmp_path.chmod(0o755)
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "['docs/closed.txt: no permission to read it'] 0 1",
        "['docs/closed.txt: no permission to read it'] 0 1",
        "[] 1 2",
    ], done.stderr


def test_other_sizes_of_chunks_read_everything_again(docs, store):
    index_folder(docs, store)
    (docs / "long.txt").write_text(" ".join(f"Sentence {n} of some words." for n in range(100)))
    again = reopened(store)
    index_folder(docs, again)
    before = len(again)
    smaller = reopened(store)
    report = index_folder(docs, smaller, chunk_size=200, chunk_overlap=0)
    assert len(smaller) > before
    assert report.chunks == len(smaller) - 1
    assert max(len(d.page_content) for d in smaller.documents()) <= 200


def test_a_store_saved_among_its_documents_is_not_indexed(counting, docs):
    store = FAISSStore(counting())
    index_folder(docs, store)
    store.save(docs / "index")
    assert counts(index_folder(docs, store)) == (0, 0, 0, 6)
    assert sources(store) == [f"file{n}.md" for n in range(6)]


def test_several_folders_share_a_store(docs, store, tmp_path):
    more = tmp_path / "more"
    more.mkdir()
    (more / "extra.txt").write_text("An extra file.")
    index_folder(docs, store)
    index_folder(more, store)
    assert len(store) == 8
    (docs / "file0.md").unlink()
    index_folder(docs, store)
    assert "extra.txt" in sources(store)
    assert counts(index_folder(more, reopened(store))) == (0, 0, 0, 1)


def test_an_interrupted_run_changes_nothing_and_the_next_embeds_nothing_twice(docs, store):
    for number in range(40):
        (docs / f"more{number}.txt").write_text(f"More text, number {number}.")
    embeddings = store.embeddings
    embeddings.fail_after = 25
    with pytest.raises(KeyboardInterrupt):
        index_folder(docs, store, batch_size=5)
    assert len(reopened(store)) == 1
    embeddings.fail_after = None
    again = FAISSStore.load(store.folder, embeddings)
    report = index_folder(docs, again, batch_size=5)
    assert report.embedded == 46 - 25
    assert set(embeddings.texts.values()) == {1}
    assert len(reopened(store)) == 47
    assert not (store.folder / "index-journal").exists()


def test_an_interrupted_run_goes_on_in_the_same_process_too(counting, docs):
    embeddings = counting()
    memory = FAISSStore(embeddings)
    embeddings.fail_after = 3
    with pytest.raises(KeyboardInterrupt):
        index_folder(docs, memory, batch_size=2)
    embeddings.fail_after = None
    index_folder(docs, memory)
    assert sources(memory) == [f"file{n}.md" for n in range(6)]


KILLED = """
import os, sys
sys.path.insert(0, os.path.dirname(sys.argv[0]))
from langchain_core.embeddings import Embeddings
from llama_bedrock.retrievers import FAISSStore, index_folder

class Logging(Embeddings):
    model_id = "logging"
    def embed_documents(self, texts):
        with open(sys.argv[3], "a") as log:
            log.writelines(text.splitlines()[-1] + "\\n" for text in texts)
        if sys.argv[4] == "die" and sum(1 for _ in open(sys.argv[3])) >= int(sys.argv[5]):
            os.kill(os.getpid(), 9)
        return [self.embed_query(text) for text in texts]
    def embed_query(self, text):
        return [1.0 + text.count(letter) for letter in "abcdefgh"]

store = FAISSStore.load(sys.argv[2], Logging())
index_folder(sys.argv[1], store, batch_size=4)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_a_whole_store_and_only_its_last_batch_is_embedded_again(
    counting, docs, tmp_path
):
    for number in range(60):
        (docs / f"more{number}.txt").write_text(f"More text, number {number}.")
    empty = FAISSStore(counting(), embedding_id="logging")
    empty.add_texts(["a text"])
    empty.save(tmp_path / "store")
    program, log = tmp_path / "program.py", tmp_path / "log"
    program.write_text(KILLED)
    for deaths in (12, 30, 31, 60):
        command = [sys.executable, program, docs, tmp_path / "store", log, "die", str(deaths)]
        assert subprocess.run(command, capture_output=True).returncode == -9
        assert len(FAISSStore.load(tmp_path / "store", counting(), embedding_id="logging")) == 1
    command = [sys.executable, program, docs, tmp_path / "store", log, "live", "0"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(FAISSStore.load(tmp_path / "store", counting(), embedding_id="logging")) == 67
    embedded = Counter(log.read_text().splitlines())
    assert len(embedded) == 66
    # A killed call's answer is lost with the process: at most one batch for each of the four deaths.
    assert sum(embedded.values()) - 66 <= 4 * 4


def test_two_processes_do_not_index_into_one_store_at_once(docs, store):
    from llama_bedrock.retrievers.store.locks import FileLock

    lock = FileLock(store.folder / "indexing.lock")
    with pytest.raises(StoreLockedError, match="another process is indexing into"):
        index_folder(docs, store)
    lock.release()
    assert index_folder(docs, store).added == 6


def test_chunks_that_somebody_deleted_are_put_back(docs, store):
    index_folder(docs, store)
    gone = next(d for d in store.documents() if d.metadata.get("title") == "Title 2")
    store.delete([gone.id])
    store.save()
    again = reopened(store)
    assert index_folder(docs, again).embedded == 1
    assert again.get_by_ids([gone.id])


def test_a_store_that_lost_its_manifest_is_adopted_without_embedding(docs, store):
    index_folder(docs, store)
    # Another program changes and saves the store, and knows nothing of side files.
    plain = reopened(store)
    plain.add_documents([Document(id="foreign", page_content="added by somebody else")])
    plain.save()
    (docs / "file5.md").unlink()
    again = reopened(store)
    report = index_folder(docs, again)
    assert again.embeddings.texts.total() == report.embedded == 0
    assert sources(again) == [f"file{n}.md" for n in range(5)]
    assert len(again) == 7


def test_without_saving_the_folder_is_left_as_it_is(docs, store):
    index_folder(docs, store, save=False)
    assert len(store) == 7
    assert len(reopened(store)) == 1


def test_a_store_in_memory_keeps_its_manifest_and_saves_it_later(counting, docs, tmp_path):
    store = FAISSStore(counting())
    index_folder(docs, store)
    assert counts(index_folder(docs, store)) == (0, 0, 0, 6)
    store.save(tmp_path / "later")
    again = FAISSStore.load(tmp_path / "later", counting())
    assert counts(index_folder(docs, again)) == (0, 0, 0, 6)


def test_a_change_writes_what_changed_and_a_manifest_in_files_is_the_same_as_one(tmp_path, counting):
    folder = tmp_path / "many"
    folder.mkdir()
    old = time.time() - 3600

    def write(number, text):
        path = folder / f"{number}.md"
        path.write_text(f"# Title {number}\n\n{text} of the file with the number {number}.")
        os.utime(path, (old, old))

    for number in range(300):
        write(number, "The first text")
    store = FAISSStore(counting())
    index_folder(folder, store, save=tmp_path / "store")
    for turn in range(12):
        before = {path.stat().st_ino for path in (tmp_path / "store").rglob("*")}
        write(turn, "Another")
        (folder / f"{100 + turn}.md").unlink()
        write(300 + turn, "A new one")
        assert counts(index_folder(folder, reopened(store))) == (1, 1, 1, 298)
        new = [p.stat() for p in (tmp_path / "store").rglob("*") if p.is_file()]
        assert sum(facts.st_size for facts in new if facts.st_ino not in before) < 200_000
        again = reopened(store)
        assert counts(index_folder(folder, again)) == (0, 0, 0, 300)
    assert sorted(sources(again)) == sorted(path.name for path in folder.iterdir())
    newest = max((tmp_path / "store").glob("generation-*"))
    assert 1 < len(list(newest.glob("sidecars/folders/*"))) <= 7
    answer = HybridRetriever(store=again, alpha=0.0, k=12).invoke("another")
    assert sorted(int(Path(d.metadata["source"]).stem) for d in answer) == list(range(12))


def test_an_open_store_goes_on_with_its_lexical_index_through_many_saves(docs, counting, tmp_path, caplog):
    """Its files were looked for in the generation that it was opened from, which had gone."""
    for number in range(400):
        (docs / f"more{number}.md").write_text(f"# More {number}\n\nThe first text of {number}.")
    index_folder(docs, FAISSStore(counting()), save=tmp_path / "index")
    again = FAISSStore.load(tmp_path / "index", counting())
    for turn in range(6):
        for number in range(40 * turn, 40 * turn + 40):  # until a third of the oldest part is deleted
            (docs / f"more{number}.md").write_text(f"# More {number}\n\nThe turn{turn} of {number}.")
        assert index_folder(docs, again).embedded == 40
    assert caplog.messages == []
    [found, *_] = HybridRetriever(store=again, alpha=0.0).invoke("turn5 of 239")
    assert found.page_content.endswith("The turn5 of 239.")


def test_the_lexical_index_is_saved_with_it(docs, store):
    index_folder(docs, store)
    assert reopened(store).sidecar("lexical") is not None


def test_a_store_that_embeds_texts_alone_is_given_their_vectors(counting, docs):
    store = FAISSStore(counting(), contextual=False)
    index_folder(docs, store)
    assert sorted(store.embeddings.texts) == sorted(document.page_content for document in store.documents())


def test_progress_is_told_stage_by_stage(docs, store):
    stages = []
    index_folder(docs, store, on_progress=lambda *event: stages.append(event), batch_size=4)
    assert list(dict.fromkeys(stage for stage, _, _ in stages)) == ["scan", "read", "embed", "save"]
    assert ("read", 6, 6) in stages
    assert [event for event in stages if event[0] == "embed"] == [("embed", 4, 6), ("embed", 6, 6)]


@pytest.mark.parametrize("content", [None, "image"])
def test_nothing_to_index_is_an_error_of_one_line_and_saves_nothing(tmp_path, store, content):
    empty = tmp_path / "empty"
    empty.mkdir()
    if content:
        (empty / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")
    with pytest.raises(ValueError, match=r"no (files|supported documents) in .*empty") as caught:
        index_folder(empty, store)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError, match="no such file or folder"):
        index_folder(tmp_path / "absent", store)
    assert len(reopened(store)) == 1


def test_an_emptied_folder_empties_its_index(docs, store):
    index_folder(docs, store)
    for file in docs.iterdir():
        file.unlink()
    report = index_folder(docs, store)
    assert counts(report) == (0, 0, 6, 0)
    assert sources(reopened(store)) == []


def test_one_file_can_be_indexed(docs, store):
    assert index_folder(docs / "file0.md", store).chunks == 1
    assert sources(store) == ["file0.md"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"engine": "spark"}, "engine='spark': it takes one of 'local', 'ray'"),
        ({"batch_size": 0}, "batch_size=0: it takes a whole number of at least 1"),
        ({"refit_growth": -1}, "refit_growth"),
        ({"chunk_size": 0}, "chunk_size must be positive"),
    ],
)
def test_options_that_make_no_sense_are_refused(counting, docs, store, options, message):
    with pytest.raises(ValueError, match=message):
        index_folder(docs, store, **options)
    assert len(reopened(store)) == 1


class TestLSA:
    def test_it_is_fitted_on_the_first_folder_and_saved_with_the_store(self, docs, tmp_path):
        store = FAISSStore()
        report = index_folder(docs, store)
        assert report.embedded == 6
        assert store.embeddings.fitted_documents == 6
        store.save(tmp_path / "lsa")
        again = FAISSStore.load(tmp_path / "lsa")
        assert counts(index_folder(docs, again)) == (0, 0, 0, 6)
        assert [d.metadata["title"] for d in again.similarity_search("subject3", k=1)] == ["Title 3"]

    def test_documents_that_come_later_are_projected_until_the_corpus_has_grown_enough(self, docs):
        store = FAISSStore()
        index_folder(docs, store)
        before = store.embeddings.model_id
        (docs / "file6.md").write_text("Zebras and subject3.")
        assert not index_folder(docs, store).refitted
        assert store.embeddings.model_id == before
        assert not any(store.embeddings.embed_query("zebras"))
        # The words alone find it meanwhile.
        assert HybridRetriever(store=store, k=1).invoke("zebras")[0].metadata["source"].endswith("file6.md")
        for number in range(3):
            (docs / f"growth{number}.md").write_text(f"Yaks, number {number}, and zebras.")
        assert index_folder(docs, store).refitted
        assert store.embeddings.fitted_documents == 10
        assert any(store.embeddings.embed_query("zebras"))
        assert (
            "file6.md"
            in [Path(d.metadata["source"]).name for d in store.similarity_search("zebras", k=10)][:4]
        )

    def test_growth_that_calls_for_a_new_fit_can_be_chosen(self, docs):
        store = FAISSStore(LSAEmbeddings(dimensions=4).fit(["one text", "another"]))
        assert not index_folder(docs, store, refit_growth=100.0).refitted
        (docs / "one-more.md").write_text("One more.")
        assert index_folder(docs, store, refit_growth=0.0).refitted
        assert store.embeddings.dimensions == 4


class TestOtherStores:
    def test_the_manifest_lies_in_a_folder_of_its_own(self, counting, docs, tmp_path):
        embeddings = counting()
        store = InMemoryVectorStore(embeddings)
        with pytest.raises(ValueError, match=r"needs state=.* with a InMemoryVectorStore"):
            index_folder(docs, store)
        report = index_folder(docs, store, state=tmp_path / "state")
        assert counts(report) == (6, 0, 0, 0)
        assert counts(index_folder(docs, store, state=tmp_path / "state")) == (0, 0, 0, 6)
        (docs / "file0.md").unlink()
        (docs / "file1.md").write_text("changed")
        assert counts(index_folder(docs, store, state=tmp_path / "state")) == (0, 1, 1, 4)
        names = sorted(Path(found["metadata"]["source"]).name for found in store.store.values())
        assert names == [f"file{n}.md" for n in range(1, 6)]
        assert embeddings.texts.total() == 7

    def test_an_interrupted_run_goes_on_where_it_stopped(self, counting, docs, tmp_path):
        for number in range(1200):
            (docs / f"more{number:04}.txt").write_text(f"More text, number {number}.")
        embeddings = counting()
        store = InMemoryVectorStore(embeddings)
        embeddings.fail_after = 700
        with pytest.raises(KeyboardInterrupt):
            index_folder(docs, store, state=tmp_path / "state")
        embeddings.fail_after = None
        index_folder(docs, store, state=tmp_path / "state")
        assert len(store.store) == 1206
        assert embeddings.texts.total() - 1206 < 512


@pytest.mark.slow
def test_an_unchanged_folder_of_10000_files_is_seen_as_unchanged_within_3_seconds(counting, tmp_path):
    folder = tmp_path / "many"
    for number in range(10_000):
        if number % 100 == 0:
            part = folder / f"part{number // 100}"
            part.mkdir(parents=True)
        (part / f"file{number}.txt").write_text(f"Text number {number}.")
    embeddings = counting()
    store = FAISSStore(embeddings)
    store.add_texts(["a text"])
    store.save(tmp_path / "store")
    assert index_folder(folder, store, batch_size=1000).added == 10_000
    # Files that were written less than two seconds before are compared by content once more.
    time.sleep(2)
    again = reopened(store)
    index_folder(folder, again)
    again = reopened(store)
    start = time.perf_counter()
    report = index_folder(folder, again)
    seconds = time.perf_counter() - start
    assert counts(report) == (0, 0, 0, 10_000)
    assert again.embeddings.texts.total() == 0
    assert seconds < 3


def test_a_text_is_analysed_once_for_lsa_and_the_lexical_index(tmp_path, monkeypatch):
    for number in range(3):
        (tmp_path / f"{number}.md").write_text(f"# Pump {number}\n\nThe pump number {number} hums.\n")
    read, lot = [], Analyser.lot

    def counted(self, texts):
        texts = list(texts)
        read.extend(texts)
        return lot(self, texts)

    monkeypatch.setattr(Analyser, "lot", counted)
    store = FAISSStore()
    report = index_folder(tmp_path, store, save=tmp_path / "index")
    assert len(read) == len(set(read)) == report.chunks
    found = HybridRetriever(store=store, k=1, alpha=0.0).invoke("pump number 2")
    assert "2" in found[0].page_content
    assert len(read) == report.chunks
