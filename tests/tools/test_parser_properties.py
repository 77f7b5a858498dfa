"""What holds of any text whatever: no exception, no doubled time, and pieces make no difference."""

import ast
import contextlib
import json
import os
import random
import time

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from parsing import TOOLS, answer, read, tool

from llama_bedrock.prompts.formats import FORMATS
from llama_bedrock.prompts.parse_back import parse_prompt
from llama_bedrock.prompts.special_tokens import escape
from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.events import CallDelta, TextDelta
from llama_bedrock.tools.json_answer import JsonContent, ResponseFormat, unwrap
from llama_bedrock.tools.json_schema import violations
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.parser.values import parse_literal
from llama_bedrock.tools.rendering import render_calls

SEEDS = [
    '[get_weather(city="Paris"), add(a=1, b=2)]',
    '{"name": "add", "parameters": {"a": 1, "b": 2}}; {"name": "now", "parameters": {}}',
    '{"name": "search", "parameters {"query": "a \\"b\\" c", "tags": ["x", "y"]}}',
    '<function=search>{"query": "x", "filters": {"a": [1, {"b": null}]}}</function>',
    '<|python_tag|>search.call(query="x")<|eom_id|><|python_tag|>{"name": "now"}<|eot_id|>',
    'I look it up:\n```json\n{"name": "now", "parameters": {}}\n```\nand tell you.',
    "```python\nadd(a=1, b=2)\n```",
    "[search(query='it's \"so\"', filters={a=1, 'b': (1, 2)}, tags=[“x”])]",
    "The list [1, 2] and {x} and `add(a=1)` are text.\n[ ] get_weather(city)",
    '<tool_call>\n{"name": "add", "arguments": "{\\"a\\": 1}"}\n</tool_call>',
    "<|end_header_id|>\n\n[['get_weather', {'city': 'Paris'}], ('add', a=1, b=2), unknown(1, x)]",
    '"{\\"name\\": \\"add\\", \\"parameters\\": {\\"a\\": 1, \\"b\\": 2}}"',
    "`[now()]`assistant\n\n<tool_code>print(add(a=1, b=2))</tool_code><tool_call>",
]
FRAGMENTS = [
    *"[]{}()\"'`\\,;:=<>|/*#&+-.0a\n ",
    *("<|python_tag|>", "<|python_end|>", "<|eot_id|>", "<|eom_id|>", "<function=add>", "</function>"),
    *("<tool_call>", "```", "```json\n", "```python\n", '"""', "'''", '\\"', "\\\\", "\\u00", "\\ud83d"),
    *("&quot;", "“", "”"),
    *("add(", "now()", "get_weather", ".call(", "functions.", "city=", '"name": ', '"parameters": ', '"add"'),
    *(
        "assistant\n\n",
        "None",
        "true",
        "1e999",
        "NaN",
        "0x",
        "**",
        "//",
        "/*",
        "\x00",
        "\u2028",
        "é",
        "😀",
        "\ud800",
    ),
    *("You could ", "Here: ", "[]", '{"type": "function", ', 'r"', "f'"),
    *("<|start_header_id|>", "<|end_header_id|>", "assistant<|", "user<|", "[TOOL_CALLS]", "function=add>"),
    *("['add', {", "[add, a=", "print(", "x = ", '"{\\"', "<tool_code>", "\ufeff", "[unknown(1)]"),
]
PREFIXES = ["", "", "", "[", "[get_weather(", '{"name": "add", "parameters": {', '{"name": "']
STOPS = [None, "stop", "length"]


def mutate(chance: random.Random, seeds: list[str]) -> str:
    """Break a generation in a few places."""
    text = chance.choice(seeds)[:2000]
    for _ in range(chance.randint(1, 6)):
        at, to = sorted((chance.randint(0, len(text)), chance.randint(0, len(text))))
        text = chance.choice([
            text[:at] + text[at + chance.randint(1, 4) :],
            text[:at] + chance.choice(FRAGMENTS) + text[at:],
            text[:to] + text[at : at + 20] + text[to:],
            text[:to],
            text[:at] + chance.choice(seeds)[:80] + text[at:],
        ])  # fmt: skip
    return text


def pieces_of(chance: random.Random, text: str) -> list[str]:
    cuts = sorted(chance.randint(0, len(text)) for _ in range(chance.randint(0, 8)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def check(chance: random.Random, text: str) -> None:
    stop, prefix = chance.choice(STOPS), chance.choice(PREFIXES)
    tools = TOOLS if chance.random() < 0.9 else ()
    whole = read(text, tools, stop=stop, prefix=prefix)
    assert read(list(text), tools, stop=stop, prefix=prefix) == whole, (text, stop, prefix)
    assert read(pieces_of(chance, text), tools, stop=stop, prefix=prefix) == whole, (text, stop, prefix)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=25), st.randoms(use_true_random=False)
)
def test_random_text_whole_and_in_pieces(parts, chance):
    check(chance, "".join(parts))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.randoms(use_true_random=False))
