"""When a question stands alone, and what becomes of the model's rewriting of one that does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from langchain_core.messages import AIMessage

from llama_bedrock.agents.rag.rag_prompt import (
    Query,
    follow_up_messages,
    passage_budget,
    read_query,
    read_rewrite,
    stands_alone,
    stop_reason_of,
)
from llama_bedrock.prompts.passages import parse_follow_up
from llama_bedrock.usage import estimate_tokens

ALONE = [
    "How many parameters does Llama 3.3 have?",
    "What is the context window of Llama 4 Scout?",
    "Is there a limit on the number of images per request?",
    "Which models that support tools can be called in Europe?",
    "List the regions of Llama 3.1 405B.",
    "Explain prompt caching on Bedrock",
]
NOT_ALONE = [
    "What does it cost?",
    "And in Europe?",
    "Why?",
    "What about Llama 4?",
    "How does that work?",
    "What is that model called?",
    "Tell me more",
    "Can they read images?",
    "Which of those is the cheapest?",
    "Thanks! Now in French please",
    "And what is its context window?",
    "Und in Europa?",
    "Quel est le prix ?",
    "価格は?",
    "cost",
]


@pytest.mark.parametrize("question", ALONE)
def test_complete_questions_stand_alone(question):
    assert stands_alone(question)


@pytest.mark.parametrize("question", NOT_ALONE)
def test_questions_that_lean_on_the_conversation_do_not(question):
    assert not stands_alone(question)


HISTORY = (("User", "What is Llama 3.3?"), ("Assistant", "A text model."))


@pytest.mark.parametrize(
    ("reply", "question"),
    [
        ("What does Llama 3.3 cost?", "What does Llama 3.3 cost?"),
        ('Standalone question: "What does Llama 3.3 cost?"', "What does Llama 3.3 cost?"),
        ("The rewritten question is: What does Llama 3.3 cost?", "What does Llama 3.3 cost?"),
        ("  \n", "What is Llama 3.3? What does it cost?"),
        ("Sure, glad to be of help!", "What is Llama 3.3? What does it cost?"),
        ("Llama " * 500, "What is Llama 3.3? What does it cost?"),
    ],
)
def test_rewrites_are_read_or_replaced(reply, question):
    assert read_rewrite(reply, Query("What does it cost?", HISTORY)) == question


def test_a_rewrite_without_earlier_questions_falls_back_to_the_question():
    assert read_rewrite("", Query("What does it cost?", (("Assistant", "Hello!"),))) == "What does it cost?"


def test_of_a_long_conversation_the_last_turns_are_shown_and_long_ones_cut():
    history = [("User" if i % 2 == 0 else "Assistant", f"turn {i} " + "word " * 2_000) for i in range(60)]
    prompt = follow_up_messages(Query("And it?", tuple(history)), estimate_tokens)[1].text
    assert estimate_tokens(prompt) < 3_000
    turns, question = parse_follow_up(prompt)
    assert question == "And it?"
    assert turns[-1][1].startswith("turn 59 ")
    assert 2 <= len(turns) < 20


def test_tool_turns_and_empty_turns_are_no_history():
    query = read_query(
        {
            "question": "And it?",
            "chat_history": [
                ("system", "rules"),
                ("user", "Hi"),
                AIMessage("", tool_calls=[{"name": "f", "args": {}, "id": "1"}]),
                {"role": "tool", "content": "x", "tool_call_id": "1"},
                ("ai", "Hello"),
            ],
        }
    )
    assert query.history == (("User", "Hi"), ("Assistant", "Hello"))


@pytest.mark.parametrize(
    "value",
    [
        {"question": "And it?", "input": "Or this?"},
        {"question": "And it?", "chat_history": [("user", "Hi")], "history": [("user", "Ho")]},
    ],
)
def test_of_two_names_of_one_part_none_is_dropped(value):
    with pytest.raises(ValueError, match="give one of them"):
        read_query(value)


@pytest.mark.parametrize("key", ["filter", "k", "user_id", "search_kwargs"])
def test_what_narrows_a_search_is_not_dropped(key):
    with pytest.raises(ValueError, match=f"takes no '{key}': it is a setting of the retriever"):
        read_query({"question": "And it?", key: {"tenant": "a"}})


@pytest.mark.parametrize(
    ("value", "history"),
    [
        ({"input": "And it?", "history": [("user", "Hi")]}, (("User", "Hi"),)),
        ({"messages": [("user", "And it?")], "chat_history": [("user", "Hi")]}, (("User", "Hi"),)),
        ({"question": "And it?", "context": "of another step of a chain"}, ()),
        ({"question": "And it?", "messages": [("user", "Hi"), ("user", "And it?")]}, (("User", "Hi"),)),
        ({"question": "And it?", "input": "And it?", "chat_history": []}, ()),
        ({"question": "And it?", "chat_history": "Hi"}, TypeError),
        ({"messages": "And it?"}, TypeError),
        ({"question": "And it?", "chat_histroy": []}, ValueError),
        ({"question": "And it?", "chathistory": []}, ValueError),
    ],
)
def test_a_history_is_read_or_refused_wherever_it_stands(value, history):
    if isinstance(history, type):
        with pytest.raises(history, match=r"not str|did you mean 'chat_history'"):
            read_query(value)
    else:
        query = read_query(value)
        assert (query.question, query.history) == ("And it?", history)


def test_the_budget_follows_the_profile_and_the_answer():
    model = SimpleNamespace(profile={"max_input_tokens": 100_000}, max_tokens=2_000)
    large = passage_budget(model, "Why?", None, estimate_tokens)
    assert 87_000 < large < 88_200
    model.max_tokens = None
    assert passage_budget(model, "Why?", None, estimate_tokens) > large
    assert 5_500 < passage_budget(object(), "Why?", None, estimate_tokens) < 6_500  # no profile: 8,192


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"stop_reason": "length"}, "length"),
        ({"stop_reason": "max_tokens"}, "length"),
        ({"finish_reason": "stop"}, "stop"),
        ({"stopReason": "end_turn"}, "stop"),
        ({}, None),
    ],
)
def test_stop_reasons_of_other_providers_are_understood(metadata, reason):
    assert stop_reason_of(AIMessage("x", response_metadata=metadata)) == reason
