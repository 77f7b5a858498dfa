"""`llama-bedrock index migrate` and `llama-bedrock eval`."""

import inspect
import json
import re

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.main import app
from llama_bedrock.retrievers import FAISSStore

RUNNER = CliRunner(**{"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {})
TEXTS = {
    "hum": "Llamas hum when they are content.",
    "spit": "Llamas spit at rivals that come too close to their food.",
    "wool": "The wool of a llama is shorn once in two years.",
}


def run(*args, code=0):
    result = RUNNER.invoke(app, [str(arg) for arg in args])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture
def documents(tmp_path):
    folder = tmp_path / "farm"
    folder.mkdir()
    for name, text in TEXTS.items():
        (folder / f"{name}.md").write_text(text)
    return folder


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "farm-questions"
    folder.mkdir()
    corpus = [{"_id": name, "title": name, "text": text} for name, text in TEXTS.items()]
    queries = [
        {"_id": "1", "text": "When do llamas hum?", "answer": "when they are content"},
        {"_id": "2", "text": "How often is a llama shorn?", "answer": "once in two years"},
    ]
    (folder / "corpus.jsonl").write_text("\n".join(map(json.dumps, corpus)))
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, queries)))
    (folder / "qrels.tsv").write_text("query\tdocument\tgain\n1\thum\t1\n2\twool\t1\n")
    return folder


class TestMigrate:
    def test_a_copy_in_qdrant_finds_what_the_index_finds_and_is_brought_up_to_date(self, documents, tmp_path):
        pytest.importorskip("langchain_qdrant")
        from langchain_qdrant import QdrantVectorStore
        from qdrant_client import QdrantClient

        target = tmp_path / "qdrant"
        assert "'farm' holds 3 passages" in run("index", "migrate", documents, "--to", target).stdout
        (documents / "spit.md").unlink()
        facts = json.loads(run("index", "migrate", documents, "--to", target, "--json").stdout)
        assert (facts["collection"], facts["passages"]) == ("farm", 2)
        store = FAISSStore.load(facts["embeddings_in"])
        client = QdrantClient(path=str(target))
        copy = QdrantVectorStore(client, "farm", embedding=store.embeddings)
        for question in ("humming", "How is wool shorn?"):
            assert [d.page_content for d in copy.similarity_search(question, k=2)] == [
                d.page_content for d in store.similarity_search(question, k=2)
            ]
        client.close()

    def test_any_saved_store_can_be_copied(self, tmp_path):
        FAISSStore.from_texts(list(TEXTS.values())).save(tmp_path / "store")
        shown = run(
            "index", "migrate", tmp_path / "store", "--to", tmp_path / "qdrant", "-c", "llamas"
        ).stdout
        assert "'llamas' holds 3 passages" in shown

    def test_a_missing_path_is_one_line(self, tmp_path):
        line = run("index", "migrate", tmp_path / "nowhere", code=2).stderr.splitlines()[-1]
        assert "no such file or folder" in line


