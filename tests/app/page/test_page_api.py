"""What the page does, by the routes that it does it with: a real server, a real socket, real files."""

import asyncio
import base64
import hashlib
import io
import re
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path

import pytest
from langchain_core.language_models.fake_chat_models import FakeListChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph

from llama_bedrock.app import create_app
from llama_bedrock.app.event_stream import sse
from llama_bedrock.local.engines.interface import EngineError

ROOT = Path(__file__).resolve().parents[3]
STATIC = ROOT / "llama_bedrock" / "app" / "static"
QUESTION = "When does Llama 3.3 70B leave Bedrock?"


def test_the_frame_is_drawn_before_the_script_and_says_what_the_script_will_say():
    frame = (STATIC / "index.html").read_text()
    frame = frame[frame.index('<div id="page">') : frame.index("<noscript>")]
    script = (STATIC / "page.js").read_text()
    texts = re.findall(r">([^<>\n]+)</h", frame)
    assert texts
    assert all(f'"{text}"' in script for text in texts)


def test_an_answer_leads_to_the_very_characters_of_its_sources(open_page, folder, api):
    page = api(open_page(folder)[0])
    page.ready()
    events = page.ask(QUESTION)
    names = [name for name, _ in events]
    assert names[:2] == ["question", "documents"]
    assert names[-1] == "done"
    question, answer = events[-1][1]["messages"]
    assert question["text"] == QUESTION
    assert answer["text"] == "".join(data["text"] for name, data in events if name == "text")
    record = answer["answer"]
    assert record["citations"]
    assert record["model"] == "meta.llama3-3-70b-instruct-v1:0"
    for citation in record["citations"]:
        shown = page.get("/api/documents/text", source=citation["source"], document=citation["document_id"])
        part = next(part for part in shown["parts"] if part["id"] == citation["document_id"])
        start, end = citation["offsets"]
        assert part["text"][start:end] == citation["quote"]
        assert answer["text"][slice(*citation["mark"])] == f"[{citation['number']}]"
    assert len(record["statements"]) >= len({tuple(c["span"]) for c in record["citations"]}) > 0
    assert page.get("/api/thread", name="t")["messages"][1]["answer"] == record
    sent = page.get("/api/prompt", message=answer["id"])["prompt"]
    assert sent.startswith("<|begin_of_text|>")
    assert QUESTION in sent


def test_threads_are_those_of_the_command_line(open_page, folder, api):
    memory = InMemorySaver()
    page = api(open_page(folder, checkpointer=memory)[0])
    page.ready()
    page.ask(QUESTION, thread="a / b & “c”")
    assert {entry.config["configurable"]["thread_id"] for entry in memory.list(None)} == {"chat:a / b & “c”"}
    listed = page.get("/api/threads")["threads"]
    assert [one["name"] for one in listed] == ["a / b & “c”"]
    assert listed[0]["updated"]
    exported = page.client.get("/api/export", params={"name": "a / b & “c”"})
    assert exported.text.startswith(f"## You\n\n{QUESTION}")
    assert "attachment" in exported.headers["content-disposition"]
    assert page.get("/api/export", name="a / b & “c”", **{"as": "json"})[0]["type"] == "human"
    page.client.delete("/api/thread", params={"name": "a / b & “c”"}).raise_for_status()
    assert page.get("/api/threads")["threads"] == []


@pytest.mark.parametrize("is_plain", [True, False])
def test_a_question_is_replaced_with_all_that_came_after_it(open_page, folder, api, is_plain):
    answers = [f"Answer {n}." for n in range(8)]
    page = api(open_page(None if is_plain else folder, answers)[0])
    first = page.ask("First?")[-1][1]["messages"]
    page.ask("Second question, that stands alone?")
    page.ask("Another first?", replaces=first[0]["id"])
    texts = [message["text"] for message in page.get("/api/thread", name="t")["messages"]]
    assert texts[0] == "Another first?"
    assert len(texts) == 2


@pytest.mark.parametrize(
    ("code", "status", "name", "waits"),
    [
        ("ThrottlingException", 429, "rate_limit_exceeded", True),
        ("AccessDeniedException", 403, "model_access_denied", False),
        ("ExpiredTokenException", 401, "bedrock_credentials", False),
        ("ServiceUnavailableException", 503, "service_unavailable", True),
    ],
)
def test_an_error_is_told_and_leaves_the_thread_as_it_was(open_page, api, code, status, name, waits):
    page = api(open_page(None, ["Fine.", EngineError(code, "no"), "Again fine."])[0])
    before = page.ask("First?")[-1][1]["messages"]
    event, data = page.ask("Second?", replaces=before[0]["id"])[-1]
    assert event == "error"
    assert (data["error"]["status"], data["error"]["code"]) == (status, name)
    assert bool(data["error"]["retry_after"]) is waits
    assert [m["text"] for m in page.get("/api/thread", name="t")["messages"]] == ["First?", "Fine."]
    assert page.ask("Third?")[-1][1]["messages"][1]["text"] == "Again fine."