def test_mutated_generations_whole_and_in_pieces(chance):
    check(chance, mutate(chance, SEEDS))


@pytest.mark.slow
@pytest.mark.timeout(0)
def test_mutated_generations_for_a_fixed_time(shared_data):
    """CI runs it for FUZZ_SECONDS; a million, each read whole and in pieces, takes some minutes."""
    lines = (shared_data / "toolcalls" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    seeds = SEEDS + [json.loads(line)["raw"] for line in lines]
    seed = int(os.environ.get("FUZZ_SEED", time.time_ns()))
    print(f"FUZZ_SEED={seed}")
    chance = random.Random(seed)
    until = time.monotonic() + float(os.environ.get("FUZZ_SECONDS", "15"))
    generations = 0
    while time.monotonic() < until:
        check(chance, mutate(chance, seeds))
        generations += 1
    print(f"{generations:,} generations")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=120, deadline=None)
@given(VALUES)
def test_whatever_python_writes_is_read_as_python_reads_it(value):
    assert parse_literal(repr(value)) == ast.literal_eval(repr(value)) == value


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.from_regex(r"[a-z][a-z0-9_-]{0,8}", fullmatch=True), VALUES, max_size=4))
def test_calls_that_were_rendered_are_read_back(args):
    for dialect in ("pythonic", "json"):
        text = render_calls([{"name": "f", "args": args, "id": "1"}] * 2, dialect)
        assert read(text, [tool("f")]).calls == [("f", args), ("f", args)]


@settings(max_examples=100, deadline=None)
@example("\nd and\nso on")
@given(st.text(st.characters(codec="utf-8"), max_size=200))
def test_text_with_nothing_to_decide_comes_out_at_once(text):
    """Save for the first word of a line, which may become the name of a call."""
    plain = "".join(char for char in text if char not in "[{<`")
    parser = ToolCallParser([tool("\u0001never")])
    words = "So: "
    parser.feed(words)
    for char in plain:
        words += char
        given = parser.feed(char)
        _, broken, line = words.rpartition("\n")
        begins_a_line = broken and len(line.split()) == 1 and line.strip().replace(".", "").isidentifier()
        assert char.isspace() or begins_a_line or any(isinstance(event, TextDelta) for event in given)


def test_arguments_are_reported_as_each_is_complete():
    parser = ToolCallParser(TOOLS)
    seen = [
        "".join(event.args for event in parser.feed(piece) if isinstance(event, CallDelta))
        for piece in ("[get_weather(", "days=", "3", ', city="Paris"', ", unit=", '"celsius"', ")]\n")
    ]
    assert seen == ["", "", "{", '"days": 3', ', "city": "Paris"', "", ', "unit": "celsius"}']


def test_a_call_is_announced_before_its_first_argument_is_complete():
    parser = ToolCallParser(TOOLS)
    [event] = parser.feed('[search(query="a very long text')
    assert (event.index, event.name, event.args) == (0, "search", "{")
    assert event.id.startswith("call_")


def test_nothing_is_reported_after_the_turn_has_ended():
    parser = ToolCallParser(TOOLS)
    events = [*parser.feed("It is noon.<|eot_id|>"), *parser.feed("[now()]"), *parser.close("stop")]
    assert parser.done
    assert answer(events).text == "It is noon."
    assert not answer(events).calls
    assert parser.close("stop") == []
    assert parser.feed("more") == []


ADVERSARIAL = [
    *(
        "[",
        "{",
        "(",
        '"',
        "'",
        "\\",
        "`",
        "<",
        '""',
        '"""',
        "[[",
        "[{",
        "\n",
        "\n\n",
        "&quot;",
        "“",
        "# ",
        "/* ",
    ),
    *("<|", "<|python_tag|>", "x<|eom_id|>", "<tool_call>", "<function=search>", "```", "functions.", "0"),
    *("[get_weather(", "get_weather(", "get_weather\n", '[get_weather(city="a")]\n', '[search(query="'),
    *('{"name": "\n\n', '{"name":"search","parameters":{"query":"', '{"parameters":{"query":"x"},', '["{\\"'),
    *(
        '```json\n{"name":"now"}',
        "[add(a=/*",
        "[add(a=1,b=x),",
        "You could [get_weather(",
        '[search(query="a"b',
    ),
    *('{"name":"search","parameters {"query":"x"}};', '<function=search>{"query": "'),
    '{"name": "search", "parameters": {"filters": {"a":',
    *("<|start_header_id|>", "['get_weather', {", "[[", "[get_weather, city=", "[now()]\n[add(a, "),
    *('"{\\"', "[TOOL_CALLS]", "`[now()]", "<|python_tag|>print(", "[unknown(1), ", "assistant<"),
]


