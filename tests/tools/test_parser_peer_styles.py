"""Answers in the style of the parser suites of vLLM, SGLang and llama.cpp: whole, and at every split."""

import pytest
from parsing import read, splits, tool

TOOLS = (
    tool("forecast", place="string", scale="string"),
    tool(
        "add_member",
        name="string",
        age="integer",
        home="object",
        rank={"type": ["string", "null"]},
        active="boolean",
        nicknames={"type": "array", "items": {"type": "string"}},
    ),
    tool("lookup", query="string", limit="integer", nested="object"),
    tool("listOpenTickets"),
    tool("run", options="object", steps="array"),
    tool("python", code="string"),
)
LIMA = ("forecast", {"place": "Lima", "scale": "C"})
MEMBER = ("add_member", {"name": "Ana", "age": 9})
TICKETS = ("listOpenTickets", {})
WHOLE_MEMBER = (
    "add_member",
    {
        "name": "Ana",
        "age": 9,
        "home": {"city": "Lima", "code": "15001"},
        "rank": None,
        "active": True,
        "nicknames": ["A", "Anita"],
    },
)
DEEP = {"a": {"b": {"c": {"d": {"value": "deep"}}}}}

ANSWERS = [
    # pythonic, vLLM's and SGLang's
    ("[forecast(place='Lima', scale='C')]", [LIMA], ""),
    ("[forecast(place='Lima',scale='C'),add_member(name='Ana',age=9)]", [LIMA, MEMBER], ""),
    (
        "[add_member(name='Ana', age=9, home={'city': 'Lima', 'code': '15001'}, rank=None, active=True, "
        "nicknames=['A', 'Anita'])]",
        [WHOLE_MEMBER],
        "",
    ),
    ("[listOpenTickets()]", [TICKETS], ""),
    ("[run(options={}), run(steps=[])]", [("run", {"options": {}}), ("run", {"steps": []})], ""),
    (
        r"""[forecast(place='St John\'s', scale='\"own\"')]""",
        [("forecast", {"place": "St John's", "scale": '"own"'})],
        "",
    ),
    ("[lookup(query='a, b=(1), [c]', limit=-3)]", [("lookup", {"query": "a, b=(1), [c]", "limit": -3})], ""),
    ("<|python_start|>[forecast(place='Lima', scale='C')]<|python_end|>", [LIMA], ""),
    (
        "<|python_start|>[forecast(place='Lima', scale='C'), listOpenTickets(), run(steps=[])]<|python_end|>",
        [LIMA, TICKETS, ("run", {"steps": []})],
        "",
    ),
    ("Let me see. [forecast(place='Lima', scale='C')]", [LIMA], "Let me see."),
    ("[forecast(place='Lima', scale='C')] one moment", [LIMA], "one moment"),
    ("How are you today?", [], "How are you today?"),
    ("The values [1, 2] and (a=1) are no calls.", [], "The values [1, 2] and (a=1) are no calls."),
    # JSON, vLLM's llama3_json and SGLang's
    (
        'Here it is: {"name": "listOpenTickets", "parameters": {}} Anything else?',
        [TICKETS],
        "Here it is:  Anything else?",
    ),
    (
        '{"name": "lookup", "arguments": {"query": "hay", "limit": 10}}',
        [("lookup", {"query": "hay", "limit": 10})],
        "",
    ),
    (
        '{"name": "lookup", "parameters": {"query": "a"}} ; {"name": "listOpenTickets", "parameters": {}} ; '
        '{"name": "lookup", "parameters": {"query": "b"}}',
        [("lookup", {"query": "a"}), TICKETS, ("lookup", {"query": "b"})],
        "",
    ),
    (
        'Results: {"name": "listOpenTickets", "parameters": {}}; {"name": "lookup", "parameters": '
        '{"query": "b"}} More?',
        [TICKETS, ("lookup", {"query": "b"})],
        "Results:   More?",
    ),
    (
        '{"name": "lookup", "parameters": {"nested": {"a": {"b": {"c": {"d": {"value": "deep"}}}}}}}',
        [("lookup", {"nested": DEEP})],
        "",
    ),
    (
        '{"name": "lookup", "parameters": {"query": "x {y} [z]", "nested": {"in": "more {braces}"}}}',
        [("lookup", {"query": "x {y} [z]", "nested": {"in": "more {braces}"}})],
        "",
    ),
    (
        r'{"name": "lookup", "parameters": {"query": "She said \"Hi {all}\""}}',
        [("lookup", {"query": 'She said "Hi {all}"'})],
        "",
    ),
    (
        '<|python_tag|>{"name": "forecast", "parameters": {"place": "Lima", "scale": "C"}};'
        '{"name": "listOpenTickets", "parameters": {}}',
        [LIMA, TICKETS],
        "",
    ),
    # llama.cpp's
    (
        '{"type": "function", "name": "forecast", "parameters": {"place": "Lima", "scale": "C"}}',
        [LIMA],
        "",
    ),
    ('<|python_tag|>forecast.call(place="Lima", scale="C")', [LIMA], ""),
    ("<|python_tag|>print('hey')", [("python", {"code": "print('hey')"})], ""),
    ('<function=forecast>{"place": "Lima", "scale": "C"}</function>', [LIMA], ""),
    (
        'Well.\n<tool_call>\n{"name": "forecast", "arguments": {"place": "Lima", "scale": "C"}}\n</tool_call>',
        [LIMA],
        "Well.",
    ),
    ('```json\n{"name": "forecast", "arguments": {"place": "Lima", "scale": "C"}}\n```', [LIMA], ""),
]


@pytest.mark.parametrize(("text", "calls", "words"), ANSWERS)
def test_whole_and_at_every_split(text, calls, words):
    answer = read(text, TOOLS)
    assert answer.calls == calls
    assert not answer.invalid
    assert answer.text == words
    for pieces in splits(text):
        assert read(pieces, TOOLS) == answer


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "lookup", "parameters": {broken json}',
        "[lookup(query=)]",
        "[lookup(query='x')",
        '{"name": "lookup", "parameters": {"query": "x"',
    ],
)
def test_what_is_cut_is_reported_and_never_run(text):
    answer = read(text, TOOLS, stop="length")
    assert [name for name, _ in answer.invalid] + [name for name, _ in answer.calls] == ["lookup"]
    assert not answer.text
    assert not answer.calls or text.startswith("[lookup(query='x')")
    for pieces in splits(text):
        assert read(pieces, TOOLS, stop="length") == answer
