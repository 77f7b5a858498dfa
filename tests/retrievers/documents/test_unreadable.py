"""What cannot be read is named, with what to do; readers of users' own; links that lead out of a folder."""

import json
import os

import pytest
from langchain_core.documents import Document
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.retrievers import FAISSStore, index_folder, load_documents
from llama_bedrock.retrievers.documents.readers.by_format import installed_readers


def problems_of(path, **options):
    problems = []
    documents = load_documents(path, on_error=problems.append, **options)
    return documents, {os.path.basename(p.source): p.reason for p in problems}


KINDS = {
    "a.doc": "docx", "a.xls": "xlsx", "a.ppt": "pptx", "a.msg": ".eml", "a.one": ".pdf", "a.png": "OCR",
    "a.jpg": "OCR", "a.zip": "unpack", "a.mp3": "transcript", "a.parquet": ".csv", "a.pages": ".docx",
}  # fmt: skip


def test_files_that_cannot_be_read_are_named_with_what_to_do(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    for name in KINDS:
        (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0\x00\x00")
    (tmp_path / "program.so").write_bytes(b"\x7fELF\0")
    documents, problems = problems_of(tmp_path)
    assert [d.page_content for d in documents] == ["good"]
    assert problems.keys() == KINDS.keys()
    for name, advice in KINDS.items():
        assert problems[name].startswith(f"no reader for {name[1:]}: ")
        assert advice in problems[name]


def test_an_index_names_them_each_time_and_what_could_not_be_read_of_a_file(tmp_path):
    folder = tmp_path / "docs"
    folder.mkdir()
    (folder / "good.jsonl").write_text('{"text": "a llama"}\n{"text": \n{"text": "an alpaca"}\n')
    (folder / "old.doc").write_bytes(b"\xd0\xcf")
    os.utime(folder / "good.jsonl", (1, 1))
    store = FAISSStore()
    for changed in (True, False):
        report = index_folder(folder, store, save=tmp_path / "index", on_error=lambda problem: None)
        reasons = sorted(str(problem).rpartition("/")[2][:30] for problem in report.unreadable)
        assert reasons == ["good.jsonl: line 2 is not JSON", "old.doc: no reader for .doc: W"]
        assert (report.added == 1) is changed


# Readers of users' own


def test_a_reader_of_ones_own_reads_its_suffix(tmp_path):
    (tmp_path / "a.xyz").write_bytes(b"\0\1hello")
    (tmp_path / "b.PDF").write_bytes(b"%PDF-")

    def texts(path):
        return [f"# {path.name}\n\none", Document(page_content="two", metadata={"page": 2, "source": "no"})]

    documents, problems = problems_of(tmp_path, readers={".xyz": texts, "pdf": lambda path: "scanned"})
    assert not problems
    assert [(d.page_content, os.path.basename(d.metadata["source"])) for d in documents] == [
        ("# a.xyz\n\none", "a.xyz"),
        ("two", "a.xyz"),
        ("scanned", "b.PDF"),
    ]
    assert documents[1].metadata["page"] == 2
    assert documents[0].metadata["format"] == "markdown"


def test_what_a_reader_of_ones_own_raises_is_reported(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "a.xyz").touch()

    def broken(path):
        raise RuntimeError("no such luck")

    _, problems = problems_of(tmp_path, readers={".xyz": broken})
    assert problems == {"a.xyz": "damaged (no such luck)"}


@pytest.mark.parametrize("readers", [{"": str}, {".": str}, {".a/b": str}, {".xyz": "no function"}])
def test_readers_that_are_none_are_refused(tmp_path, readers):
    with pytest.raises(
        ValueError, match=r"takes functions by suffix|readers=.* mapping of texts to functions"
    ):
        load_documents(tmp_path, readers=readers)


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """Installs a package that brings a reader of its own, given as the entry point's value."""

    def install(value):
        site = tmp_path / "site"
        (site / "read_zzz-1.dist-info").mkdir(parents=True)
        (site / "read_zzz-1.dist-info" / "METADATA").write_text("Name: read-zzz\nVersion: 1\n")
        (site / "read_zzz-1.dist-info" / "entry_points.txt").write_text(
            f"[llama_bedrock.readers]\nZZZ = {value}\n"
        )
        (site / "read_zzz.py").write_text("def read(path):\n    return f'read {path.name}'\n")
        monkeypatch.syspath_prepend(site)
        installed_readers.cache_clear()
        (tmp_path / "docs").mkdir()
        (tmp_path / "docs" / "a.zzz").write_bytes(b"\0")
        (tmp_path / "docs" / "b.txt").write_text("beside it")
        return tmp_path / "docs"

    yield install
    installed_readers.cache_clear()


def test_packages_bring_readers_as_entry_points(installed):
    folder = installed("read_zzz:read")
    assert [d.page_content for d in load_documents(folder)] == ["read a.zzz", "beside it"]


def test_the_command_line_reads_with_what_packages_bring(installed):
    done = CliRunner().invoke(app, ["index", str(installed("read_zzz:read")), "--json"])
    facts = json.loads(done.stdout)
    assert (facts["files"], facts["problems"]) == (2, [])


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("read_zzz:absent", "its reader read_zzz:absent cannot be loaded"),
        ("absent_zzz:read", "its reader absent_zzz:read cannot be loaded"),
        ("read_zzz:__name__", "its reader read_zzz:__name__ is no function"),
    ],
)
def test_a_reader_that_cannot_be_loaded_is_named_and_the_others_read(installed, value, reason):
    problems = []
    assert len(load_documents(installed(value), on_error=problems.append)) == 1
    assert reason in problems[0].reason


