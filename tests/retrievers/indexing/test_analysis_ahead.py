"""Terms found in a second process: what this one finds, and no failure where there is none."""

import sys

import pytest

from llama_bedrock.retrievers import FAISSStore, index_folder
from llama_bedrock.retrievers.analysis import AnalysedTexts
from llama_bedrock.retrievers.indexing import analysis_ahead
from llama_bedrock.retrievers.indexing.analysis_ahead import AnalysisAhead

# Docstrings of the standard library, which nobody here wrote, some of them twice, and other scripts.
TEXTS = [
    *(module.__doc__ for name, module in sorted(sys.modules.items()) if "." not in name and module.__doc__),
    sys.__doc__,
    sys.__doc__,
    "東京の天気は晴れです。",
    "Die Pumpe wird vor dem ersten Lauf gefüllt, und das Ventil ist zu öffnen.",
    "",
]


@pytest.fixture
def small(monkeypatch):
    """A second process from the first text on."""
    monkeypatch.setattr(analysis_ahead, "_PAYS", 0)
    monkeypatch.setattr(analysis_ahead, "_LOT", 5)
    monkeypatch.setattr(analysis_ahead, "cores", lambda: 2)


def terms_of(texts: AnalysedTexts) -> list[list[str]]:
    ends = texts.lengths.cumsum()
    return [
        [texts.vocabulary[number] for number in texts.terms[end - length : end]]
        for end, length in zip(ends, texts.lengths, strict=True)
    ]


def assert_same(found: AnalysedTexts, texts: list[str]) -> None:
    expected = AnalysedTexts.of(texts)
    assert terms_of(found) == terms_of(expected)
    assert list(found.languages) == list(expected.languages)


@pytest.mark.parametrize("share", [1, 2, 1_000])  # of all that the child has not begun, of half, of nothing
def test_the_terms_are_those_that_one_process_finds(small, tmp_path, monkeypatch, share):
    monkeypatch.setattr(analysis_ahead, "_SHARE", share)
    # What lies in the folder that the program happens to be in is no part of it.
    (tmp_path / "marshal.py").write_text("raise SystemExit('imported')")
    (tmp_path / "numpy.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    with AnalysisAhead() as ahead:
        ahead.take(TEXTS)
        child = ahead._child
        assert ahead._sent[0][1].result(60) is not None
        wanted = TEXTS[::-1][3:]
        assert_same(ahead.analysed(wanted)(), wanted)
        assert_same(ahead.analysed(["never seen before"])(), ["never seen before"])
    assert child.returncode == 0


def test_an_index_is_the_same_with_a_second_process(small, tmp_path, monkeypatch):
    for number, text in enumerate(TEXTS[::8]):
        (tmp_path / f"{number}.md").write_text(f"# Module {number}\n\n{text}", encoding="utf-8")
    first, second = FAISSStore(), FAISSStore()
    index_folder(tmp_path, first, save=False)
    monkeypatch.setattr(analysis_ahead, "cores", lambda: 1)
    index_folder(tmp_path, second, save=False)
    assert first.embeddings.model_id == second.embeddings.model_id
    assert [d.id for d in first.documents()] == [d.id for d in second.documents()] != []


def test_a_process_that_dies_is_no_failure(small):
    with AnalysisAhead() as ahead:
        ahead.take(TEXTS[:20])
        assert ahead._sent[0][1].result(60) is not None
        ahead._child.kill()
        ahead._child.wait()
        ahead.take(TEXTS[20:])
        assert_same(ahead.analysed(TEXTS)(), TEXTS)


@pytest.mark.parametrize("executable", ["", "/nowhere/python"])
def test_a_process_that_cannot_start_is_no_failure(small, monkeypatch, executable):
    monkeypatch.setattr(sys, "executable", executable)
    with AnalysisAhead() as ahead:
        ahead.take(TEXTS)
        assert_same(ahead.analysed(TEXTS)(), TEXTS)


def test_a_program_that_holds_python_is_not_started_again(small, monkeypatch, tmp_path):
    program = tmp_path / "uwsgi"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/started\n")
    program.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(program))
    with AnalysisAhead() as ahead:
        ahead.take(TEXTS)
        assert_same(ahead.analysed(TEXTS)(), TEXTS)
    assert not (tmp_path / "started").exists()


def test_an_error_meanwhile_ends_the_process(small):
    ahead = AnalysisAhead()
    ahead.take(TEXTS)
    child = ahead._child
    with pytest.raises(KeyError), ahead:
        raise KeyError
    assert child.returncode is not None


def test_a_large_folder_starts_the_process_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(analysis_ahead, "cores", lambda: 2)
    monkeypatch.setattr(analysis_ahead, "_SURELY_PAYS", 1_000)
    started = []
    monkeypatch.setattr(analysis_ahead, "_started", lambda: started.append(True))
    for name, length in (("small", 900), ("large", 1_100)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text("a pump " * (length // 7))
        index_folder(tmp_path / name, FAISSStore(), save=False)
        assert started == [True] * (name == "large")


def test_few_texts_need_no_process():
    with AnalysisAhead() as ahead:
        ahead.take(TEXTS)
        assert ahead._child is None
        assert_same(ahead.analysed(TEXTS)(), TEXTS)
