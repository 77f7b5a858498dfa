"""What LangChain allows and Llama's formats do not say: one test per rule of `conversation`, `render` and
`llama2`."""

from __future__ import annotations

import base64
import io

import pytest
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    HumanMessageChunk,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)
from PIL import Image

from llama_bedrock.prompts.conversation import Conversation, build_conversation
from llama_bedrock.prompts.render import render


def turns(messages, **options) -> list[tuple[str, str]]:
    return [(turn.role, turn.text) for turn in build_conversation(messages, **options).turns]


def prompt(messages, prompt_format="llama3.3", **options) -> str:
    return render(build_conversation(messages), prompt_format, **options).text


def call(name, call_id, **args):
    return {"name": name, "args": args, "id": call_id, "type": "tool_call"}


def png_block():
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    return {"type": "image", "base64": base64.b64encode(out.getvalue()).decode(), "mime_type": "image/png"}


def test_consecutive_messages_of_a_role_stay_turns_and_leading_system_messages_are_joined():
    messages = [
        SystemMessage("one"),
        SystemMessage("two"),
        SystemMessage("three"),
        HumanMessage("a"),
        HumanMessage("b"),
        AIMessage("c"),
        AIMessage("d"),
        HumanMessage("e"),
    ]
    assert turns(messages) == [
        ("system", "one\n\ntwo\n\nthree"),
        ("user", "a"),
        ("user", "b"),
        ("assistant", "c"),
        ("assistant", "d"),
        ("user", "e"),
    ]


def test_a_system_message_further_down_stays_where_it_is():
    assert turns([HumanMessage("a"), SystemMessage("be brief"), HumanMessage("b")]) == [
        ("user", "a"),
        ("system", "be brief"),
        ("user", "b"),
    ]


def test_an_empty_message_is_an_empty_turn():
    assert turns([HumanMessage(""), AIMessage([]), HumanMessage("x")]) == [
        ("user", ""),
        ("assistant", ""),
        ("user", "x"),
    ]


def test_the_name_of_a_human_is_written_before_the_text_and_other_names_are_not():
    messages = [SystemMessage("s", name="x"), HumanMessage("hi", name="Ann"), AIMessage("yes", name="bot")]
    assert turns(messages) == [("system", "s"), ("user", "Ann: hi"), ("assistant", "yes")]


def test_a_trailing_assistant_message_is_continued_without_its_end_token():
    text = prompt([HumanMessage("List three."), AIMessage("1. one\n2. ")])
    assert text.endswith("<|start_header_id|>assistant<|end_header_id|>\n\n1. one\n2. ")
    assert text.count("assistant") == 1


def test_an_empty_trailing_assistant_message_is_the_plain_prompt():
    assert prompt([HumanMessage("x"), AIMessage("")]) == prompt([HumanMessage("x")])


def test_only_the_last_of_two_trailing_assistant_messages_is_continued():
    assert prompt([HumanMessage("x"), AIMessage("a"), AIMessage("b")]).endswith(
        "assistant<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nb"
    )


def test_a_prefill_begins_the_turn_after_what_a_trailing_message_said():
    assert prompt([HumanMessage("x")], prefill="[f(").endswith("assistant<|end_header_id|>\n\n[f(")
    begun = prompt([HumanMessage("x"), AIMessage("ok ")], prefill="[f(")
    assert begun.endswith("assistant<|end_header_id|>\n\nok [f(")


def test_a_trailing_turn_with_calls_is_complete():
    text = prompt([HumanMessage("x"), AIMessage("", tool_calls=[call("f", "1")])])
    assert text.endswith("[f()]<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n")


def test_calls_follow_the_text_of_their_turn_on_a_new_line():
    message = AIMessage("Let me look.", tool_calls=[call("f", "1", a=1), call("g", "2")])
    assert turns([HumanMessage("x"), message])[1] == ("assistant", "Let me look.\n[f(a=1), g()]")
    assert turns([message], dialect="json") == [
        ("assistant", 'Let me look.\n{"name": "f", "parameters": {"a": 1}}\n{"name": "g", "parameters": {}}')
    ]


def test_a_call_that_could_not_be_read_is_shown_as_the_model_wrote_it():
    invalid = {"name": "f", "args": "a=1,,", "id": "1", "error": "bad", "type": "invalid_tool_call"}
    assert turns([AIMessage("", invalid_tool_calls=[invalid])]) == [("assistant", "f(a=1,,)")]


def test_tool_use_blocks_count_once_with_the_calls_of_the_message():
    block = {"type": "tool_use", "id": "1", "name": "f", "input": {"a": 1}}
    both = AIMessage([{"type": "text", "text": "some text"}, block], tool_calls=[call("f", "1", a=1)])
    only_block = AIMessage([block])
    assert turns([both]) == [("assistant", "some text\n[f(a=1)]")]
    assert turns([only_block]) == [("assistant", "[f(a=1)]")]