class TestEval:
    def test_the_table_names_what_was_measured(self, dataset):
        shown = run("eval", dataset, "--local").stdout
        assert re.search(r"^ndcg +1\.000 ", shown, re.M)
        assert re.search(r"^quotes exact +1\.000 ", shown, re.M)
        assert re.search(r"^questions +2 ", shown, re.M)

    def test_json_holds_every_question_and_html_is_a_whole_report(self, dataset, tmp_path):
        report = tmp_path / "report.html"
        shown = json.loads(
            run("eval", dataset, "--local", "--json", "--limit", "1", "--k", "2", "--html", report).stdout
        )
        (question,) = shown["questions"]
        assert question["answer"]["citations"][0]["supported"]
        assert shown["settings"]["k"] == 2
        page = report.read_text()
        assert page.startswith("<!doctype html>")
        assert "When do llamas hum?" in page

    def test_another_model_is_asked_and_one_failure_is_told(self, dataset, llama):
        from llama_bedrock.testing import EngineError

        llama("They hum when they are content [1].", EngineError("AccessDeniedException", "No access."))
        result = run("eval", dataset, "--model", "meta.llama3-1-70b-instruct-v1:0")
        assert "1 of 2 questions failed; the first: " in result.stderr
        assert re.search(r"^questions +2 +1 of them failed", result.stdout, re.M)

    def test_it_fails_where_every_question_failed(self, dataset, llama):
        from llama_bedrock.testing import EngineError

        llama(*[EngineError("AccessDeniedException", "No access.")] * 2)
        assert "2 of 2 questions failed" in run("eval", dataset, code=1).stderr

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (["nowhere"], "corpus.jsonl"),
            (["."], "corpus.jsonl"),
            ([".", "--limit", "0"], "--limit"),
            ([".", "--html", "no/such/folder/report.html"], "--html"),
        ],
    )
    def test_mistakes_are_one_line(self, args, words, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        result = run("eval", *args, "--local", code=2)
        assert words in result.stderr.splitlines()[-1]
        assert "Traceback" not in result.output

    def test_rows_are_streamed_and_a_run_that_was_cut_off_goes_on(self, dataset, llama, tmp_path):
        rows = tmp_path / "rows.jsonl"
        answers = ["They hum when they are content [1].", "Once in two years [1]."]
        engine = llama(*answers).engine
        args = ("eval", dataset, "--rows", rows)
        first = run(*args, "--limit", "1")
        assert re.search(r"^[✓?] 1/1 When do llamas hum\? \(.+, \d+\.\d s\)$", first.stdout, re.M)
        whole = rows.read_text()
        rows.write_text(whole + '{"id": "2", "te')  # killed while it wrote
        second = run(*args)
        assert f"1 outcome kept from {rows}" in second.stderr
        assert next(line for line in second.stdout.splitlines() if "/2 " in line).startswith(
            ("✓ 2/2", "? 2/2")
        )
        assert re.search(r"^questions +2 ", second.stdout, re.M)
        assert len(engine.requests) == 2
        assert rows.read_text().startswith(whole)
        third = json.loads(run(*args, "--json").stdout)
        assert len(engine.requests) == 2
        assert third["questions"][0]["answer"]["text"] == answers[0]
        assert third["questions"][0]["answer"]["citations"][0]["source"] == "hum"
        assert third["summary"]["questions"] == 2

    def test_ctrl_c_keeps_what_is_done_and_says_where(self, dataset, llama, monkeypatch):
        from llama_bedrock.agents.evaluation import rag_evaluation

        engine = llama("They hum when they are content [1].", "Once in two years [1].").engine
        ask = rag_evaluation._ask

        def interrupted(model, retriever, question, *others):
            if question.id == "2" and len(engine.requests) == 1 and not pressed:
                pressed.append(True)
                raise KeyboardInterrupt
            return ask(model, retriever, question, *others)

        pressed = []
        monkeypatch.setattr(rag_evaluation, "_ask", interrupted)
        cut = run("eval", dataset, code=130)
        assert "1 of 2 outcomes are kept in " in cut.stderr
        assert "the same command goes on from there" in cut.stderr
        again = run("eval", dataset)
        assert "1 outcome kept from" in again.stderr
        assert re.search(r"^questions +2 +0 of them failed", again.stdout, re.M)
        assert len(engine.requests) == 2
        assert (
            "kept from" not in run("eval", dataset, "--local").stderr
        )  # another model is another evaluation

    def test_outcomes_of_another_evaluation_are_not_mixed_in(self, dataset, tmp_path):
        rows = tmp_path / "rows.jsonl"
        run("eval", dataset, "--local", "--rows", rows)
        assert (
            "another evaluation" in run("eval", dataset, "--local", "--rows", rows, "--k", "2", code=2).stderr
        )
        rows.write_text("not json\n")
        assert "holds no outcomes" in run("eval", dataset, "--local", "--rows", rows, code=2).stderr
        run("eval", dataset, "--local", "--rows", tmp_path / "no" / "rows.jsonl", code=2)
