"""The page's server over a folder of documents."""

import json
import shutil
import time
from pathlib import Path

import pytest
from langgraph.checkpoint.memory import InMemorySaver

from llama_bedrock.app import FolderIndex

DOCUMENTS = Path(__file__).resolve().parents[3] / "examples" / "documents"


@pytest.fixture
def folder(tmp_path):
    """A copy of the examples' documents: Markdown, PDF, DOCX and HTML."""
    return Path(shutil.copytree(DOCUMENTS, tmp_path / "docs"))


@pytest.fixture
def open_page(serve, tmp_path, monkeypatch):
    """Function: folder (None for none), answers of the model → (address, engine)."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def start(folder, answers="extractive", **arguments):
        from llama_bedrock.cli.kept_index import open_index

        if folder is not None:
            arguments["retriever"] = FolderIndex([folder], lambda tell: open_index(folder, progress=tell))
        arguments.setdefault("checkpointer", InMemorySaver())
        return serve(answers, page=True, **arguments)

    return start


class Api:
    """The page's API, as docs/ui.md documents it."""

    def __init__(self, client):
        self.client = client

    def get(self, path, **values):
        return self.client.get(path, params=values).raise_for_status().json()

    def ready(self):
        """The documents, when they are indexed."""
        for _ in range(300):
            found = self.get("/api/documents")
            if found["index"]["state"] in ("ready", "failed"):
                return found
            time.sleep(0.05)
        raise AssertionError(found)

    def events(self, path, **body):
        """The events of an answer: name and data."""
        found = []
        with self.client.stream("POST", path, json=body) as answer:
            if answer.status_code != 200:
                return [("status", answer.status_code, json.loads(answer.read()))]
            for frame in answer.read().decode().split("\n\n"):
                lines = dict(line.split(": ", 1) for line in frame.splitlines())
                if "data" in lines:
                    found.append((lines.get("event", "message"), json.loads(lines["data"])))
        return found

    def ask(self, question, thread="t", **more):
        return self.events("/api/ask", thread=thread, question=question, **more)


@pytest.fixture
def api(browse):
    """Function: address → `Api`."""
    return lambda address: Api(browse(address))


@pytest.fixture(scope="module")
def chromium():
    from tests.app.page.browser import CHROMIUM, playwright

    with playwright.sync_playwright() as started:
        arguments = [
            "--no-sandbox",
            "--disable-gpu",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
        ]
        browser = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Function: address → `Visit`. At the end: nothing was asked of another server, nothing went wrong."""
    from tests.app.page.browser import Visit

    def start(address, **options):
        start.visits.append(Visit(chromium, address, **options))
        return start.visits[-1]

    start.visits = []
    yield start
    for one in start.visits:
        one.context.close()
        assert one.elsewhere == []
        assert [text for text in one.complaints if "ERR_" not in text] == []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """With a failure goes what its pages showed: another run may not show it again."""
    report = yield
    if report.when == "call" and report.failed and "visit" in item.funcargs:
        for one in item.funcargs["visit"].visits:
            for page in one.context.pages:
                report.sections.append((f"page at {page.url}", page.inner_text("body")))
            report.sections.append(("complaints", "\n".join(one.complaints)))
    return report