def seconds(pieces: list[str] | str, stop: str) -> float:
    begin = time.process_time()
    read(pieces, stop=stop)
    return time.process_time() - begin


FAULTY = [
    *("[get_weather(x),", "[get_weather(city=x),", "get_weather(x)\n", "get_weather(city=x)\n", "[now();]"),
    *("[now()] and ", "[now()] then [get_weather(x)] and ", "[unknown(x), ", "[get_weather(city='a' + x), "),
    *('{"name": "now", "parameters": {"a": x}}; ', '<function=now>{"a": x}</function>', " and then"),
    '[get_weather(city="a" if x else "b"), ',
]


@pytest.mark.parametrize(
    "lead",
    [
        "",
        pytest.param("Hello. ", marks=pytest.mark.slow),
        pytest.param("[search(query='x', filters=", marks=pytest.mark.slow),
        pytest.param('{"name":"search","parameters":{"query":', marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("unit", ADVERSARIAL + FAULTY)
def test_time_grows_no_faster_than_the_text(unit, lead):
    """Four times the text takes about four times as long; a quadratic reader would take sixteen times."""
    size = 2_500
    text = lead + unit * (4 * size // len(unit))
    for whole, stop in ((True, "stop"), (False, "length" if lead else "stop")):
        small = text[: len(lead) + size]
        short = min(seconds(small if whole else list(small), stop) for _ in range(2))
        long = min(seconds(text if whole else list(text), stop) for _ in range(2))
        assert long < 6 * short + 0.05, (long, short)


NODE = {"type": "object", "properties": {"n": {"type": "integer"}, "in": {"$ref": "#/$defs/node"}}}
SCHEMAS = {
    "array of numbers": {"type": "array", "items": {"type": "integer"}},
    "array of choices": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "boolean"}]}},
    "array of lists": {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}},
    "array of nodes": {"type": "array", "items": {"$ref": "#/$defs/node"}, "$defs": {"node": NODE}},
    "object": {"type": "object", "additionalProperties": {"type": ["integer", "null"]}},
    "anything": {},
}
UNITS = [
    '"1", ',
    "[",
    "{",
    '{"n": "1", "in": {"n": 2}}, ',
    '"k": "7", ',
    "[[1], ",
    '"',
    "\\",
    '{"in": ',
    "x, ",
]


@pytest.mark.parametrize("name", SCHEMAS)
def test_reading_json_answers_grows_no_faster_than_the_text(name):
    def taken(unit: str, size: int) -> float:
        form = ResponseFormat("x", SCHEMAS[name])
        text = form.opening + unit * (size // len(unit))
        begin = time.process_time()
        for pieces in ([text], [text[at : at + 7] for at in range(0, len(text), 7)]):
            content = JsonContent(form, prefix=form.opening)
            written = "".join([content.feed(piece) for piece in pieces]) + content.close("stop")
        with contextlib.suppress(ValueError, RecursionError):
            value = json.loads(written)
            coerce(value, SCHEMAS[name])
            violations(value, SCHEMAS[name], SCHEMAS[name])
            unwrap(value, SCHEMAS[name])
        return time.process_time() - begin

    for unit in UNITS:
        # On a busy machine one measurement says little: two in three may be off.
        pairs = ((taken(unit, 8_000), taken(unit, 2_000)) for _ in range(3))
        assert any(long < 6 * short + 0.05 for long, short in pairs), unit


@pytest.mark.parametrize(
    "unit", ["<", "<|", "<|eot_id|>", "<|reserved_special_token_", "[INST]", "9", "<|vision_"]
)
def test_reading_control_tokens_grows_no_faster_than_the_text(unit):
    def taken(size: int) -> float:
        begin = time.process_time()
        for name in FORMATS:
            escape(unit * (size // len(unit)), name)
            parse_prompt(unit * (size // len(unit)), name)
        return time.process_time() - begin

    assert taken(80_000) < 6 * min(taken(20_000) for _ in range(2)) + 0.05


@pytest.mark.parametrize("unit", ["[", '"', "\\", "{", "("])
def test_a_hundred_thousand_of_one_character_take_less_than_a_second_or_two(unit):
    assert seconds(unit * 100_000, "stop") < 2
    assert seconds(f"[search(query='x', filters={unit * 100_000}", "stop") < 2
