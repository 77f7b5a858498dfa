"""Prompts byte by byte: Meta's published examples for each generation."""

from __future__ import annotations

import base64
import io

import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.prompts.render import RenderedPrompt, render

HELPFUL = "You are a helpful assistant"
JEOPARDY = "Answer who are you in the form of jeopardy?"


def prompt(messages, prompt_format, **options) -> str:
    return render(build_conversation(messages), prompt_format, **options).text


def png(width: int = 4, height: int = 4) -> str:
    out = io.BytesIO()
    Image.new("RGB", (width, height), "red").save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def image_block(**size):
    return {"type": "image", "base64": png(**size), "mime_type": "image/png"}


# meta-llama/llama-models: llama3_1/prompt_format.md, llama3_2/{text,vision}_prompt_format.md,
# llama3_3/prompt_format.md and llama4/prompt_format.md, section "User and assistant conversation".
LLAMA3_EXAMPLE = (
    "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nYou are a helpful assistant<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\nAnswer who are you in the form of jeopardy?<|eot_id|>"
    "<|start_header_id|>assistant<|end_header_id|>\n\n"
)
LLAMA4_EXAMPLE = (
    "<|begin_of_text|><|header_start|>system<|header_end|>\n\nYou are a helpful assistant<|eot|>"
    "<|header_start|>user<|header_end|>\n\nAnswer who are you in the form of jeopardy?<|eot|>"
    "<|header_start|>assistant<|header_end|>\n\n"
)


@pytest.mark.parametrize(
    ("prompt_format", "expected"),
    [
        ("llama3", LLAMA3_EXAMPLE),
        ("llama3.1", LLAMA3_EXAMPLE),
        ("llama3.2", LLAMA3_EXAMPLE),
        ("llama3.3", LLAMA3_EXAMPLE),
        ("llama4", LLAMA4_EXAMPLE),
    ],
)
def test_system_and_user_is_metas_example(prompt_format, expected):
    assert prompt([SystemMessage(HELPFUL), HumanMessage(JEOPARDY)], prompt_format) == expected


@pytest.mark.parametrize("prompt_format", ["llama3", "llama3.1", "llama3.2", "llama3.3"])
def test_user_alone_is_the_prompt_at_the_top_of_bedrocks_parameter_page(prompt_format):
    assert prompt([HumanMessage("Who are you?")], prompt_format) == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nWho are you?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_llama31_tools_in_a_first_user_message_stay_a_turn_of_their_own():
    """llama3_1/prompt_format.md, "JSON based tool calling": two user turns in a row, text untrimmed."""
    environment = (
        "Environment: ipython\n\nCutting Knowledge Date: December 2023\n\nYou are a helpful assistant.\n"
    )
    functions = 'Here is a list of functions in JSON format:\n{\n    "type": "function"\n}\n'
    question = "Use tools to get latest trending songs"
    assert prompt(
        [SystemMessage(environment), HumanMessage(functions), HumanMessage(question)], "llama3.1"
    ) == (
        f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{environment}<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{functions}<|eot_id|>"
        f"<|start_header_id|>user<|end_header_id|>\n\n{question}<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_llama32_tool_round_trip_is_metas_end_to_end_example_without_the_optional_python_tag():
    """llama3_2/text_prompt_format.md, "Zero shot function calling E2E format"."""
    call = {"name": "get_weather", "args": {"city": "San Francisco", "metric": "celsius"}, "id": "1"}
    messages = [
        HumanMessage("What is the weather in SF?"),
        AIMessage("", tool_calls=[call]),
        ToolMessage('"25 C"', tool_call_id="1", name="get_weather"),
    ]
    assert prompt(messages, "llama3.2", tool_instructions="FUNCTIONS") == (
        "<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\nFUNCTIONS<|eot_id|>"
        "<|start_header_id|>user<|end_header_id|>\n\nWhat is the weather in SF?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
        '[get_weather(city="San Francisco", metric="celsius")]<|eot_id|>'
        '<|start_header_id|>ipython<|end_header_id|>\n\n"25 C"<|eot_id|>'
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )


def test_llama4_calls_and_results_end_the_turn():
    """llama4/prompt_format.md, "Zero shot function calling": the call ends in <|eot|>."""
    calls = [
        {"name": "get_weather", "args": {"city": "San Francisco"}, "id": "1"},
        {"name": "get_weather", "args": {"city": "Seattle"}, "id": "2"},
    ]
    messages = [
        HumanMessage("What is the weather in SF and Seattle?"),
        AIMessage("", tool_calls=calls),
        ToolMessage("sunny", tool_call_id="1"),
        ToolMessage("rain", tool_call_id="2"),
    ]
    assert prompt(messages, "llama4") == (
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\nWhat is the weather in SF and Seattle?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n"
        '[get_weather(city="San Francisco"), get_weather(city="Seattle")]<|eot|>'
        "<|header_start|>ipython<|header_end|>\n\nsunny<|eot|>"
        "<|header_start|>ipython<|header_end|>\n\nrain<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n"
    )


def test_llama32_vision_is_metas_example():
    """llama3_2/vision_prompt_format.md, "User and assistant conversation with Images"."""
    data = png()
    message = HumanMessage(
        [
            {"type": "image", "base64": data, "mime_type": "image/png"},
            {"type": "text", "text": "Describe this image in two sentences"},
        ]
    )
    assert render(build_conversation([message]), "llama3.2", vision=True) == RenderedPrompt(
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        "<|image|>Describe this image in two sentences<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n",
        (data,),
    )


def test_llama4_vision_puts_the_image_after_the_header():
    message = HumanMessage([image_block(), "What is it?"])
    assert render(build_conversation([message]), "llama4", vision=True).text == (
        "<|begin_of_text|><|header_start|>user<|header_end|>\n\n<|image|>What is it?<|eot|>"
        "<|header_start|>assistant<|header_end|>\n\n"
    )


@pytest.mark.parametrize("prompt_format", ["llama3", "llama3.1", "llama3.2", "llama4"])
def test_base_models_get_raw_text_after_the_begin_token(prompt_format):
    text = "Color of sky is blue but sometimes can also be"
    assert prompt([HumanMessage(text)], prompt_format, base=True) == f"<|begin_of_text|>{text}"


def test_base_vision_is_metas_example():
    message = HumanMessage([image_block(), "If I had to write a haiku for this one"])
    assert prompt([message], "llama3.2", base=True, vision=True) == (
        "<|begin_of_text|><|image|>If I had to write a haiku for this one"
    )


def test_llama2_dialog_is_what_metas_chat_completion_builds():
    messages = [
        SystemMessage("Always answer with Haiku"),
        HumanMessage("  I am going to Paris, what should I see? "),
        AIMessage(" The Eiffel Tower\n"),
        HumanMessage("What is so great about it?"),
    ]
    assert prompt(messages, "llama2") == (
        "<s>[INST] <<SYS>>\nAlways answer with Haiku\n<</SYS>>\n\n"
        "I am going to Paris, what should I see? [/INST]"
        " The Eiffel Tower </s><s>[INST] What is so great about it? [/INST]"
    )


def test_llama2_without_system_has_no_system_block():
    assert prompt([HumanMessage("Hi")], "llama2") == "<s>[INST] Hi [/INST]"


def test_llama2_base_is_text_after_the_begin_token():
    assert prompt([HumanMessage("Once")], "llama2", base=True) == "<s>Once"