def test_an_index_is_made_anew_with_readers_that_were_installed_since(installed, tmp_path):
    store, problems = FAISSStore(), []
    folder = installed("read_zzz:read")
    (tmp_path / "site" / "read_zzz-1.dist-info").rename(tmp_path / "elsewhere")
    installed_readers.cache_clear()
    index_folder(folder, store, on_error=problems.append)
    (tmp_path / "elsewhere").rename(tmp_path / "site" / "read_zzz-1.dist-info")
    installed_readers.cache_clear()
    report = index_folder(folder, store, on_error=problems.append)
    assert len(problems) == 1
    assert report.unreadable == ()
    assert len(store) == 2


def test_an_index_is_made_anew_with_other_readers(tmp_path):
    (tmp_path / "a.xyz").write_text("as it stands")
    os.utime(tmp_path / "a.xyz", (1, 1))
    store = FAISSStore()
    index_folder(tmp_path, store)
    assert [d.page_content for d in store.similarity_search("a", k=3)] == ["as it stands"]
    index_folder(tmp_path, store, readers={".xyz": lambda path: "in other words"})
    assert [d.page_content for d in store.similarity_search("a", k=3)] == ["in other words"]


# Links


@pytest.fixture
def cloned(tmp_path):
    """A folder with links to a secret beside it, and within itself."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "credentials").write_text("secret key")
    folder = tmp_path / "clone"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text("harmless")
    (folder / "notes.txt").symlink_to(tmp_path / "home" / "credentials")
    (folder / "up").symlink_to("../home")
    (folder / "through.txt").symlink_to("sub/../../home/credentials")
    (folder / "within.txt").symlink_to("sub/a.txt")
    (folder / "around").symlink_to("sub")
    return folder


def test_links_that_lead_out_of_a_folder_are_named_and_not_followed(cloned):
    documents, problems = problems_of(cloned)
    assert {d.page_content for d in documents} == {"harmless"}
    assert problems.keys() == {"notes.txt", "up", "through.txt"}
    assert all("leads out of the folder" in reason for reason in problems.values())
    report = index_folder(cloned, FAISSStore(), on_error=lambda problem: None)
    assert len(report.unreadable) == 3
    assert report.chunks == 1


def test_links_that_lead_out_are_followed_when_asked_for(cloned):
    documents, problems = problems_of(cloned, follow_links_outside=True)
    assert {d.page_content for d in documents} == {"harmless", "secret key"}
    assert not problems


def test_a_folder_that_is_itself_a_link_is_read(cloned, tmp_path):
    (tmp_path / "link").symlink_to(cloned)
    documents, problems = problems_of(tmp_path / "link")
    assert {d.page_content for d in documents} == {"harmless"}
    assert len(problems) == 3
    assert [d.page_content for d in load_documents(cloned / "notes.txt")] == [
        "secret key"
    ]  # named by its user
