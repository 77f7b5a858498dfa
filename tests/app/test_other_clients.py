"""Clients that other people wrote: LangChain's ChatOpenAI and OpenAIEmbeddings, and OpenAI's package for Node."""

import asyncio
import shutil
import subprocess

import pytest
from langchain_core.documents import Document
from langchain_core.tools import tool
from pydantic import BaseModel

from llama_bedrock.retrievers import FAISSStore, HybridRetriever
from tests.app.conftest import KEY

MODEL = "meta.llama3-3-70b-instruct-v1:0"


class Herd(BaseModel):
    """A herd."""

    llamas: int


@tool
def get_weather(city: str) -> str:
    """Weather of a city."""
    return f"dry in {city}"


def run_all(runnable, value, runner):
    """What a runnable gives whole, and in pieces put together."""

    async def both():
        total = None
        whole = await runnable.ainvoke(value)
        async for chunk in runnable.astream(value):
            total = chunk if total is None else total + chunk
        return whole, total

    if runner is not None:
        return runner.run(both())
    total = None
    for chunk in runnable.stream(value):
        total = chunk if total is None else total + chunk
    return runnable.invoke(value), total


@pytest.fixture(params=["sync", "async"])
def runner(request):
    """None, or what runs coroutines on one loop: ChatOpenAI keeps its connections."""
    if request.param == "sync":
        yield None
    else:
        with asyncio.Runner() as runner:
            yield runner


def test_langchains_chat_openai(serve, runner):
    openai = pytest.importorskip("langchain_openai")
    call = '[get_weather(city="Oruro")]'
    address, _ = serve(
        ["It is dry.", "It is dry.", call, call, '{"llamas": 412}', "It is dry.", "It is dry."]
    )
    settings = {"model": MODEL, "base_url": f"{address}/v1", "api_key": KEY, "max_retries": 0}
    llm = openai.ChatOpenAI(**settings, stream_usage=True)
    for message in run_all(llm, "How is the weather?", runner):
        assert message.content == "It is dry."
        assert message.usage_metadata["output_tokens"] > 0
        assert message.response_metadata["finish_reason"] == "stop"
    for message in run_all(llm.bind_tools([get_weather]), "How is the weather in Oruro?", runner):
        assert [(c["name"], c["args"]) for c in message.tool_calls] == [("get_weather", {"city": "Oruro"})]
    structured = llm.with_structured_output(Herd)
    said = structured.invoke("Count.") if runner is None else runner.run(structured.ainvoke("Count."))
    assert said == Herd(llamas=412)
    responses = openai.ChatOpenAI(**settings, use_responses_api=True)
    for message in run_all(responses, "How is the weather?", runner):
        assert message.text == "It is dry."
        assert message.usage_metadata["output_tokens"] > 0


def test_langchain_knows_a_prompt_that_is_too_long(serve):
    from langchain_core.exceptions import ContextOverflowError

    from llama_bedrock.local import EngineError

    openai = pytest.importorskip("langchain_openai")
    text = "This model's maximum context length is 128000 tokens. Please reduce the length of the prompt"
    address, _ = serve([EngineError("ValidationException", text)])
    llm = openai.ChatOpenAI(model=MODEL, base_url=f"{address}/v1", api_key=KEY, max_retries=0)
    with pytest.raises(ContextOverflowError):
        llm.invoke("x")


def test_langchains_openai_embeddings(serve):
    openai = pytest.importorskip("langchain_openai")
    store = FAISSStore.from_documents(
        [Document("The herd has 412 llamas."), Document("Hay costs nine pesos.")]
    )
    address, _ = serve([], retriever=HybridRetriever(store=store, k=1))
    embeddings = openai.OpenAIEmbeddings(
        model="documents-embeddings", base_url=f"{address}/v1", api_key=KEY,
        check_embedding_ctx_length=False,
    )  # fmt: skip
    assert embeddings.embed_query("hay") == pytest.approx(
        store.embeddings.embed_documents(["hay"])[0], abs=1e-6
    )


def test_without_documents_titan_embeds(serve, monkeypatch, aws_credentials):
    pytest.importorskip("langchain_aws")
    openai = pytest.importorskip("langchain_openai")
    address, _ = serve([])
    embeddings = openai.OpenAIEmbeddings(
        model="amazon.titan-embed-text-v2:0", base_url=f"{address}/v1", api_key=KEY,
        check_embedding_ctx_length=False,
    )  # fmt: skip
    near, far = embeddings.embed_documents(["llamas eat hay", "the price of copper"])
    asked = embeddings.embed_query("hay for llamas")
    assert len(asked) == 1024
    assert sum(map(float.__mul__, asked, near)) > sum(map(float.__mul__, asked, far))


SCRIPT = """
import OpenAI from 'openai';
const client = new OpenAI({ baseURL: process.argv[2], apiKey: process.argv[3], maxRetries: 0 });
const model = '%s';
const messages = [{ role: 'user', content: 'How is the weather in Oruro?' }];
const check = (ok, what) => { if (!ok) { console.error('not so: ' + what); process.exit(1); } };

check((await client.models.list()).data.some((m) => m.id === model), 'models');
const whole = await client.chat.completions.create({ model, messages });
check(whole.choices[0].message.content === 'It is dry.', 'whole');
let text = '';
for await (const chunk of await client.chat.completions.create({ model, messages, stream: true }))
  text += chunk.choices[0]?.delta?.content ?? '';
check(text === 'It is dry.', 'stream');
let asked;
const runner = client.chat.completions.runTools({ model, messages, stream: true, tools: [{ type: 'function', function: {
  name: 'get_weather', description: 'Weather', parse: JSON.parse,
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
  function: ({ city }) => { asked = city; return 'dry'; } } }] });
check((await runner.finalContent()) === 'Dry.', 'runTools');
check(asked === 'Oruro', 'the tool');
const events = [];
for await (const event of await client.responses.create({ model, input: 'Hi', stream: true })) events.push(event.type);
check(events.at(-1) === 'response.completed', 'responses');
try { await client.chat.completions.create({ model, messages, n: 2 }); check(false, 'refusal'); }
catch (error) { check(error instanceof OpenAI.BadRequestError && error.param === 'n', 'BadRequestError'); }
console.log('all is well');
"""


@pytest.mark.slow
def test_openais_package_for_node(serve, tmp_path):
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        pytest.skip("no node and npm on this machine")
    (tmp_path / "package.json").write_text('{"type": "module", "dependencies": {"openai": "*"}}')
    installed = subprocess.run(
        [npm, "install", "--no-audit", "--no-fund"], cwd=tmp_path, capture_output=True, check=False
    )
    if installed.returncode:
        pytest.skip("the package openai cannot be installed by npm")
    (tmp_path / "client.js").write_text(SCRIPT % MODEL)
    address, _ = serve(["It is dry.", "It is dry.", '[get_weather(city="Oruro")]', "Dry.", "Hello."])
    done = subprocess.run(
        [node, "client.js", f"{address}/v1", KEY],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.strip() == "all is well", done.stderr
