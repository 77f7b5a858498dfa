"""ScriptedEngine: answers in order, errors as Bedrock's, requests kept."""

from __future__ import annotations

import threading

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.errors import BedrockThrottlingError
from llama_bedrock.local.engines.pieces import pieces
from llama_bedrock.testing import Engine, EngineError, EngineRequest, ScriptedEngine, StopReason


def ask(engine, prompt="hi"):
    return list(engine.generate(EngineRequest("meta.llama3-3-70b-instruct-v1:0", prompt)))


def test_texts_come_in_order_in_pieces_of_about_a_token():
    engine = ScriptedEngine(["one two, three", ""])
    assert ask(engine) == ["one", " two,", " three"]
    assert ask(engine) == []
    assert engine.remaining == 0


@pytest.mark.parametrize("text", ["", " ", "\n\n a  b\n", "x" * 50, "naïve — café 東京は晴れです", "a\tb "])
def test_pieces_joined_are_the_text(text):
    assert "".join(pieces(text)) == text
    assert all(len(piece.strip()) <= 8 for piece in pieces(text))


def test_requests_are_kept_in_the_order_they_came():
    engine = ScriptedEngine(["a", "b"])
    ask(engine, "first")
    ask(engine, "second")
    assert [request.prompt for request in engine.requests] == ["first", "second"]


def test_a_function_answers_from_the_request_and_may_give_any_kind_of_answer():
    engine = ScriptedEngine(
        [
            lambda r: r.prompt.upper(),
            lambda r: ["a", "b"],
            lambda r: EngineError("ThrottlingException", "slow down"),
        ]
    )
    assert engine.blocking
    assert ask(engine, "abc") == ["ABC"]
    assert ask(engine) == ["a", "b"]
    with pytest.raises(EngineError, match="slow down"):
        ask(engine)
    assert not ScriptedEngine(["x"]).blocking


def test_a_sequence_is_sent_as_given_and_may_stop_or_break():
    engine = ScriptedEngine(
        [["Hel", "lo", StopReason("length")], ["par", EngineError("ThrottlingException", "x")]]
    )
    assert ask(engine) == ["Hel", "lo", "length"]
    stream = engine.generate(EngineRequest("m", "p"))
    assert next(stream) == "par"
    with pytest.raises(EngineError):
        next(stream)


def test_an_error_raises_before_the_first_piece():
    engine = ScriptedEngine(
        [EngineError("ThrottlingException", "x"), [EngineError("ThrottlingException", "y")]]
    )
    for _ in range(2):
        with pytest.raises(EngineError):
            engine.generate(EngineRequest("m", "p"))


@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ThrottlingException", "Message": "Too many"}, "a": 1}, "InvokeModel"),
        BedrockThrottlingError(
            "Too many", response={"Error": {"Code": "ThrottlingException", "Message": "Too many"}, "a": 1}
        ),
    ],
)
def test_bedrock_errors_become_errors_of_the_wire(error):
    with pytest.raises(EngineError) as caught:
        ask(ScriptedEngine([error]))
    assert (caught.value.code, caught.value.message, caught.value.details) == (
        "ThrottlingException",
        "Too many",
        {"a": 1},
    )


def test_an_error_class_is_an_error_with_its_own_code():
    with pytest.raises(EngineError) as caught:
        ask(ScriptedEngine([BedrockThrottlingError]))
    assert caught.value.code == "ThrottlingException"


def test_any_other_error_is_raised_as_it_is():
    with pytest.raises(ZeroDivisionError):
        ask(ScriptedEngine([ZeroDivisionError("x")]))


def test_used_up_answers_are_an_error_that_says_so():
    engine = ScriptedEngine(["only"])
    ask(engine)
    with pytest.raises(EngineError, match="has 1 answers and this is request 2"):
        ask(engine)


def test_repeat_begins_again():
    engine = ScriptedEngine(["a", "b"], repeat=True)
    assert [ask(engine)[0] for _ in range(5)] == ["a", "b", "a", "b", "a"]


def test_one_text_instead_of_a_list_is_refused():
    with pytest.raises(TypeError, match=r"ScriptedEngine\(\[text\]\)"):
        ScriptedEngine("text")


@pytest.mark.parametrize("answer", [7, None, ["a", 7]])
def test_what_is_no_answer_is_a_type_error(answer):
    with pytest.raises(TypeError):
        ask(ScriptedEngine([answer]))


def test_each_of_many_threads_gets_its_own_answer():
    engine = ScriptedEngine([str(number) for number in range(64)])
    got = []
    threads = [threading.Thread(target=lambda: got.append(ask(engine)[0])) for _ in range(64)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(got, key=int) == [str(number) for number in range(64)]


def test_it_is_an_engine():
    assert isinstance(ScriptedEngine([]), Engine)
