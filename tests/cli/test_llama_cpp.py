"""`--engine` and the local endpoint against llama.cpp's own server, with a Llama of random weights written here."""

import asyncio
import subprocess
import sys

import pytest
from langchain_core.messages import HumanMessage
from typer.testing import CliRunner

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.cli.main import app
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.engines.openai_compatible import OpenAIEngine

pytestmark = pytest.mark.slow

SERVER = """
import sys, time, xllamacpp
settings = xllamacpp.CommonParams()
settings.model.path, settings.port, settings.hostnames = sys.argv[1], 0, ["127.0.0.1"]
settings.model_alias = {"llama3.2"}
settings.n_ctx, settings.n_parallel, settings.warmup, settings.cpuparams.n_threads = 2048, 1, False, 1
server = xllamacpp.Server(settings)
print("listening", server.listening_address, flush=True)
sys.stdin.read()  # until the test closes it
"""


def write_llama(path):
    """Two layers of random weights; its tokens are the bytes, the letters, and Llama 3's control tokens."""
    import gguf
    import numpy

    kind = gguf.TokenType
    control = ["<|begin_of_text|>", "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>"]
    vocabulary = [("<unk>", kind.UNKNOWN), *((f"<0x{byte:02X}>", kind.BYTE) for byte in range(256))]
    vocabulary += [*((token, kind.CONTROL) for token in control)]
    vocabulary += [(chr(letter), kind.NORMAL) for letter in range(ord("a"), ord("z") + 1)]
    width, inner, heads, layers = 64, 128, 4, 2
    file = gguf.GGUFWriter(path, "llama")
    file.add_context_length(2048)
    file.add_embedding_length(width)
    file.add_block_count(layers)
    file.add_feed_forward_length(inner)
    file.add_head_count(heads)
    file.add_head_count_kv(heads)
    file.add_layer_norm_rms_eps(1e-5)
    file.add_rope_dimension_count(width // heads)
    file.add_vocab_size(len(vocabulary))
    file.add_tokenizer_model("llama")
    file.add_token_list([token for token, _ in vocabulary])
    file.add_token_scores([0.0 if of != kind.NORMAL else -1.0 for _, of in vocabulary])
    file.add_token_types([int(of) for _, of in vocabulary])
    file.add_bos_token_id(257)
    file.add_eos_token_id(258)
    file.add_add_bos_token(True)
    file.add_add_space_prefix(False)
    numbers = numpy.random.default_rng(7)

    def weights(name, *shape):
        file.add_tensor(name, (numbers.standard_normal(shape) * 0.2).astype(numpy.float32))

    weights("token_embd.weight", len(vocabulary), width)
    weights("output.weight", len(vocabulary), width)
    file.add_tensor("output_norm.weight", numpy.ones(width, dtype=numpy.float32))
    for layer in range(layers):
        for norm in ("attn_norm", "ffn_norm"):
            file.add_tensor(f"blk.{layer}.{norm}.weight", numpy.ones(width, dtype=numpy.float32))
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights(f"blk.{layer}.{name}.weight", width, width)
        weights(f"blk.{layer}.ffn_gate.weight", inner, width)
        weights(f"blk.{layer}.ffn_up.weight", inner, width)
        weights(f"blk.{layer}.ffn_down.weight", width, inner)
    file.write_header_to_file()
    file.write_kv_data_to_file()
    file.write_tensors_to_file()
    file.close()


@pytest.fixture(scope="module")
def llama_cpp(tmp_path_factory):
    """The address of the server."""
    pytest.importorskip("gguf")
    pytest.importorskip("xllamacpp")
    model = tmp_path_factory.mktemp("gguf") / "tiny.gguf"
    write_llama(model)
    command = [sys.executable, "-c", SERVER, str(model)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, text=True, **pipes) as server:
        told = next(line for line in server.stdout if line.startswith("listening"))
        yield f"{told.split()[1]}/v1"
        server.stdin.close()


@pytest.fixture
def llm(llama_cpp):
    """A chat model that the server answers, by way of Bedrock's wire."""
    with LocalBedrock(engine=OpenAIEngine(llama_cpp)) as server:
        yield ChatLlamaBedrock(
            model="meta.llama3-2-1b-instruct-v1:0",
            region_name="us-east-1",
            endpoint_url=server.endpoint_url,
            aws_access_key_id="x",
            aws_secret_access_key="x",
            temperature=0.0,
        )


def test_usage_is_that_of_its_tokenizer_with_one_token_at_the_beginning(llm):
    prompt = llm.render_prompt("hello").text
    rest = prompt.replace("<|begin_of_text|>", "B").replace("<|start_header_id|>", "S")
    rest = rest.replace("<|end_header_id|>", "E").replace(
        "<|eot_id|>", "T"
    )  # a token each, as every other byte
    answer = llm.invoke("hello", max_tokens=5)
    assert answer.usage_metadata["input_tokens"] == len(rest.encode())
    assert answer.usage_metadata["output_tokens"] == 5
    assert answer.response_metadata["stop_reason"] == "length"


def test_a_stream_is_the_answer_and_its_usage(llm):
    whole = llm.invoke("hello", max_tokens=12)
    chunks = list(llm.stream("hello", max_tokens=12))
    assert "".join(chunk.text for chunk in chunks) == whole.text
    assert len(chunks) > 3
    assert sum((chunk.usage_metadata or {}).get("output_tokens", 0) for chunk in chunks) == 12


def test_a_stop_string_ends_the_answer(llm):
    text = llm.invoke("hello", max_tokens=40).text
    stop = next(sign for sign in text[5:] if sign not in text[:5] and sign != "\N{REPLACEMENT CHARACTER}")
    answer = llm.invoke("hello", max_tokens=40, stop=[stop])
    assert answer.text == text[: text.index(stop)]


async def test_a_reader_that_goes_frees_the_server(llm):
    async for _ in llm.astream([HumanMessage("hello")], max_tokens=1500):
        break
    async with asyncio.timeout(60):  # one slot: it would wait for the 1,500 tokens
        assert (await llm.ainvoke("hello", max_tokens=2)).usage_metadata["output_tokens"] == 2


def test_chat_answers_by_it(llama_cpp):
    command = ["chat", "--engine", f"openai:{llama_cpp}#llama3.2", "--max-tokens", "8"]
    result = CliRunner().invoke(app, command, input="hello\n")
    assert result.exit_code == 0, result.output
    assert result.stdout.strip()
    assert "Traceback" not in result.stderr
