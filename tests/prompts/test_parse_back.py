"""A prompt reads back as the turns it was written from."""

from __future__ import annotations

import base64
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from PIL import Image

from llama_bedrock.prompts.conversation import build_conversation
from llama_bedrock.prompts.formats import FORMATS
from llama_bedrock.prompts.parse_back import ParsedTurn, parse_prompt
from llama_bedrock.prompts.render import render
from llama_bedrock.prompts.special_tokens import escape

HEADED = [name for name, generation in FORMATS.items() if generation.header]
SLOT = st.text(max_size=30) | st.sampled_from(["<|eot_id|>", "\n\nx", " y ", "[INST]", "</s>", "<|eot|>"])


@pytest.mark.parametrize("prompt_format", HEADED)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_parse_is_the_inverse_of_render(prompt_format, data):
    kinds = st.sampled_from([HumanMessage, AIMessage, ToolMessage, SystemMessage])
    drawn = data.draw(st.lists(st.tuples(kinds, SLOT), min_size=1, max_size=6))
    messages = [kind(text, tool_call_id="1") if kind is ToolMessage else kind(text) for kind, text in drawn]
    conversation = build_conversation(messages)
    rendered = render(conversation, prompt_format)
    expected = [(turn.role, escape(turn.text, prompt_format)) for turn in conversation.turns]
    if expected[-1][0] != "assistant":
        expected.append(("assistant", ""))
    for hint in (prompt_format, None):
        parsed = parse_prompt(rendered.text, hint)
        assert [(turn.role, turn.text) for turn in parsed] == expected
        assert [turn.is_open for turn in parsed] == [False] * (len(parsed) - 1) + [True]


@given(texts=st.lists(SLOT.map(str.strip).filter(bool), min_size=1, max_size=5), system=st.none() | SLOT)
@settings(max_examples=100, deadline=None)
def test_llama2_reads_back(texts, system):
    messages = [HumanMessage(text) if n % 2 == 0 else AIMessage(text) for n, text in enumerate(texts)]
    rendered = render(
        build_conversation(messages if system is None else [SystemMessage(system), *messages]), "llama2"
    )
    expected = [("user" if n % 2 == 0 else "assistant", escape(t, "llama2")) for n, t in enumerate(texts)]
    if len(texts) % 2:
        expected.append(("assistant", ""))
    parsed = parse_prompt(rendered.text)
    if system is not None:
        assert (parsed[0].role, parsed[0].text) == ("system", escape(system, "llama2"))
        parsed = parsed[1:]
    assert [(turn.role, turn.text) for turn in parsed] == expected
    assert parsed[-1].is_open


def test_images_are_counted_and_guardrail_tags_and_call_tags_taken_off():
    out = io.BytesIO()
    Image.new("RGB", (2, 2)).save(out, "PNG")
    block = {"type": "image", "base64": base64.b64encode(out.getvalue()).decode()}
    rendered = render(
        build_conversation([HumanMessage([block, block, "hi"])]), "llama3.2", vision=True, guard_suffix="a1"
    )
    assert parse_prompt(rendered.text)[0] == ParsedTurn("user", "hi", images=2)
    call = "<|start_header_id|>assistant<|end_header_id|>\n\n<|python_tag|>f.call(x=1)<|eom_id|>"
    assert parse_prompt(call) == [ParsedTurn("assistant", "f.call(x=1)")]


@pytest.mark.parametrize(
    ("text", "turns"),
    [
        # the template of langchain-aws: one newline after headers, newlines between turns
        (
            "<|begin_of_text|>\n<|start_header_id|>user<|end_header_id|>\nhi<|eot_id|>\n"
            "<|start_header_id|>assistant<|end_header_id|>",
            [("user", "hi"), ("assistant", "")],
        ),
        ("<|begin_of_text|>Once upon", [("text", "Once upon")]),
        ("<s>Once upon", [("text", "Once upon")]),
        ("plain", [("text", "plain")]),
        ("[INST] hi [/INST]", [("user", "hi"), ("assistant", "")]),
    ],
)
def test_prompts_of_other_clients_are_read_leniently(text, turns):
    parsed = parse_prompt(text)
    assert [(turn.role, turn.text) for turn in parsed] == turns
    assert parsed[-1].is_open


def test_an_empty_prompt_is_an_empty_open_text():
    assert parse_prompt("") == [ParsedTurn("text", "", is_open=True)]


def test_a_header_of_another_generation_in_a_users_text_does_not_decide_the_format():
    prompt = (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\n"
        "What is <|header_start|>user<|header_end|>?<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    turns = parse_prompt(prompt)
    assert [turn.role for turn in turns] == ["user", "assistant"]
    assert turns[0].text == "What is <|header_start|>user<|header_end|>?"