def test_results_come_in_the_order_of_their_calls_and_orphans_after_them():
    messages = [
        AIMessage("", tool_calls=[call("f", "1"), call("g", "2")]),
        ToolMessage("orphan", tool_call_id="9"),
        ToolMessage("second", tool_call_id="2"),
        ToolMessage("first", tool_call_id="1"),
        HumanMessage("thanks"),
        ToolMessage("late", tool_call_id="1"),
    ]
    assert turns(messages)[1:] == [
        ("tool", "first"),
        ("tool", "second"),
        ("tool", "orphan"),
        ("user", "thanks"),
        ("tool", "late"),
    ]


def test_a_failed_result_says_so_with_the_name_of_its_tool_even_where_the_result_has_none():
    messages = [
        AIMessage("", tool_calls=[call("f", "1")]),
        ToolMessage("no such city", tool_call_id="1", status="error"),
    ]
    assert turns(messages)[1] == ("tool", "Error from f: no such city")


def test_a_tool_result_of_objects_is_json_not_a_repr():
    result = ToolMessage([{"city": "Köln", "ok": True}, "plain", {"json": {"n": 1}}], tool_call_id="1")
    assert turns([result]) == [("tool", '{"city": "Köln", "ok": true}plain{"n": 1}')]


def test_an_anthropic_tool_result_is_a_tool_turn_before_the_rest_of_its_message():
    messages = [
        AIMessage([{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
        HumanMessage(
            [
                {"type": "tool_result", "tool_use_id": "1", "content": [{"type": "text", "text": "green"}]},
                {"type": "text", "text": "and now?"},
            ]
        ),
        HumanMessage([{"type": "tool_result", "tool_use_id": "2", "content": "gone", "is_error": True}]),
    ]
    assert turns(messages) == [
        ("assistant", "[f()]"),
        ("tool", "green"),
        ("user", "and now?"),
        ("tool", "Error: gone"),
    ]


def test_images_of_tools_follow_the_results_in_a_user_turn_that_says_so():
    messages = [
        HumanMessage("draw"),
        AIMessage("", tool_calls=[call("plot", "1"), call("photo", "2")]),
        ToolMessage([png_block(), png_block()], tool_call_id="1"),
        ToolMessage(["a cat", png_block()], tool_call_id="2"),
        HumanMessage("nice"),
    ]
    conversation = build_conversation(messages)
    assert [(turn.role, len(turn.images), turn.text) for turn in conversation.turns[2:]] == [
        ("tool", 0, "2 images, shown in the next message"),
        ("tool", 0, "a cat"),
        ("user", 3, "Images returned by plot, photo."),
        ("user", 0, "nice"),
    ]
    rendered = render(conversation, "llama4", vision=True)
    assert len(rendered.images) == 3
    assert "user<|header_end|>\n\n<|image|><|image|><|image|>Images returned" in rendered.text


def test_images_stand_before_all_text_of_their_turn_in_order():
    first, second = png_block(), png_block()
    out = io.BytesIO()
    Image.new("RGB", (3, 3), "blue").save(out, "PNG")
    second["base64"] = base64.b64encode(out.getvalue()).decode()
    rendered = render(build_conversation([HumanMessage(["a", first, "b", second])]), "llama3.2", vision=True)
    assert "user<|end_header_id|>\n\n<|image|><|image|>ab<|eot_id|>" in rendered.text
    assert rendered.images == (first["base64"], second["base64"])


def test_an_image_in_a_system_message_is_refused():
    with pytest.raises(ValueError, match=r"message 1 .*human messages only"):
        build_conversation([SystemMessage([png_block()])])


def test_an_image_that_another_model_made_stands_as_a_note():
    assert turns([AIMessage(["Here: ", png_block()])]) == [("assistant", "Here: [image]")]


@pytest.mark.parametrize(
    ("prompt_format", "vision"), [("llama3.3", True), ("llama3.2", False), ("llama2", True)]
)
def test_an_image_for_a_text_model_is_refused_and_names_models_that_take_it(prompt_format, vision):
    with pytest.raises(ValueError, match=r"Llama 3\.2 11B and 90B, Llama 4"):
        render(build_conversation([HumanMessage([png_block()])]), prompt_format, vision=vision)


def test_tool_instructions_go_below_the_system_message_or_become_it():
    with_system = [SystemMessage("be kind"), HumanMessage("x")]
    below = prompt(with_system, tool_instructions="TOOLS")
    assert "system<|end_header_id|>\n\nbe kind\n\nTOOLS<|eot_id|>" in below
    assert prompt([HumanMessage("x")], tool_instructions="TOOLS").startswith(
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nTOOLS<|eot_id|>"
    )
    assert "\n\nTOOLS<|eot_id|>" in prompt([SystemMessage(""), HumanMessage("x")], tool_instructions="TOOLS")


@pytest.mark.parametrize(
    ("role", "turn"),
    [
        ("system", "system"),
        ("developer", "system"),
        ("user", "user"),
        ("Human", "user"),
        ("assistant", "assistant"),
    ],
)
def test_chat_messages_count_by_their_role(role, turn):
    assert turns([ChatMessage(role=role, content="x")]) == [(turn, "x")]


def test_chunks_and_function_messages_are_messages():
    function = FunctionMessage(name="f", content="c")
    messages = [HumanMessageChunk(content="a"), AIMessageChunk(content="b"), function]
    assert turns(messages) == [("user", "a"), ("assistant", "b"), ("tool", "c")]


@pytest.mark.parametrize(
    ("messages", "error", "says"),
    [
        ([], ValueError, "no messages"),
        ([HumanMessage("x"), ChatMessage(role="bard", content="y")], ValueError, "message 2 .*'bard'"),
        ([RemoveMessage(id="1")], ValueError, "message 1 .*'remove'"),
        ([("user", "x")], TypeError, "message 1 is a tuple"),
    ],
)
def test_what_is_no_conversation_is_refused_by_its_place(messages, error, says):
    with pytest.raises(error, match=says):
        build_conversation(messages)


def test_no_turns_and_unknown_formats_are_refused():
    with pytest.raises(ValueError, match="no turns"):
        render(Conversation(()), "llama3")
    with pytest.raises(ValueError, match="unknown prompt_format 'llama5'; known: 'llama2', 'llama3'"):
        render(build_conversation([HumanMessage("x")]), "llama5")


def test_llama2_folds_system_messages_and_merges_neighbours():
    messages = [
        SystemMessage("one"),
        HumanMessage("a"),
        HumanMessage("b"),
        SystemMessage("two"),
        AIMessage("c"),
        AIMessage(""),
        AIMessage("d"),
        HumanMessage("e"),
    ]
    assert prompt(messages, "llama2") == (
        "<s>[INST] <<SYS>>\none\n\ntwo\n<</SYS>>\n\na\n\nb [/INST] c\n\nd </s><s>[INST] e [/INST]"
    )


def test_llama2_continues_a_trailing_answer_and_a_prefill():
    assert prompt([HumanMessage("a"), AIMessage(" so far ")], "llama2") == "<s>[INST] a [/INST] so far"
    assert prompt([HumanMessage("a")], "llama2", prefill='{"x":') == '<s>[INST] a [/INST] {"x":'
    assert prompt([HumanMessage("a"), AIMessage("")], "llama2") == "<s>[INST] a [/INST]"


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ([SystemMessage("s")], "there is none"),
        ([AIMessage("hello"), HumanMessage("x")], "assistant's"),
        ([HumanMessage("x"), AIMessage("", tool_calls=[call("f", "1")])], "know no tools"),
        ([HumanMessage("x"), ToolMessage("r", tool_call_id="1")], "know no tools"),
    ],
)
def test_llama2_refuses_what_it_cannot_say(messages, says):
    with pytest.raises(ValueError, match=says):
        prompt(messages, "llama2")


@pytest.mark.parametrize("options", [{"base": True}, {"prompt_format": "llama2"}])
def test_tools_for_models_without_tools_are_refused(options):
    with pytest.raises(ValueError, match="know no tools"):
        prompt([HumanMessage("x")], **{"prompt_format": "llama3", **options}, tool_instructions="TOOLS")


def test_base_models_join_turns_with_a_blank_line_and_refuse_tool_turns():
    assert prompt([HumanMessage("a"), AIMessage("b")], "llama3.1", base=True) == "<|begin_of_text|>a\n\nb"
    with pytest.raises(ValueError, match="base models know no tools"):
        prompt([ToolMessage("r", tool_call_id="1")], "llama3.1", base=True)


def test_guardrail_tags_stand_around_the_text_of_user_turns_only():
    messages = [SystemMessage("s"), HumanMessage("a"), AIMessage("b"), HumanMessage("")]
    text = prompt(messages, guard_suffix="x1")
    tag = "amazon-bedrock-guardrails-guardContent_x1"
    assert f"user<|end_header_id|>\n\n<{tag}>a</{tag}><|eot_id|>" in text
    assert text.count(tag) == 2


def test_a_call_in_openais_form_before_there_were_tools():
    legacy = {"name": "population", "arguments": '{"city": "Lima"}'}
    message = AIMessage("", additional_kwargs={"function_call": legacy})
    result = FunctionMessage(name="population", content="10092000")
    assert (
        turns([HumanMessage("How many?"), message, result])[1:]
        == turns(
            [
                HumanMessage("How many?"),
                AIMessage("", tool_calls=[call("population", "1", city="Lima")]),
                result,
            ]
        )[1:]
    )
    with pytest.raises(ValueError, match=r"message 1 \(ai\) holds a tool call"):
        turns([AIMessage("", additional_kwargs={"function_call": {"name": "f", "arguments": "{"}})])
