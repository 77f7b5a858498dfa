"""A call that cannot be read is reported with its own fault, and takes neither words nor good calls with it."""

import pytest
from parsing import read, splits

PARIS = ("get_weather", {"city": "Paris"})
ROME = ("get_weather", {"city": "Rome"})
NOW = ("now", {})
BARE = "Rome stands where a value should: text needs quotes"
EXPRESSION = "an expression stands where a value should: arguments must be literals"

FAULTS = [
    ("get_weather(Rome)", BARE),
    ("get_weather(city=Rome)", BARE),
    ("get_weather(city=find('x'))", "find(…) stands where a value should: arguments must be literals"),
    ("get_weather(city='a' + x)", EXPRESSION),
    ("get_weather(city=not True)", EXPRESSION),
    ("get_weather(city=lambda x: x)", EXPRESSION),
    ("get_weather(city=x['a'])", "x[…] stands where a value should: arguments must be literals"),
    ("get_weather(**args)", "**args is no literal: name each argument"),
    ('get_weather(city="a" if x else "b")', "quotes do not pair up"),
    ("get_weather(city=f'{x}')", "an f-string stands where a value should: arguments must be literals"),
    ("get_weather(city=)", "')' stands where a value should"),
    ("get_weather(city=?)", "'?' stands where a value should"),
    ("add(a=1, a=2)", "a is given twice"),
    ("add(a=1+1, b=2)", "1+1 is an expression: arguments must be literals"),
    ("add(1, 2, 3)", "more arguments than add has: it takes a, b"),
    ("now(1)", "more arguments than now has: it takes no arguments"),
    ("add(a=1, 2)", "an argument without a name follows named ones"),
    ("search(query='x', filters={'a': })", "'}' stands where a value should"),
]
GOOD = 'get_weather(city="Paris")'
FRAMES = [
    ("[{bad}, {good}]", "", [PARIS]),
    ("[{good}, {bad}]", "", [PARIS]),
    ("[{good}, {bad}, now()]", "", [PARIS, NOW]),
    ("[{bad}, {bad}, {good}]", "", [PARIS]),
    ("I look: [{bad}, {good}]", "I look:", [PARIS]),
    ("I look: [{good}, {bad}]", "I look:", [PARIS]),
    ("I look.\n[{bad}, {good}]", "I look.", [PARIS]),
    ("[{bad}, {good}] I looked.", "I looked.", [PARIS]),
    ("[{good}]\n[{bad}]\n[now()]", "", [PARIS, NOW]),
    ("[{good}] and [{bad}]", "", [PARIS]),
    ("[{good}], then [{bad}] and then [now()]", "", [PARIS, NOW]),
    ("I look: [{good}] and [{bad}].", "I look:  .", [PARIS]),
    ("```python\n[{bad}, {good}]\n```", "", [PARIS]),
]


@pytest.mark.parametrize(("frame", "words", "calls"), FRAMES)
@pytest.mark.parametrize(("bad", "fault"), FAULTS)
def test_in_lists(frame, words, calls, bad, fault):
    text = frame.format(bad=bad, good=GOOD)
    answer = read(text)
    assert answer.calls == calls
    assert [error for _, error in answer.invalid] == [fault] * frame.count("{bad}")
    assert answer.text == words
    assert read(list(text)) == answer


OBJECT = '{"name": "get_weather", "parameters": {"city": Rome}}'
OTHER = '{"name": "get_weather", "parameters": {"city": "Paris"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"{OBJECT}; {OTHER}",
        f"{OTHER}; {OBJECT}",
        f"{OBJECT}\n{OTHER}",
        f"[{OBJECT}, {OTHER}]",
        f"[{OTHER}, {OBJECT}]",
        f"```json\n{OBJECT}\n{OTHER}\n```",
        f"<tool_call>{OBJECT}</tool_call>\n<tool_call>{OTHER}</tool_call>",
        '<function=get_weather>{"city": Rome}</function>\n<function=get_weather>{"city": "Paris"}</function>',
        'get_weather(city=Rome)\nget_weather(city="Paris")',
        'get_weather(city="Paris"); get_weather(city=Rome)',
        f'{{"tool_calls": [{OBJECT}, {OTHER}]}}',
    ],
)
def test_in_objects_tags_and_lines(text):
    answer = read(text)
    assert answer.calls == [PARIS]
    assert answer.invalid == [("get_weather", BARE)]
    assert answer.text == ""
    for pieces in splits(text):
        assert read(pieces) == answer