def test_a_question_that_a_killed_server_left_is_taken_back_in_one_step(open_page, api):
    class Far(InMemorySaver):
        async def aget_tuple(self, config):
            await asyncio.sleep(0.01)  # so that others come in between
            return super().get_tuple(config)

    memory = Far()
    graph = StateGraph(MessagesState).add_node("model", lambda state: state).add_edge(START, "model")
    left = {"messages": [HumanMessage("Left?", id="left")]}
    thread = {"configurable": {"thread_id": "chat:t"}}
    graph.compile(checkpointer=memory).update_state(thread, left, as_node=START)
    page = api(open_page(None, ["Fine."], checkpointer=memory)[0])
    with ThreadPoolExecutor(4) as pool:
        read = [pool.submit(page.get, "/api/thread", name="t") for _ in range(3)]
        asked = pool.submit(page.ask, "Left?")
        assert all(one.result()["messages"] == [] or one.result()["running"] for one in read)
        assert asked.result()[-1][0] == "done"
    assert [m["text"] for m in page.get("/api/thread", name="t")["messages"]] == ["Left?", "Fine."]


def test_who_leaves_stops_the_model_and_what_was_written_is_kept(open_page, api):
    begun, closed = threading.Event(), threading.Event()

    def slow(request):
        def pieces():
            try:
                yield "One "
                begun.set()
                while True:
                    time.sleep(0.02)
                    yield "more "
            finally:
                closed.set()

        return pieces()

    class Endless:
        name = "endless"
        blocking = True

        def generate(self, request):
            yield from slow(request)

    page = api(open_page(None, Endless())[0])
    with page.client.stream("POST", "/api/ask", json={"thread": "t", "question": "Go"}) as answer:
        told = answer.iter_text()  # kept: one that is forgotten closes the connection
        for piece in told:
            if "more" in piece:
                break
        busy = page.ask("Me too")
        assert busy[0][1] == 409
    assert closed.wait(10)
    for _ in range(100):
        thread = page.get("/api/thread", name="t")
        if not thread["running"]:
            break
        time.sleep(0.05)
    assert thread["messages"][1]["text"].startswith("One more")
    assert thread["messages"][1]["stop_reason"] == "interrupted"


def test_uploads_are_taken_or_refused_by_name(open_page, folder, api):
    page = api(open_page(folder)[0])
    page.ready()
    (folder / "kept.txt").write_text("The first one.")
    files = [
        ("file", ("zebra.txt", b"Zebras have stripes, and no two zebras have the same ones.")),
        ("file", ("kept.txt", b"The second one, which must not overwrite the first.")),
        ("file", ("empty.pdf", b"")),
        ("file", ("program.exe", b"MZ\x00\x01" * 100)),
        ("file", (".hidden.txt", b"x")),
    ]
    told = page.client.post("/api/documents", files=files).raise_for_status().json()
    assert sorted(told["saved"]) == ["kept (2).txt", "zebra.txt"]
    assert {one["name"] for one in told["refused"]} == {"empty.pdf", "program.exe", ".hidden.txt"}
    assert "empty" in next(one["reason"] for one in told["refused"] if one["name"] == "empty.pdf")
    assert (folder / "kept.txt").read_text() == "The first one."
    for _ in range(200):
        found = page.ready()
        if found["index"]["files"] == 7:
            break
        time.sleep(0.05)
    assert found["index"]["files"] == 7
    answer = page.ask("What do zebras have?")[-1][1]["messages"][1]
    assert "stripes" in answer["text"]
    zebra = next(one["source"] for one in found["documents"] if one["name"] == "zebra.txt")
    page.client.delete("/api/documents", params={"source": zebra}).raise_for_status()
    assert not (folder / "zebra.txt").exists()


@pytest.mark.parametrize(
    "name", ["../outside.txt", "..\\outside.txt", "/tmp/outside.txt", "a/../../outside.txt"]
)
def test_no_upload_leaves_its_folder(open_page, folder, api, name):
    page = api(open_page(folder)[0])
    page.ready()
    page.client.post("/api/documents", files=[("file", (name, io.BytesIO(b"Some text.")))]).raise_for_status()
    assert (folder / "outside.txt").exists()
    assert not (folder.parent / "outside.txt").exists()


