"""The check against the window before a call, exact tokenizers, estimates corrected by the service."""

import asyncio
import base64
import warnings
from contextlib import suppress

import pytest
import tiktoken
from langchain_core.exceptions import ContextOverflowError

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock
from llama_bedrock.local import LocalBedrock
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.token_counter import ServiceCounts
from llama_bedrock.tokens import estimate_tokens

SMALL = "meta.llama3-8b-instruct-v1:0"  # 8,192 tokens
LONG = "Every word of this sentence is a token. " * 1_300  # about 11,700
FITTING = "Every word of this sentence is a token. " * 800
IMPORTED = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"


@pytest.fixture
def make(aws_credentials):
    engine = ScriptedEngine(["yes"] * 20)
    with LocalBedrock(engine=engine) as server:

        def made(cls=ChatLlamaBedrock, model=SMALL, **settings):
            settings.setdefault("region_name", "us-east-1")
            return cls(model=model, endpoint_url=server.endpoint_url, **settings)

        made.engine = engine
        yield made


WAYS = {
    "invoke": lambda llm, text: llm.invoke(text),
    "ainvoke": lambda llm, text: asyncio.run(llm.ainvoke(text)),
    "stream": lambda llm, text: list(llm.stream(text)),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("cls", [ChatLlamaBedrock, LlamaBedrock])
def test_what_surely_does_not_fit_is_not_sent(make, way, cls):
    with pytest.raises(ContextOverflowError, match="window") as caught:
        WAYS[way](make(cls), LONG)
    assert caught.value.limit == 8_192
    assert 9_000 < caught.value.requested < 14_000
    assert "An error occurred" not in str(caught.value)
    assert make.engine.requests == []
    WAYS[way](make(cls), FITTING)
    assert len(make.engine.requests) == 1


def test_a_warning_or_nothing_if_asked_for(make):
    with pytest.warns(UserWarning, match="8,192 of the model's window"), pytest.raises(ContextOverflowError):
        make(context_check="warn").invoke(LONG)  # the endpoint refuses it then
    llm = make(context_check="off")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        with pytest.raises(ContextOverflowError, match="An error occurred"):
            llm.invoke(LONG)
    with pytest.raises(ValueError, match="context_check"):
        make(context_check="maybe")


def test_the_window_of_an_imported_model_is_not_known_so_it_is_only_warned_about(make):
    llm = make(model=IMPORTED, prompt_format="llama3")
    with pytest.warns(UserWarning, match="smallest of its generation"), suppress(ContextOverflowError):
        llm.invoke(LONG)


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    """A tokenizer.model as Meta writes it, of single bytes and two words."""
    entries = [bytes([i]) for i in range(256)] + [b"ab", b" ab"]
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.model"
    path.write_text("".join(f"{base64.b64encode(e).decode()} {i}\n" for i, e in enumerate(entries)))
    return path


class Encoded:
    ids = (1, 2, 3)


def tokenizers():
    ranks = {bytes([i]): i for i in range(256)}
    encoding = tiktoken.Encoding(
        "bytes", pat_str=r"[\s\S]", mergeable_ranks=ranks, special_tokens={"<|eot_id|>": 256}
    )
    return {
        "tiktoken": (encoding, "four<|eot_id|>", 5),
        "function": (lambda text: [0] * len(text), "four", 4),
        "object with ids": (type("T", (), {"encode": lambda self, text: Encoded})(), "any", 3),
        "object with list": (type("T", (), {"encode": lambda self, text: [1, 2]})(), "any", 2),
    }


@pytest.mark.parametrize("kind", ["tiktoken", "function", "object with ids", "object with list"])
def test_an_exact_tokenizer_counts(make, kind):
    tokenizer, text, count = tokenizers()[kind]
    for cls in (ChatLlamaBedrock, LlamaBedrock):
        assert make(cls, tokenizer=tokenizer).get_num_tokens(text) == count
    assert len(make(tokenizer=tokenizer).get_token_ids(text)) == count


def test_metas_tokenizer_model_is_read(make, model_file, tmp_path):
    for path in (model_file, str(model_file)):
        llm = make(tokenizer=path)
        assert llm.get_num_tokens("ab abc<|eot_id|>") == 4  # "ab", " ab", "c" and the control token
    assert make(tokenizer=model_file).invoke("hi").content == "yes"
    with pytest.raises(ValueError, match="cannot be read"):
        make(tokenizer=str(tmp_path / "none"))
    for wrong in (b"\x0a\x0e\x0a\x05<unk>", b'{"no": "tokenizer"}'):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises((ValueError, ImportError), match=r"tokenizer"):
            make(tokenizer=str(tmp_path / "wrong"))
    with pytest.raises(ValueError, match="tokenizers or tiktoken"):
        make(tokenizer=7)


def test_an_exact_count_is_held_to_the_window_exactly(make):
    def words(text):
        return text.split()

    assert make(tokenizer=words).invoke("word " * 5_000).content == "yes"
    with pytest.raises(ContextOverflowError, match=r"has 8,2\d\d tokens") as caught:
        make(tokenizer=words).invoke("word " * 8_200)
    assert "about" not in str(caught.value)


def test_the_services_counts_correct_the_estimate_within_bounds(make):
    text = "Some text that the service counts in another way. " * 20
    counts = ServiceCounts()
    assert counts.correction(SMALL) == 1
    for _ in range(20):
        counts.note(SMALL, text, round(1.2 * estimate_tokens(text)))
    assert counts.correction(SMALL) == pytest.approx(1.2, abs=0.01)
    assert counts.correction("another") == 1
    counts.note("another", text, 1)
    assert counts.correction("another") == 0.75
    counts.note("short", "hi", 900)
    assert counts.correction("short") == 1

    llm = make()
    llm._counts.note(SMALL, text, round(1.3 * estimate_tokens(text)))
    assert llm.get_num_tokens(text) == pytest.approx(1.3 * estimate_tokens(text), rel=0.02)
    assert make().get_num_tokens(text) == estimate_tokens(text)
    llm.invoke(text)  # the endpoint counts as the estimate does
    assert llm.get_num_tokens(text) < 1.25 * estimate_tokens(text)
