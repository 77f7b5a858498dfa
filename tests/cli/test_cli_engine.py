"""`--engine`: servers of raw prompts, in the wire shapes of Ollama, llama.cpp, LM Studio and vLLM."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli import local_servers
from llama_bedrock.cli.local_servers import llama_of
from llama_bedrock.cli.main import app

ANSWER = ["The pump", " hums", " at 50 Hz", " [1]."]


class Server(BaseHTTPRequestHandler):
    """A completion server; `kind` says whose wire it speaks, `requests` keeps what it was asked."""

    kind, models, echo = "vLLM", ["meta-llama/Llama-3.1-8B-Instruct"], False

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path == "/v1/models":
            self._json({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]})
        elif self.path == "/api/version" and self.kind == "Ollama":
            self._json({"version": "0.12.3"})
        else:
            self._json({"error": "not found"}, 404)

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        if self.kind == "old" and "stream_options" in body:
            self._json({"error": {"message": "Unrecognized request argument supplied: stream_options"}}, 400)
            return
        self.send_response(200)
        ollama = self.path == "/api/generate"
        self.send_header("Content-Type", "application/x-ndjson" if ollama else "text/event-stream")
        self.end_headers()
        for event in self._ollama() if ollama else self._openai():
            line = json.dumps(event) if isinstance(event, dict) else event
            self.wfile.write(f"{line}\n".encode() if ollama else f"data: {line}\n\n".encode())

    def _pieces(self):
        if self.echo:  # as small models do: the passages of the prompt, then the answer
            prompt = self.server.requests[-1][1]["prompt"]
            block = prompt[prompt.rindex("<passage ") :].split("\nQuestion: ")[0] + "\n"
            yield from (block[at : at + 5] for at in range(0, len(block), 5))
        yield from ANSWER

    def _ollama(self):
        for piece in self._pieces():
            yield {"model": self.models[0], "response": piece, "done": False}
        yield {"response": "", "done": True, "done_reason": "stop", "prompt_eval_count": 321, "eval_count": 9}

    def _openai(self):
        usage = {"prompt_tokens": 321, "completion_tokens": 9, "total_tokens": 330}
        for piece in self._pieces():
            yield {
                "object": "text_completion",
                "choices": [{"index": 0, "text": piece, "finish_reason": None}],
            }
        last = {"object": "text_completion", "choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}
        if self.kind == "llama.cpp":  # usage in the last event, and timings
            yield {**last, "usage": usage, "timings": {"predicted_n": 9}}
        else:
            yield last
            if self.kind in ("vLLM", "LM Studio"):
                yield {"object": "text_completion", "choices": [], "usage": usage}
        yield "[DONE]"

    def _json(self, value, status=200):
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def serve():
    """Function: attributes of `Server` → a running one, with `.url` and `.requests`."""
    running = []

    def start(**attributes):
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Own", (Server,), attributes))
        server.requests = []
        server.url = f"http://127.0.0.1:{server.server_port}/v1"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        running.append(server)
        return server

    yield start
    for server in running:
        server.shutdown()
        server.server_close()


@pytest.fixture
def pump(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "pump.md").write_text("# Pump\n\nThe pump hums at 50 Hz.\n")
    return tmp_path / "docs"


def run(*args, code=0, stdin=None):
    result = CliRunner().invoke(app, list(map(str, args)), input=stdin)
    assert result.exit_code == code, result.output
    return result


@pytest.mark.parametrize("kind", ["vLLM", "LM Studio", "llama.cpp", "Ollama"])
def test_the_raw_prompt_goes_through_and_the_servers_usage_is_believed(serve, pump, kind):
    server = serve(kind=kind)
    result = run("ask", pump, "At what does it hum?", "--engine", f"openai:{server.url}", "--json")
    answer = json.loads(result.stdout)
    assert answer["text"] == "The pump hums at 50 Hz [1]."
    assert answer["usage"]["input_tokens"] == 321
    assert answer["usage"]["output_tokens"] == 9
    assert answer["answered_by"] == f"meta-llama/Llama-3.1-8B-Instruct at {server.url}"
    ((path, body),) = server.requests
    assert path == ("/api/generate" if kind == "Ollama" else "/v1/completions")
    assert body["model"] == "meta-llama/Llama-3.1-8B-Instruct"
    assert body["prompt"].startswith("<|start_header_id|>system<|end_header_id|>\n\n")
    assert result.stderr.splitlines()[0].startswith(
        "Indexed"
    )  # nothing about Bedrock, lifecycle or credentials


def test_a_server_that_knows_no_stream_options_is_asked_without(serve, pump):
    server = serve(kind="old")
    answer = json.loads(run("ask", pump, "Hum?", "--engine", f"openai:{server.url}", "--json").stdout)
    assert answer["text"] == "The pump hums at 50 Hz [1]."
    assert answer["usage"]["input_tokens"] > 50  # estimated
    assert ["stream_options" in body for _, body in server.requests] == [True, False]


@pytest.mark.parametrize(
    ("model", "begins"),
    [("llama4:scout", "<|header_start|>"), ("llama-2-13b-chat.Q4_K_M.gguf", "[INST]")],
)
def test_the_prompt_is_that_of_the_llama_that_the_model_is(serve, model, begins, monkeypatch):
    server = serve(models=["other", model])
    monkeypatch.setenv("LLAMA_BEDROCK_ENGINE", f"openai:{server.url}#{model}")
    assert "hums" in run("chat", stdin="Hi\n").stdout
    assert server.requests[0][1]["prompt"].startswith(begins)


def test_what_does_not_say_which_llama_it_is_is_told(serve):
    server = serve(models=["my-finetune"])
    result = run("chat", "--engine", f"openai:{server.url}", stdin="Hi\n")
    assert "'my-finetune' does not say which Llama it is" in result.stderr
    result = run("chat", "--engine", f"openai:{server.url}", "--format", "llama4", stdin="Hi\n")
    assert "does not say" not in result.stderr
    assert server.requests[-1][1]["prompt"].startswith("<|header_start|>")


def test_a_model_that_repeats_its_prompt_shows_no_markup_of_ours(serve, pump):
    server = serve(echo=True)
    shown = run("ask", pump, "Hum?", "--engine", f"openai:{server.url}").stdout
    assert "passage" not in shown
    assert "The pump hums at 50 Hz [1]." in shown


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        ("openai:http://127.0.0.1:9/v1", "cannot be reached"),
        ("openai:http://127.0.0.1:9/v1#llama3.2", "Is the server running?"),
        ("openai:http://127.0.0.1:9", "give http://127.0.0.1:9/v1"),
        ("openai:http://127.0.0.1:9/v1/chat/completions#m", "give http://127.0.0.1:9/v1"),
        ("openai:127.0.0.1:9/v1", "must begin with http"),
        ("ollama", "no engine is named 'ollama'"),
        ("openai:", "no engine is named 'openai:'"),
    ],
)
def test_mistakes_are_one_line_that_says_what_to_do(pump, engine, words):
    result = CliRunner().invoke(app, ["ask", str(pump), "Hum?", "--engine", engine])
    assert result.exit_code in (1, 2)
    assert words in result.stderr.splitlines()[-1]
    assert len(result.stderr.splitlines()) == 1


def test_of_several_models_one_has_to_be_named(serve, pump):
    server = serve(models=["llama3.2:1b", "qwen3:4b"])
    error = run("ask", pump, "Hum?", "--engine", f"openai:{server.url}", code=2).stderr
    assert f"--engine openai:{server.url}#llama3.2:1b (llama3.2:1b, qwen3:4b)" in error
    assert (
        "give it one" in run("ask", pump, "Hum?", "--engine", f"openai:{serve(models=[]).url}", code=2).stderr
    )


def test_a_server_that_runs_is_proposed_and_not_asked(serve, pump, monkeypatch):
    server = serve(models=["nomic-embed", "llama3.2:3b"])
    monkeypatch.setattr(local_servers, "KNOWN", (("Nothing", 9), ("Ollama", server.server_port)))
    result = run("ask", pump, "At what does it hum?")
    address = f"openai:http://localhost:{server.server_port}/v1#llama3.2:3b"
    assert f"Ollama runs on this machine: --engine {address} asks its model instead." in result.stderr
    assert server.requests == []
    for chosen in (["--local"], ["--model", "meta.llama3-1-8b-instruct-v1:0"], ["--engine", "extractive"]):
        assert "runs on this machine" not in run("ask", pump, "Hum?", *chosen).stderr


def test_engine_and_bedrock_exclude_each_other_but_the_variable_gives_way(pump, monkeypatch):
    error = run("ask", pump, "Hum?", "--bedrock", "--engine", "extractive", code=2).stderr
    assert "--engine and --bedrock exclude each other" in error
    monkeypatch.setenv("LLAMA_BEDROCK_ENGINE", "openai:http://127.0.0.1:9/v1#m")
    assert "no AWS credentials" in run("ask", pump, "Hum?", "--bedrock", code=1).stderr


@pytest.mark.parametrize(
    ("name", "llama"),
    [
        ("llama3.2", "llama3.2"),
        ("llama3.3:70b-instruct-q4_K_M", "llama3.3"),
        ("Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "llama3.1"),
        ("meta-llama/Llama-4-Scout-17B-16E-Instruct", "llama4"),
        ("llama-3-8b-instruct", "llama3"),
        ("llama3:8b", "llama3"),
        ("Llama-2-13b-chat", "llama2"),
        ("llama-3.2-1b", "llama3.2"),
        ("codellama:13b", None),
        ("qwen3", None),
        ("llama-guard3:8b", None),
    ],
)
def test_which_llama_a_name_means(name, llama):
    assert llama_of(name) == llama