def test_only_documents_are_shown(open_page, folder, api):
    secret = folder.parent / "secret.txt"
    secret.write_text("secret")
    (folder / ".hidden.txt").write_text("secret")
    (folder / "link.txt").symlink_to(secret)
    page = api(open_page(folder)[0])
    page.ready()
    inside = [
        str(secret),
        f"{folder}/../secret.txt",
        f"{folder}/.hidden.txt",
        f"{folder}/link.txt",
        "/etc/passwd",
    ]
    for source in inside:
        for path in ("/api/documents/text", "/api/documents/file"):
            answer = page.client.get(path, params={"source": source})
            assert answer.status_code == 404
            assert "secret" not in answer.text.replace(source, "").replace("secret.txt", "")
        assert page.client.delete("/api/documents", params={"source": source}).status_code == 404
    web = page.client.get(
        "/api/documents/file", params={"source": f"{folder}/retrieval-without-downloads.html"}
    )
    assert web.headers["content-type"] == "application/octet-stream"
    assert web.headers["content-disposition"].startswith("attachment")


def test_a_long_text_is_shown_round_the_place(open_page, tmp_path, api):
    folder = tmp_path / "docs"
    folder.mkdir()
    lines = [f"Line {n} of a long book, which says little." for n in range(9_000)]
    lines[6_000] = "The treasure lies below the seventh oak."
    (folder / "book.txt").write_text("\n".join(lines))
    page = api(open_page(folder)[0])
    page.ready()
    answer = page.ask("Where does the treasure lie?")[-1][1]["messages"][1]
    citation = next(c for c in answer["answer"]["citations"] if "seventh oak" in c["quote"])
    shown = page.get("/api/documents/text", source=citation["source"], at=citation["offsets"][0])
    (part,) = shown["parts"]
    start, end = (offset - part["start"] for offset in citation["offsets"])
    assert part["text"][start:end] == citation["quote"]
    assert len(part["text"]) <= 200_000 < part["length"]
    assert part["line"] + part["text"][:start].count("\n") == citation["line"] == 6_001


def test_a_judge_is_asked_on_a_click(open_page, folder, api):
    page = api(open_page(folder, ["Llamas of all kinds rule the world [1].", "1. yes\n"])[0])
    page.ready()
    answer = page.ask(QUESTION)[-1][1]["messages"][1]
    told = page.client.post("/api/verify", json={"thread": "t", "message": answer["id"], "verifier": "llama"})
    assert told.status_code == 200, told.text
    (citation,) = told.json()["answer"]["citations"]
    assert citation["verified_by"] == "llama"
    assert page.get("/api/thread", name="t")["messages"][1]["answer"]["citations"] == [citation]


@pytest.mark.parametrize("is_allowed", [True, False])
def test_a_tool_that_writes_waits_for_a_person(open_page, api, is_allowed):
    written = []

    @tool
    def write(text: str) -> str:
        """Write a text to the file."""
        written.append(text)
        return "written"

    page = api(open_page(None, ['[write(text="x\u202ey")]', "Done."], tools=[write])[0])
    told = page.ask("Write it")
    (call,) = told[-1][1]["approval"]
    assert [value for event, value in told if event == "tool_call"] == [
        {"name": "write", "text": 'write(text="x\\u202ey")'}
    ]
    assert call == {"name": "write", "arguments": {"text": "x\u202ey"}, "text": 'write(text="x\\u202ey")'}
    assert page.get("/api/thread", name="t")["approval"] == [call]
    assert not written
    done = page.events("/api/decide", thread="t", decisions=[is_allowed])[-1][1]
    assert written == (["x\u202ey"] if is_allowed else [])
    assert done["messages"][-1]["text"] == "Done."
    assert page.events("/api/decide", thread="t", decisions=[True])[-1][1] == 409


def test_what_a_tool_fails_with_is_its_result_and_the_turn_goes_on(open_page, api):
    from llama_bedrock.errors import BedrockThrottlingError

    @tool
    def ring(bell: str) -> str:
        """Ring a bell."""
        if bell == "far":
            raise BedrockThrottlingError("too many requests")
        raise ConnectionError("Connection closed")

    ring.metadata = {"readOnlyHint": True}
    calls = ['[ring(bell="near")]', "The bell is gone.", '[ring(bell="far")]']
    address, engine = open_page(None, calls, tools=[ring])
    told = api(address).ask("Ring it")
    (result,) = [value for event, value in told if event == "tool_result"]
    said = "The tool failed: ConnectionError: Connection closed"
    assert (result["text"], result["status"]) == (said, "error")
    assert said in engine.requests[1].prompt
    assert told[-1][1]["messages"][-1]["text"] == "The bell is gone."
    # What Bedrock refuses to a tool is the person's to know: the model can do nothing about it.
    assert api(address).ask("Ring the other")[-1][1]["error"]["code"] == "rate_limit_exceeded"


