"""`llama-bedrock index`: the limit of files, and a first run with an embedding service that is interrupted."""

import json
import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from langchain_core.embeddings import Embeddings
from typer.testing import CliRunner

from llama_bedrock.cli import kept_index
from llama_bedrock.cli.main import app


class PaidEmbeddings(Embeddings):
    """Stands in for Titan: counts what it is asked for, and fails when it is told to."""

    model_id = "paid"

    def __init__(self):
        self.texts = Counter()
        self.fail_after = None

    def embed_documents(self, texts):
        for text in texts:
            if self.fail_after is not None and self.texts.total() >= self.fail_after:
                raise KeyboardInterrupt
            self.texts[text] += 1
        return [[1.0 + text.count(letter) for letter in "abcdefgh"] for text in texts]

    def embed_query(self, text):
        return self.embed_documents([text])[0]


@pytest.fixture
def paid(monkeypatch):
    embeddings = PaidEmbeddings()
    monkeypatch.setattr(kept_index, "titan", lambda region: embeddings)
    return embeddings


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "documents"
    made.mkdir()
    (made / "a.md").write_text("Llamas hum when they are content.")
    return made


def indexes():
    kept = Path(os.environ["XDG_CACHE_HOME"]) / "llama-bedrock" / "indexes"
    return sorted(path.name for path in kept.iterdir()) if kept.is_dir() else []


def run(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_file_over_the_limit_names_the_option_that_raises_it_and_the_limit_is_remembered(folder):
    (folder / "big.txt").write_text("Alpacas are smaller than llamas. " * 100)
    limited = run("index", folder, "--max-file-mb", "0.002")
    assert "ready, 1 file, 1 passage" in limited.stdout
    assert "big.txt: 0.0033 MB is over the limit of 0.002 MB" in limited.stderr
    assert "--max-file-mb" in limited.stderr
    assert "up to date, 1 file, 1 passage" in run("index", folder).stdout
    raised = run("index", folder, "--max-file-mb", "1")
    assert "over the limit" not in raised.stderr
    assert "updated (1 changed)" in raised.stdout
    assert "up to date, 2 files" in run("index", folder).stdout


def test_what_changes_have_left_is_joined_when_asked_for(folder):
    for number in range(6):
        (folder / f"{number}.md").write_text(f"Llamas hum when they are {number} years old.")
    run("index", folder)
    for number in range(3):
        (folder / f"b{number}.md").write_text(f"Alpacas are smaller than llamas, number {number}.")
        assert "updated (1 added)" in run("index", folder).stdout
    kept = Path(os.environ["XDG_CACHE_HOME"])
    for options, parts in (((), 4), (("--compact",), 1), ((), 1)):
        assert "up to date, 10 files, 10 passages" in run("index", folder, *options).stdout
        assert len(list(max(kept.rglob("generation-*")).glob("vectors*.faiss"))) == parts


def test_links_that_lead_out_are_named_and_followed_when_asked_for(folder, tmp_path):
    (tmp_path / "outside.md").write_text("Alpacas spit.")
    (folder / "b.md").symlink_to(tmp_path / "outside.md")
    named = run("index", folder)
    assert "ready, 1 file," in named.stdout
    assert "--follow-links-outside" in named.stderr
    asked = run("ask", folder, "Do alpacas spit?", "--local", "--follow-links-outside", "--json")
    assert "Alpacas spit" in asked.stdout
    assert json.loads(asked.stdout)["problems"] == []
    assert "up to date, 2 files" in run("index", folder).stdout  # it holds until changed
    assert "1 removed" in run("index", folder, "--no-links-outside").stdout


def test_vectors_that_were_paid_for_are_kept_when_the_first_run_is_interrupted(folder, paid):
    for number in range(300):
        (folder / f"{number}.txt").write_text(f"A text about subject {number}.")
    paid.fail_after = 200
    with pytest.raises(KeyboardInterrupt):
        kept_index.open_index(folder, embeddings="titan")
    [unfinished] = indexes()
    assert unfinished.startswith("unfinished-")
    paid.fail_after = None
    index = kept_index.open_index(folder, embeddings="titan")
    assert (index.built, index.files, len(index.store)) == (True, 301, 301)
    assert paid.texts.total() - 301 <= 128  # the batch that was interrupted
    assert indexes() == [index.folder.name]
    assert not kept_index.open_index(folder, embeddings="titan").built


def test_of_several_folders_the_finished_ones_are_kept(folder, paid, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for number in range(5):
        (other / f"{number}.txt").write_text(f"Another text about subject {number}.")
    paid.fail_after = 1
    with pytest.raises(KeyboardInterrupt):
        kept_index.open_index([folder, other], embeddings="titan")
    paid.fail_after = None
    assert len(kept_index.open_index([folder, other], embeddings="titan").store) == 6
    assert set(paid.texts.values()) == {1}


def test_a_first_run_that_cannot_begin_leaves_nothing(folder, paid):
    paid.fail_after = 0
    with pytest.raises(KeyboardInterrupt):
        kept_index.open_index(folder, embeddings="titan")
    assert indexes() == []


def test_files_of_which_nothing_could_be_read_are_not_counted_as_indexed(folder):
    (folder / "empty.pdf").write_bytes(b"")
    (folder / "torn.docx").write_bytes(b"PK\x03\x04 and no more")
    made = run("index", folder)
    assert made.stderr.startswith("Indexed 1 file, 1 passage, in ")
    assert {"empty.pdf", "torn.docx"} <= {Path(word.rstrip(":")).name for word in made.stderr.split()}
    assert made.stdout == f"{folder}: ready, 1 file, 1 passage\n"
    facts = json.loads(run("index", folder, "--json").stdout)
    assert (facts["files"], facts["unread"], len(facts["problems"])) == (1, 2, 2)


def test_what_another_process_made_meanwhile_stays_as_it_may_be_in_use(folder, monkeypatch):
    indexed, others = kept_index._indexed, []

    def slowly(work, store, save):
        monkeypatch.setattr(kept_index, "_indexed", indexed)
        reports = indexed(work, store, save)
        others.append(kept_index.open_index(folder))
        others.append(others[0].folder.stat().st_ino)
        return reports

    monkeypatch.setattr(kept_index, "_indexed", slowly)
    ours = kept_index.open_index(folder)
    other, place = others
    assert ours.folder.stat().st_ino == place
    assert len(ours.store) == len(other.store.similarity_search("hum")) == 1
    assert indexes() == [ours.folder.name]


def test_an_index_without_its_store_is_made_anew(folder):
    made = kept_index.open_index(folder)
    shutil.rmtree(made.folder / "store")
    assert kept_index.open_index(folder).built