@pytest.mark.parametrize(
    "text",
    [
        '[search(query="use "x), now()" ok"), add(a=1, b=2)]',
        '[search(query="a), now()]',
        "[search(query='it's), now()], ok')]",
        '[search(query="x" y"), now()]',
    ],
)
def test_a_call_that_may_stand_within_a_text_is_not_made(text):
    assert ("now", {}) not in read(text).calls


@pytest.mark.parametrize(
    ("text", "words", "calls"),
    [
        ("[now()];", "", [NOW]),
        ("[now()];]", "", [NOW]),
        ("[now()]];", "", [NOW]),
        ("[now()]; ] }", "", [NOW]),
        ("[now()];\nDone.", "Done.", [NOW]),
        ("I look: [now()]];", "I look:", [NOW]),
        ('{"name": "now", "parameters": {}}; ]', "", [NOW]),
        ("[now()] and [now()]", "", [NOW, NOW]),
        ("[now()], and then [now()]", "", [NOW, NOW]),
        ("[now()] then now()", "", [NOW, NOW]),
        ("[now()] and that is all.", "and that is all.", [NOW]),
        ("[now()] and [1] is a footnote.", "and [1] is a footnote.", [NOW]),
        ("[now()] and", "and", [NOW]),
        ("Look: [now()] and [now()]", "Look:", [NOW, NOW]),
        ("Look: [now()] and see.", "Look: [now()] and see.", []),
    ],
)
def test_what_stands_between_calls(text, words, calls):
    answer = read(text)
    assert answer.calls == calls
    assert answer.text == words
    assert not answer.invalid
    for pieces in splits(text):
        assert read(pieces) == answer


@pytest.mark.parametrize(
    "text",
    [
        '[now(), get_weather(city="Pa',
        '[now()]\n[get_weather(city="Pa',
        "[now()] and [get_weather(ci",
        "[now(), get_wea",
        "[now()], [",
        "[now()]\n[[",
        "now()\nget_weather(ci",
        "now()\nget_wea",
        '{"name": "now", "parameters": {}}\n{"name": "get_wea',
        '[{"name": "now", "parameters": {}}, {"name": "get_weather", "param',
        '```json\n{"name": "now", "parameters": {}}\n{"name": "get_weather", "pa',
        '<function=now>{}</function><function=get_weather>{"ci',
        '<tool_call>{"name":"now","arguments":{}}</tool_call><tool_call>{"name":"get_wea',
    ],
)
def test_a_second_call_that_is_cut_is_invalid_and_no_text(text):
    answer = read(text, stop="length")
    assert answer.calls == [NOW]
    assert [error for _, error in answer.invalid if "cut off" in error] == [answer.invalid[0][1]]
    assert answer.text == ""
    for pieces in splits(text):
        assert read(pieces, stop="length") == answer


def test_a_call_that_is_cut_after_words_is_invalid():
    for text in ('I look: [get_weather(city="Pa', 'I look:\n[get_weather(city="Pa'):
        answer = read(text, stop="length")
        assert answer.text == "I look:"
        assert [name for name, _ in answer.invalid] == ["get_weather"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[get_weather(city="Par), now()]', "its quotes or brackets do not pair up"),
        ('[get_weather(city="Paris", now()]', "its quotes or brackets do not pair up"),
        ("[get_weather(city='it's), now()]", "its quotes or brackets do not pair up"),
        ("[search(query='x', tags=['a'), now()]", "a ] is missing"),
        ('[search(query="x", filters={"a": 1), now()]', "a } is missing"),
        ('{"name": "add", "parameters": {"a": 1, "b": "2}}', "its quotes or brackets do not pair up"),
        ("<function=get_weather>Lima</function>", "the arguments are no object"),
    ],
)
def test_what_does_not_pair_up_takes_the_rest_into_one_invalid_call(text, fault):
    answer = read(text)
    assert not answer.calls
    assert not answer.text
    assert [error for _, error in answer.invalid] == [f"the call cannot be read: {fault}"]
    for pieces in splits(text):
        assert read(pieces) == answer


@pytest.mark.parametrize("value", ["Lima", '"Lima"', '["Lima", 1]', "3"])
def test_arguments_that_are_no_object(value):
    answer = read(f'{{"name": "get_weather", "parameters": {value}}}')
    assert answer.invalid == [("get_weather", "the arguments are no object")]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('[serch(query="the "x" y)]', "do not pair up"),
        ("[serch(query={'a\": 1})]", "do not pair up"),
        ("[serch(query={a 1})]", "a colon is missing in an object"),
    ],
)
def test_an_unknown_call_that_cannot_be_read_is_reported_too(text, fault):
    answer = read(text)
    assert [name for name, _ in answer.invalid] == ["serch"]
    assert fault in answer.invalid[0][1]
    assert not answer.text