def test_an_agent_with_tools_is_made_once_for_a_model_and_a_verifier(scripted):
    @tool
    def ring() -> str:
        """Ring."""
        return "It rang."

    llm, _ = scripted([])
    app = create_app(llm, tools=[ring], key="a-key-for-tests", checkpointer=InMemorySaver())
    events = next(route.endpoint for route in app.routes if getattr(route, "path", "") == "/api/events")
    threads, verifiers = events.__self__._threads, events.__self__._verifiers
    first = threads.open("a")
    assert threads.open("b").graph is first.graph
    words = [threads.open("a", None, verifiers.get("words", None)) for _ in range(2)]
    assert words[0].graph is words[1].graph
    other = threads.open("a", "meta.llama3-1-8b-instruct-v1:0")
    assert other.graph is not first.graph


async def test_what_changes_while_the_state_is_on_its_way_is_news():
    app = create_app(FakeListChatModel(responses=["yes"]), key="a-key-for-tests")
    events = next(route.endpoint for route in app.routes if getattr(route, "path", "") == "/api/events")
    async with aclosing((await events(None)).frames) as frames:
        assert b'"running":[]' in await anext(frames)
        async with events.__self__._threads.answering("t"):
            assert await asyncio.wait_for(anext(frames), 30) == sse({"running": ["t"]}, "threads")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"question": "x"}, "thread"),
        ({"thread": "t"}, "question"),
        ({"thread": "t", "question": " "}, "question"),
        ({"thread": "t", "question": "x", "verifier": "oracle"}, "verifier"),
        ({"thread": "t", "question": "x", "model": "no.such-model"}, "model"),
        ({"thread": "t", "question": "x" * 20_001}, "question"),
    ],
)
def test_mistakes_name_the_field(open_page, api, body, param):
    page = api(open_page(None, [])[0])
    ((_, status, told),) = page.events("/api/ask", **body)
    assert status in (400, 404)
    assert told["error"]["param"] == param


def test_the_page_is_small_and_runs_nothing_inline(open_page, browse):
    client = browse(open_page(None, [])[0])
    answer = client.get("/")
    text = answer.text
    assert '"/static/page.js"' in text
    assert len(text) + len(client.get("/static/page.js").content) < 250_000
    assert "<script>" not in text
    assert "style=" not in text
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "'unsafe" not in policy
    (style,) = re.findall("(?s)<style>(.+?)</style>", text)
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy.endswith(f"; style-src 'self' 'sha256-{hashed}'")


@pytest.mark.parametrize(
    "path", ["/", "/static/page.js", "/static/jbig2.wasm", "/static/cmaps/UniJIS-UTF16-H.bcmap"]
)
def test_files_of_the_page_are_packed_and_sent_once(open_page, browse, path):
    client = browse(open_page(None, [])[0])
    plain = client.get(path, headers={"Accept-Encoding": "gzip;q=0, br"})
    packed = client.get(path, headers={"Accept-Encoding": "br, gzip"})
    assert plain.content == packed.content
    assert "content-encoding" not in plain.headers
    if path in ("/", "/static/page.js"):
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.num_bytes_downloaded * 2 < plain.num_bytes_downloaded
        assert plain.headers["etag"] != packed.headers["etag"]
    for known in (plain, packed):
        asked = {
            "If-None-Match": known.headers["etag"],
            "Accept-Encoding": "gzip" if known is packed else "br",
        }
        again = client.get(path, headers=asked)
        assert (again.status_code, again.content) == (304, b"")
    assert client.head(path).status_code == 200
    assert client.post(path).status_code == 405


def test_nothing_else_is_a_file_of_the_page(open_page, browse):
    client = browse(open_page(None, [])[0])
    for name in (
        "",
        "nothing.js",
        "../page/__init__.py",
        "..%2fpage%2f__init__.py",
        "/etc/passwd",
        "cmaps",
        "a" * 5000,
    ):
        assert client.get(f"/static/{name}").status_code == 404, name


def test_the_built_files_are_of_these_sources():
    """Without node: what was built says what of. With node, the slow test builds it again."""
    sources = [
        ROOT / "ui" / "build.mjs",
        ROOT / "ui" / "package-lock.json",
        *sorted((ROOT / "ui" / "src").iterdir()),
    ]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()
    assert (STATIC / "sources.sha256").read_text().strip() == digest, "run `npm run build` in ui/"


@pytest.mark.slow
def test_the_built_files_are_the_builds(tmp_path):
    if shutil.which("node") is None or not (ROOT / "ui" / "node_modules" / "esbuild").exists():
        pytest.skip("needs node, and npm ci --ignore-scripts in ui/")
    subprocess.run(["node", "build.mjs", str(tmp_path / "built")], cwd=ROOT / "ui", check=True, timeout=60)

    def files(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert files(tmp_path / "built") == files(STATIC)
