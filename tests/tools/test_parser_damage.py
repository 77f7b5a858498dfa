"""One character lost, added or changed between the values of a call: it is read right, or it is not read."""

import pytest
from parsing import read

SEARCH = {"query": "a, b (c)", "filters": {"k": [1, "x"], "m": {"n": None}}, "tags": ["u", "v"]}
WHOLE = [
    (
        '{"name": "get_weather", "parameters": {"city": "Paris", "days": 3}}',
        [("get_weather", {"city": "Paris", "days": 3})],
    ),
    (
        '{"name": "search", "parameters": {"query": "a, b (c)", "filters": {"k": [1, "x"], "m": {"n": null}}, '
        '"tags": ["u", "v"]}}',
        [("search", SEARCH)],
    ),
    (
        '[get_weather(city="Paris", days=3), add(a=1, b=2)]',
        [("get_weather", {"city": "Paris", "days": 3}), ("add", {"a": 1, "b": 2})],
    ),
    (
        '[search(query="a, b (c)", filters={"k": [1, "x"], "m": {"n": None}}, tags=["u", "v"])]',
        [("search", SEARCH)],
    ),
    (
        '<function=search>{"query": "x", "tags": ["u", "v"]}</function>',
        [("search", {"query": "x", "tags": ["u", "v"]})],
    ),
]
PUNCTUATION = "\"{}[]:,()='\\<> "
# A set to Python: nothing tells that it was an object.
ALSO_PYTHON = {'[search(query="a, b (c)", filters={"k": [1, "x"], "m": {"n", None}}, tags=["u", "v"])]'}


def outside_quotes(text):
    """Positions between the texts in quotes; a quote belongs to them only where it opens."""
    quoted = False
    for at, char in enumerate(text):
        if not quoted:
            yield at
        quoted ^= char == '"'


def damaged(text):
    for at in outside_quotes(text):
        for char in PUNCTUATION:
            yield text[:at] + char + text[at:]
            if text[at] in PUNCTUATION:
                yield text[:at] + char + text[at + 1 :]
        if text[at] in PUNCTUATION:
            yield text[:at] + text[at + 1 :]


@pytest.mark.parametrize(("text", "calls"), WHOLE)
def test_a_call_with_one_wrong_character_is_read_right_or_not_at_all(text, calls):
    right = 0
    for broken in {*damaged(text)} - ALSO_PYTHON:
        found = read(broken).calls
        assert all(call in calls for call in found), broken
        right += found == calls
    assert right > 20


@pytest.mark.parametrize(("text", "calls"), WHOLE)
def test_a_call_that_is_cut_anywhere_is_never_completed(text, calls):
    closing = max(text.rfind(")"), text.rfind("}"))
    for at in range(len(text)):
        answer = read(text[:at], stop="length")
        assert answer.calls == calls[: len(answer.calls)], text[:at]
        assert len(answer.calls) < len(calls) or at > closing, text[:at]


MISSING_QUOTES = [
    '{"name": get_weather", "parameters": {"city": "Paris", "days": 3}}',
    '{"name": "get_weather, "parameters": {"city": "Paris", "days": 3}}',
    '{"name": "get_weather", parameters": {"city": "Paris", "days": 3}}',
    '{"name": "get_weather", "parameters: {"city": "Paris", "days": 3}}',
    '{"name": "get_weather", "parameters": {city": "Paris", "days": 3}}',
    '{"name": "get_weather", "parameters": {"city: "Paris", "days": 3}}',
    '{"name": "get_weather", "parameters": {"city": Paris", "days": 3}}',
    '{"name": "get_weather", "parameters": {"city": "Paris, "days": 3}}',
    '{"name": "get_weather", "parameters": {"city": "Paris", days": 3}}',
    '{"name": "get_weather", "parameters": {"city": "Paris", "days: 3}}',
    '{"name": "get_weather", "parameters": "city": "Paris", "days": 3}}',
    '{"name" "get_weather", "parameters" {"city" "Paris", "days": 3}}',
]


@pytest.mark.parametrize("text", MISSING_QUOTES)
def test_a_lost_quote_brace_or_colon_is_put_back(text):
    assert read(text).calls == [("get_weather", {"city": "Paris", "days": 3})]


AMBIGUOUS = [
    # Does the value end before the quote, or hold it?
    '{"name": "search", "parameters": {"query": "x", "tags": ["u, "v"]}}',
    '[search(query="x", tags=["u" "v"])]',
    # Which of the two objects is not closed?
    '{"name": "search", "parameters": {"query": "x", "filters": {"a": 1, "tags": ["u"]}}',
    # Closed too early, and then it goes on
    '[search(query="x"), tags=["u"])]',
    '[search(query="x") tags=["u"])]',
    '{"name": "search", "parameters": {"query": "x"}, "tags": ["u"]}}',
    '{"name": "search", "parameters": {"query": "x"}}, "tags": ["u"]}}',
    '<function=search>{"query": "x"}, "tags": ["u"]}</function>',
]


@pytest.mark.parametrize("text", AMBIGUOUS)
def test_what_can_be_read_in_two_ways_is_reported(text):
    answer = read(text)
    assert answer.calls == []
    assert [name for name, _ in answer.invalid] == ["search"]
    assert not answer.text
