import logging
import os
import subprocess
import sys

import pytest

from llama_bedrock.retrievers import load_documents
from llama_bedrock.retrievers.documents.readers.encodings import decode


def names(documents):
    return [os.path.basename(document.metadata["source"]) for document in documents]


def test_one_file_gives_its_text_and_where_it_comes_from(tmp_path):
    file = tmp_path / "guide.md"
    file.write_text("intro\n\n# The Guide\n\ntext\n")
    [document] = load_documents(file)
    assert document.page_content == "intro\n\n# The Guide\n\ntext\n"
    assert document.metadata == {
        "source": str(file),
        "document_id": document.id,
        "format": "markdown",
        "title": "The Guide",
        "line": 1,
    }


def test_the_document_id_depends_on_source_and_content_alone(tmp_path):
    file = tmp_path / "a.txt"
    file.write_text("one")
    first = load_documents(file)[0].id
    os.utime(file, (1, 1))
    assert load_documents(file)[0].id == first
    file.write_text("two")
    assert load_documents(file)[0].id != first
    (tmp_path / "b.txt").write_text("one")
    assert load_documents(tmp_path / "b.txt")[0].id != first


def test_the_source_is_the_path_as_it_was_given(tmp_path, monkeypatch):
    (tmp_path / "docs" / "sub").mkdir(parents=True)
    (tmp_path / "docs" / "sub" / "a.txt").write_text("a")
    monkeypatch.chdir(tmp_path)
    assert [d.metadata["source"] for d in load_documents("docs")] == ["docs/sub/a.txt"]
    assert [d.metadata["source"] for d in load_documents("docs/sub/a.txt")] == ["docs/sub/a.txt"]


def test_a_folder_is_walked_in_sorted_order_without_hidden_files_and_other_peoples_code(tmp_path):
    for name in ("b.txt", "a.txt", "sub/z.txt", "sub/deeper/c.txt", "also/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    for name in (".git/config.txt", ".hidden.txt", "node_modules/m.txt", "__pycache__/p.txt", "env/e.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "env" / "pyvenv.cfg").write_text("home = /usr")
    assert names(load_documents(tmp_path)) == ["a.txt", "b.txt", "d.txt", "z.txt", "c.txt"]


def test_a_hidden_folder_is_read_when_it_is_asked_for(tmp_path):
    (tmp_path / ".notes").mkdir()
    (tmp_path / ".notes" / "a.txt").write_text("a")
    assert names(load_documents(tmp_path / ".notes")) == ["a.txt"]


def test_a_loop_of_folder_links_ends_and_a_link_to_nothing_is_reported(tmp_path):
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.txt").write_text("a")
    (tmp_path / "sub" / "up").symlink_to(tmp_path)
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    problems = []
    assert names(load_documents(tmp_path, on_error=problems.append)) == ["a.txt"]
    assert [str(problem) for problem in problems] == [
        f"{tmp_path}/gone.txt: it is gone, or a link to nothing"
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes of POSIX")
def test_pipes_and_links_to_themselves_are_reported_and_block_nothing(tmp_path):
    (tmp_path / "a.txt").write_text("a")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "self").symlink_to(tmp_path / "self")
    problems = []
    assert names(load_documents(tmp_path, on_error=problems.append)) == ["a.txt"]
    assert [os.path.basename(problem.source) for problem in problems] == ["pipe", "self"]
    assert problems[0].reason == "not a regular file"


def test_unreadable_files_are_reported_and_the_others_are_read(tmp_path):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "empty.md").write_bytes(b"")
    (tmp_path / "cut.pdf").write_bytes(b"%PDF-1.7\n1 0 obj\n<< /Type /Cat")
    (tmp_path / "empty.pdf").write_bytes(b"")
    (tmp_path / "no.docx").write_bytes(b"not a zip archive")
    (tmp_path / "binary.txt").write_bytes(b"\x7fELF\x00\x00\x01\x02")
    (tmp_path / "broken.json").write_text('{"a": ')
    problems = []
    assert names(load_documents(tmp_path, on_error=problems.append)) == ["broken.json", "good.txt"]
    reasons = {os.path.basename(problem.source): problem.reason for problem in problems}
    assert set(reasons) == {"empty.md", "cut.pdf", "empty.pdf", "no.docx", "binary.txt", "broken.json"}
    assert reasons["empty.md"] == reasons["empty.pdf"] == "the file is empty"
    assert reasons["cut.pdf"].startswith("not a readable PDF")
    assert reasons["no.docx"].startswith("not a readable DOCX")
    assert reasons["binary.txt"] == "binary content, not text"
    assert reasons["broken.json"].startswith("not valid JSON")
    assert all("\n" not in reason for reason in reasons.values())


def test_empty_source_files_are_no_problem(tmp_path):
    (tmp_path / "__init__.py").touch()
    (tmp_path / "py.typed").touch()
    with pytest.raises(ValueError, match="no text in the files of"):
        load_documents(tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    problems = []
    assert names(load_documents(tmp_path, on_error=problems.append)) == ["a.py"]
    assert not problems


def test_without_a_callback_problems_are_logged(tmp_path, caplog):
    (tmp_path / "good.txt").write_text("good")
    (tmp_path / "empty.txt").touch()
    with caplog.at_level(logging.WARNING, logger="llama_bedrock"):
        load_documents(tmp_path)
    assert [record.getMessage() for record in caplog.records] == [
        f"skipped {tmp_path}/empty.txt: the file is empty"
    ]


def test_a_missing_path_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such file or folder: .*/absent"):
        load_documents(tmp_path / "absent")


def test_an_empty_folder_is_an_error_of_one_line(tmp_path):
    with pytest.raises(ValueError, match="no files in") as caught:
        load_documents(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_of_images_is_an_error_that_says_what_was_found(tmp_path):
    for name in ("a.png", "b.png", "c.jpg"):
        (tmp_path / name).write_bytes(b"\x89PNG\r\n\x1a\n\x00\x00")
    with pytest.raises(
        ValueError, match=r"no supported documents in .*\(found 2 × .png, 1 × .jpg\)"
    ) as caught:
        load_documents(tmp_path)
    assert "\n" not in str(caught.value)


def test_one_unreadable_file_is_an_error_with_its_reason(tmp_path):
    (tmp_path / "a.pdf").write_bytes(b"")
    with pytest.raises(ValueError, match=r"nothing to read in .*a\.pdf: the file is empty"):
        load_documents(tmp_path / "a.pdf", on_error=lambda problem: None)
    with pytest.raises(ValueError, match=r"a\.pdf: the file is empty"):
        load_documents(tmp_path, on_error=lambda problem: None)
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n")
    with pytest.raises(ValueError, match=r"no reader for \.png"):
        load_documents(tmp_path / "picture.png", on_error=lambda problem: None)


def test_a_50_mb_text_file_is_refused_with_its_size_and_the_way_out(tmp_path):
    file = tmp_path / "big.txt"
    with file.open("wb") as out:
        for _ in range(50):
            out.write(b"0123456789abcde\n" * 62_500)
    with pytest.raises(ValueError, match=r"50\.0 MB is over the limit of 33\.6 MB; .*max_file_bytes"):
        load_documents(file, on_error=lambda problem: None)
    [document] = load_documents(file, max_file_bytes=64 * 2**20)
    assert len(document.page_content) == 50_000_000


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_and_a_folder_without_permission_are_reported(tmp_path):
    (tmp_path / "open.txt").write_text("open")
    (tmp_path / "closed.txt").write_text("closed")
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed.txt").chmod(0)
    (tmp_path / "closed").chmod(0)
    tmp_path.chmod(0o755)
    program = (
        "import os\n"
        "from llama_bedrock.retrievers import load_documents\n"
        "if os.getuid() == 0:\n"
        "    os.setuid(65534)\n"
        "problems = []\n"
        "print([d.metadata['source'] for d in load_documents('.', on_error=problems.append)])\n"
        "print([str(p) for p in problems])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['./open.txt']",
        "['./closed.txt: no permission to read it', './closed: no permission to read it']",
    ]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("Grüße, 日本".encode(), "Grüße, 日本"),
        ("Grüße".encode("utf-8-sig"), "Grüße"),
        ("Grüße".encode("latin-1"), "Grüße"),
        ("“smart” – 5 €".encode("cp1252"), "“smart” – 5 €"),
        ("Grüße".encode("utf-16"), "Grüße"),
        ("Grüße".encode("utf-32"), "Grüße"),
        (b"undefined in cp1252: \x81", "undefined in cp1252: \x81"),
        (b"one\r\ntwo\rthree", "one\ntwo\nthree"),
    ],
)
def test_text_is_decoded_by_its_mark_else_utf_8_else_windows_1252(data, text):
    assert decode(data) == text


def test_a_given_encoding_is_used_and_a_wrong_one_is_reported(tmp_path):
    (tmp_path / "a.txt").write_bytes("Привет".encode("koi8-r"))
    [document] = load_documents(tmp_path, encoding="koi8-r")
    assert document.page_content == "Привет"
    with pytest.raises(ValueError, match="cannot be decoded as utf-8"):
        load_documents(tmp_path, encoding="utf-8", on_error=lambda problem: None)


def test_files_of_unknown_name_are_read_when_their_content_is_text(tmp_path):
    (tmp_path / "LICENSE").write_text("permission is granted")
    (tmp_path / "notes.xyz").write_text("strange suffix")
    (tmp_path / "program").write_bytes(b"\x7fELF" + bytes(100))
    assert names(load_documents(tmp_path)) == ["LICENSE", "notes.xyz"]
