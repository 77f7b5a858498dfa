"""Every form in which a Llama writes a call, every form that is not one, and each at every split point."""

import pytest
from parsing import TOOLS, answer, read, splits, tool

from llama_bedrock.tools.events import InvalidCall
from llama_bedrock.tools.parser.tool_call_parser import ToolCallParser
from llama_bedrock.tools.spec import ToolChoice, ToolSpec

PARIS = ("get_weather", {"city": "Paris"})
SUM = ("add", {"a": 1, "b": 2})
NOW = ("now", {})

CALLS = [
    # pythonic lists
    ('[get_weather(city="Paris")]', [PARIS]),
    ("[ add( a = 1 , b = 2 ) ]", [SUM]),
    ("[add(a=1,b=2,),]", [SUM]),
    ("[\n  add(\n    a=1,\n    b=2,\n  ),\n  now(),\n]", [SUM, NOW]),
    ("[add(a=1, b=2), now(), add(a=3, b=4)]", [SUM, NOW, ("add", {"a": 3, "b": 4})]),
    ("[[add(a=1, b=2)]]", [SUM]),
    ("[add(a=1, b=2);now()]", [SUM, NOW]),
    ("[add(a=1, b=2)], [now()]", [SUM, NOW]),
    ("[add(a=1, b=2)]\n[now()]", [SUM, NOW]),
    ("[add(a=1, b=2)]; [now()]", [SUM, NOW]),
    ("[functions.add(a=1, b=2)]", [SUM]),
    ("[add(a=1, # the first\n    b=2)]", [SUM]),
    ('["add(a=1, b=2)", "now()"]', [SUM, NOW]),
    # bare calls
    ("add(a=1, b=2)", [SUM]),
    ("add(a=1, b=2)\nnow()", [SUM, NOW]),
    ("add(a=1, b=2); now()", [SUM, NOW]),
    # arguments without names, in the schema's order, or in one object
    ("[add(1, 2)]", [SUM]),
    ("[add(1, b=2)]", [SUM]),
    ('[add({"a": 1, "b": 2})]', [SUM]),
    ('[add(**{"a": 1, "b": 2})]', [SUM]),
    ('[search("x", {"a": 1})]', [("search", {"query": "x", "filters": {"a": 1}})]),
    ('[add("a"=1, "b": 2)]', [SUM]),
    ("[add(a: 1, b: 2)]", [SUM]),
    # values
    ("[add(a=-1, b=+2)]", [("add", {"a": -1, "b": 2})]),
    ("[add(a=1_000, b=0x10)]", [("add", {"a": 1000, "b": 16})]),
    ('[add(a="1", b=2.0)]', [SUM]),
    (
        "[search(query='x', filters={'a': None, 'b': [True, false, null]})]",
        [("search", {"query": "x", "filters": {"a": None, "b": [True, False, None]}})],
    ),
    (
        '[search(query="x", filters={a=1, b={c="d"}})]',
        [("search", {"query": "x", "filters": {"a": 1, "b": {"c": "d"}}})],
    ),
    ("[search(query='x', tags=('a', 'b'))]", [("search", {"query": "x", "tags": ["a", "b"]})]),
    ("[search(query='x', tags={'a', 'b'})]", [("search", {"query": "x", "tags": ["a", "b"]})]),
    ("[get_weather(city='Paris', unit=celsius)]", [("get_weather", {"city": "Paris", "unit": "celsius"})]),
    # text in quotes
    ('[search(query="a, b) ], [c(d=1)], {e}")]', [("search", {"query": "a, b) ], [c(d=1)], {e}"})]),
    (
        "[search(query='it\\'s \"q\" \\\\ \\n \\u00e9 \\ud83d\\ude00')]",
        [("search", {"query": 'it\'s "q" \\ \n é 😀'})],
    ),
    ('[search(query="C:\\\\dir\\\\")]', [("search", {"query": "C:\\dir\\"})]),
    ('[search(query="C:\\Users\\new")]', [("search", {"query": "C:\\Users\\new"})]),
    ('[search(query="\\d+\\s*")]', [("search", {"query": "\\d+\\s*"})]),
    ('[search(query=r"\\n")]', [("search", {"query": "\\n"})]),
    ('[search(query="""a "b" \nc""")]', [("search", {"query": 'a "b" \nc'})]),
    ('[search(query="a" "b" + \'c\')]', [("search", {"query": "abc"})]),
    ('[search(query="a\nb")]', [("search", {"query": "a\nb"})]),
    (
        "[search(query='it's 5 o'clock', tags=['a'])]",
        [("search", {"query": "it's 5 o'clock", "tags": ["a"]})],
    ),
    ('[search(query="the "best" food")]', [("search", {"query": 'the "best" food'})]),
    ("[search(query=“x”, tags=[“a”])]", [("search", {"query": "x", "tags": ["a"]})]),
    ("[search(query=&quot;a &amp; b&quot;)]", [("search", {"query": "a & b"})]),
    ('[search(query=\\"x\\")]', [("search", {"query": "x"})]),
    # the name and its arguments side by side
    ("['get_weather', {'city': 'Paris'}]", [PARIS]),
    ('["get_weather", {"city": "Paris"}]', [PARIS]),
    ("[get_weather, {'city': 'Paris'}]", [PARIS]),
    ("[('get_weather', {'city': 'Paris'})]", [PARIS]),
    ("[['get_weather', {'city': 'Paris'}], ['now', {}]]", [PARIS, NOW]),
    ("['get_weather', city='Paris']", [PARIS]),
    ("[get_weather, city='Paris')]", [PARIS]),
    # all arguments in one that the tool does not have
    ("[get_weather(params={'city': 'Paris'})]", [PARIS]),
    ('{"name": "get_weather", "parameters": {"arguments": {"city": "Paris"}}}', [PARIS]),
    # closers and commas, too few and too many
    ("[add(a=1, b=2)", [SUM]),
    ("[add(a=1, b=2", [SUM]),
    ("[add(a=1, b=2]", [SUM]),
    ("[add(a=1, b=2))]", [SUM]),
    ("[add(a=1, b=2)]]", [SUM]),
    ("[add(a=1 b=2)]", [SUM]),
    ("add(a=1, b=2)]", [SUM]),
    ('[get_weather(city="Paris" unit="celsius")]', [("get_weather", {"city": "Paris", "unit": "celsius"})]),
    # JSON
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}', [SUM]),
    ('{"type": "function", "name": "add", "parameters": {"a": "1", "b": "2"}}', [SUM]),
    ('{"parameters": {"a": 1, "b": 2}, "name": "add", "type": "function"}', [SUM]),
    ('{"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}', [SUM]),
    ('{"type": "function", "function": {"name": "add", "arguments": "{\\"a\\": 1, \\"b\\": 2}"}}', [SUM]),
    ('{"function": "add", "parameters": {"a": 1, "b": 2}}', [SUM]),
    ('{"tool_name": "add", "tool_input": {"a": 1, "b": 2}}', [SUM]),
    ('{"tool": "add", "args": {"a": 1, "b": 2}}', [SUM]),
    ('{"function_call": {"name": "add", "arguments": {"a": 1, "b": 2}}}', [SUM]),
    (
        '{"tool_calls": [{"id": "1", "function": {"name": "add", "arguments": {"a": 1, "b": 2}}},'
        ' {"name": "now"}]}',
        [SUM, NOW],
    ),
    ('[{"name": "add", "parameters": {"a": 1, "b": 2}}, {"name": "now", "parameters": {}}]', [SUM, NOW]),
    ('["{\\"name\\": \\"add\\", \\"parameters\\": {\\"a\\": 1, \\"b\\": 2}}"]', [SUM]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}; {"name": "now", "parameters": {}}', [SUM, NOW]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}\n{"name": "now", "parameters": {}}', [SUM, NOW]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}, {"name": "now", "parameters": {}}', [SUM, NOW]),
    ('{"add": {"a": 1, "b": 2}}', [SUM]),
    ('{"name": "add", "a": 1, "b": 2}', [SUM]),
    ('{"name": "now"}', [NOW]),
    ('{"name": "now", "parameters": null}', [NOW]),
    ("{'name': 'add', 'parameters': {'a': 1, 'b': 2}}", [SUM]),
    ("{name: 'add', parameters: {a: 1, b: 2}}", [SUM]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2,},}', [SUM]),
    ('{"name": "add", "parameters": [{"a": 1, "b": 2}]}', [SUM]),
    (
        '{"name": "search", "parameters": {"query": "q", "filters": {"name": "add", "parameters": '
        '{"a": 1}}}}',
        [("search", {"query": "q", "filters": {"name": "add", "parameters": {"a": 1}}})],
    ),
    ('"{\\"name\\": \\"add\\", \\"parameters\\": {\\"a\\": 1, \\"b\\": 2}}"', [SUM]),
    ('{\\"name\\": \\"add\\", \\"parameters\\": {\\"a\\": 1, \\"b\\": 2}}', [SUM]),
    # damaged JSON
    ('{"name": "add", "parameters": {"a": 1, "b": 2}', [SUM]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2', [SUM]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}}}', [SUM]),
    ('{"name": "add" "parameters": {"a": 1 "b": 2}}', [SUM]),
    ('{"name": "add", "parameters {"a": 1, "b": 2}}', [SUM]),
    ('{"name": "add", "parameters({"a": 1, "b": 2}', [SUM]),
    ('{"name": "add", "parameters={"a": 1, "b": 2}}', [SUM]),
    ('{"name": "add", "parameters>{"a": 1, "b": 2}}', [SUM]),
    ("{\"name\":\"get_weather\",\"parameters':{'city':'Paris'}}", [PARIS]),
    ('{"name","get_weather","parameters":{"city":"Paris"}}"', [PARIS]),
    ('{"name":"get_weather","parameters\\":{\\"city\\":\\"Paris\\"}}', [PARIS]),
    ('{"name":"get_weather","parameters":{\\>"city": "Paris"}}', [PARIS]),
    (
        '{"name":"search","parameters":{"query":"x","tags":["a"]"}}',
        [("search", {"query": "x", "tags": ["a"]})],
    ),
    (
        '{"name": "search", "parameters": {"query": "say \\\\"hi\\\\", ok"}}',
        [("search", {"query": 'say "hi", ok'})],
    ),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}, {"name": "now", "parameters": {}}', [SUM, NOW]),
    # tags and tokens
    ('<function=get_weather>{"city": "Paris"}</function>', [PARIS]),
    (
        '<function=search>{"query": "x", "filters": {"a": {"b": 1}}}</function>',
        [("search", {"query": "x", "filters": {"a": {"b": 1}}})],
    ),
    ('<function=add>{"a": 1, "b": 2}</function>\n<function=now>{}</function>', [SUM, NOW]),
    ('<function=get_weather>{"city": "Paris"}', [PARIS]),
    ('<function=get_weather{"city": "Paris"}></function>', [PARIS]),
    ('<function=get_weather>{"city": "Paris"}}</function>', [PARIS]),
    ('<function=get_weather({"city": "Paris"})</function>', [PARIS]),
    ('<function=get_weather(city="Paris")></function>', [PARIS]),
    ('<function=get_weather [{"city": "Paris"}]></function>', [PARIS]),
    ('<function name="get_weather">{"city": "Paris"}</function>', [PARIS]),
    ("<function=now></function>", [NOW]),
    ('<|python_tag|>{"name": "add", "parameters": {"a": 1, "b": 2}}<|eom_id|>', [SUM]),
    (
        '<|python_tag|>{"name": "add", "parameters": {"a": 1, "b": 2}}<|eom_id|>'
        "<|python_tag|>[now()]<|eom_id|>",
        [SUM, NOW],
    ),
    ("<|python_tag|>[add(a=1, b=2)]<|eot_id|>", [SUM]),
    ("<|python_start|>[add(a=1, b=2)]<|python_end|><|eot|>", [SUM]),
    ('<|python_tag|>search.call(query="x")', [("search", {"query": "x"})]),
    (
        '<tool-use>\n{\n  "tool_calls": [\n    {\n      "id": "pending",\n      "type": "function",\n      '
        '"function": {\n        "name": "add"\n      },\n      "parameters": {\n        "a": 1,\n        "b": 2\n'
        "      }\n    }\n  ]\n}\n</tool-use>",
        [SUM],
    ),
    ('{"type": "function", "function": {"name": "now"}}', [NOW]),
    ("<function-call>[add(a=1, b=2)]</function-call>", [SUM]),
    ('<function=search {"query": "x"} ', [("search", {"query": "x"})]),
    ('<function=search={"query": "x"}</function>', [("search", {"query": "x"})]),
    ('<function=search,{"query": "x"}>', [("search", {"query": "x"})]),
    ('<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n</tool_call>', [SUM]),
    ('<tool_call>\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n<tool_call>', [SUM]),
    ("<tool_call>add(a=1, b=2)</tool_call>", [SUM]),
    ("<tool_code>\nprint(add(a=1, b=2))\n</tool_code>", [SUM]),
    ("<|python_tag|>print(add(a=1, b=2))<|eom_id|>", [SUM]),
    ("<|python_tag|>total = add(a=1, b=2)", [SUM]),
    ('[TOOL_CALLS] [{"name": "add", "arguments": {"a": 1, "b": 2}}]', [SUM]),
    ('function=get_weather>{"city": "Paris"}</function>', [PARIS]),
    # fences
    ("`[add(a=1, b=2)]`", [SUM]),
    ("```tool_code\nprint(add(a=1, b=2))\n```", [SUM]),
    ("```python\n[add(a=1, b=2)]\n```", [SUM]),
    ("```tool_code\nadd(a=1, b=2)\n```", [SUM]),
    ('```json\n{"name": "add", "parameters": {"a": 1, "b": 2}}\n```', [SUM]),
    (
        '```\n{"name": "add", "parameters": {"a": 1, "b": 2}}\n{"name": "now", "parameters": {}}\n```',
        [SUM, NOW],
    ),
    ("```\n[add(a=1, b=2)]", [SUM]),
    # what the model was not asked to write before and after
    ("assistant\n\n[add(a=1, b=2)]", [SUM]),
    ("<|start_header_id|>assistant<|end_header_id|>\n\n[add(a=1, b=2)]", [SUM]),
    ("<|end_header_id|>\n\n[add(a=1, b=2)]", [SUM]),
    ("<|start_header_id|><|start_header_id|>assistant<|end_header_id|>\n\n[add(a=1, b=2)]", [SUM]),
    ("assistant<|header_end|>\n\n[add(a=1, b=2)]", [SUM]),
    ("<|begin_of_text|>[add(a=1, b=2)]", [SUM]),
    ("\ufeff[add(a=1, b=2)]\u200b", [SUM]),
    ("[add(a=1, b=2)]assistant\n\nThe sum is 3.", [SUM]),
    ("[add(a=1, b=2)]assistant<|header_end|>\n\nThe sum is 3.", [SUM]),
    ("\n\n[add(a=1, b=2)]\n\n", [SUM]),
    ('[add(a=1, b=2)]<|eot_id|><|start_header_id|>ipython<|end_header_id|>\n\n{"name": "now"}', [SUM]),
]

UNKNOWN = ("unknown", {"a": 1})
UNKNOWN_TOOLS = [
    ("unknown(a=1)", [UNKNOWN]),
    ("unknown(a=1)\nadd(a=1, b=2)", [UNKNOWN, SUM]),
    ("add(a=1, b=2); unknown(a=1)", [SUM, UNKNOWN]),
    ("[add(a=1, b=2)]\nunknown(a=1)", [SUM, UNKNOWN]),
    ("[unknown(a=1)]", [UNKNOWN]),
    ('{"name": "unknown", "parameters": {"a": 1}}', [UNKNOWN]),
    ('{"type": "function", "function": {"name": "unknown", "arguments": "{\\"a\\": 1}"}}', [UNKNOWN]),
    ('<|python_tag|>unknown.call(a=1)', [UNKNOWN]),
    ("<|python_tag|>unknown(a=1)", [UNKNOWN]),
    ('<function=unknown>{"a": 1}</function>', [UNKNOWN]),
    ('```json\n{"name": "unknown", "parameters": {"a": 1}}\n```', [UNKNOWN]),
    ("[unknown()]", [("unknown", {})]),
    ("[Add(a=1, b=2)]", [("Add", {"a": 1, "b": 2})]),
    ("[unknown(a=1), add(a=1, b=2)]", [UNKNOWN, SUM]),
    ("[add(a=1, b=2), unknown(a=1)]", [SUM, UNKNOWN]),
    ("[unknown(1, 'x')]", [("unknown", {"arg1": 1, "arg2": "x"})]),
    ("[unknown('x', a=1)]", [("unknown", {"arg1": "x", "a": 1})]),
    ("<tool_code>print(ada=1, b=2)</tool_code>", [("print", {"ada": 1, "b": 2})]),
]  # fmt: skip

WITH_WORDS = [
    ("Let me look.\n\n[unknown(a=1)]", "Let me look.", [UNKNOWN]),
    ('Let me look.\n{"name": "unknown", "parameters": {"a": 1}}', "Let me look.", [UNKNOWN]),
    ("Let me check.\n\n[add(a=1, b=2)]", "Let me check.", [SUM]),
    ("Sure! [add(a=1, b=2)]", "Sure!", [SUM]),
    ("Sure! [add(a=1, b=2)] This adds them.", "Sure!  This adds them.", [SUM]),
    ("I'll add them:\nadd(a=1, b=2)", "I'll add them:", [SUM]),
    ("add(a=1, b=2)\n\nI will tell you.", "I will tell you.", [SUM]),
    ("[add(a=1, b=2)]\n\nI will tell you.", "I will tell you.", [SUM]),
    ("One:\n[add(a=1, b=2)]\nand two:\n[now()]", "One:\n\nand two:", [SUM, NOW]),
    ("It lies in [0, 1). I look:\n[now()]", "It lies in [0, 1). I look:", [NOW]),
    ('Here it is: {"name": "now", "parameters": {}} Anything else?', "Here it is:  Anything else?", [NOW]),
    ("I have no clock, so I look.<|python_tag|>[now()]", "I have no clock, so I look.", [NOW]),
    ("I do not know.\n<function=now>{}</function>\nDone.", "I do not know.\n\nDone.", [NOW]),
    ('Here is the call:\n```json\n{"name": "now", "parameters": {}}\n```', "Here is the call:", [NOW]),
    ('```json\n{"name": "now", "parameters": {}}\n```\nThis tells the time.', "This tells the time.", [NOW]),
    (
        '{"name": "search", "parameters": {"query": "x"}} I used {searchTool}; the args were {"query": "x"}.',
        'I used {searchTool}; the args were {"query": "x"}.',
        [("search", {"query": "x"})],
    ),
]

TEXTS = [
    "Hello, world!\nWhat's up?",
    "  indented, and with white space after \n\n",
    "See [1], [2] and [3, 4, 5] (page 2).",
    "[Weather report](https://example.com/weather?city=Paris) shows rain.",
    "[x] get_weather(city) is documented\n[ ] add tests",
    "get_weather(city) returns the weather.",
    "fibonacci(10)",
    "dict(a=1)",
    "np.zeros(shape=3)",
    "unknown(a=1) returns 1.",
    "Look:\nunknown(a=1)",
    "Look: [unknown(a=1)]",
    "Split in two it is\n[array([0, 1]), array([2, 3])]",
    "Look.\n[unknown(a=1)]\nThat was it.",
    'get_weather(city="Paris") returns the weather.',
    "[add(a, b)] is how it is called.",
    "There is one tool. [add(a=1, b=2)] is how it is called.",
    "Usage:\n[add(a=1, b=2)]",
    'To get it you could call `get_weather(city="Paris")` yourself.',
    'You could write:\n[get_weather(city="Paris")]\nin your program.',
    'I can use [get_weather(city="Paris")] to find out.',
    'Here is an example:\n```json\n{"name": "add", "parameters": {"a": 1, "b": 2}}\n```',
    "Call it so:\n```python\nadd(a=1, b=2)\n```\nand print the result.",
    "```python\nresult = add(a=1, b=2)\nprint(result)\n```",
    "```python\ndef add(a, b):\n    return a + b\n```",
    '{"city": "Paris", "temperature": 21}',
    '{"name": "Ada", "age": 36}',
    '{"name": "add"} is an object.'.replace("add", "sum"),
    'I think {"name": "add"} names a tool.',
    '{"name": "now"} is all it takes.',
    'The call was {"name": "add", "parameters": {"a": 1, "b": 2}} and it gave 3.',
    '["Paris", "London", "Rome"]',
    "[1, 2, 3]",
    '{"plan": [{"name": "add", "parameters": {"a": 1, "b": 2}}]}',
    '{\n  "done": true,\n  "plan": [\n    {"name": "add", "parameters": {"a": 1, "b": 2}}\n  ]\n}',
    '{"name": "add", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}',
    '[{"name": "add", "description": "adds", "parameters": {"type": "object", "properties": {}}}]',
    "3 <| 4 is odd, <|python_tagged|> is no token, 1 < 2.",
    "The syntax is <function=name>{...}</function>.",
    "```\nunclosed fence with `ticks` and [brackets",
    "Dear [Name],\n\nthank you for [order number].\n[Your name]",
    "[Verse 1]\nnow() is the time\n[Chorus]\n[Note: slowly]",
    "def add(a, b):\n    return a + b",
    '`get_weather(city="Paris")` returns the weather.',
    '`{"name": "add", "parameters": {"a": 1, "b": 2}}` is what a call looks like.',
    "<function> is no tag, <tool_call> too.",
    "result = add(a=1, b=2)",
    "[get_weather, add]",
    "['get_weather', 'add']",
    "['get_weather', {'rain': True}]",
    "['get_weather', 'Paris']",
    "[('Paris', {'city': 'Paris'}), ('Rome', 2)]",
    '{"\\"": 1}',
    '"{\\"a\\": 1}"',
    "[f(x) for x in xs]",
    "[f(1), 2]",
    "add",
    "[add]",
    "{",
    "[",
    '{"name"',
    "f(x) = [a, b]; g({y}) <z> 'q' \"r\" \\",
    '[__import__("os").system("id")]',
]

INVALID = [
    # no literals, of a tool that was not offered
    ("[unknown(x), add(a=1, b=2)]", "stop", [SUM], ["unknown"]),
    ("[add(a, b)]", "stop", [], ["add"]),
    # what Python would not take either
    ("[add(a=1,000, b=2)]", "stop", [], ["add"]),
    ("[add(a=1, a=2)]", "stop", [], ["add"]),
    ("[add(a=1, b=2), add(a=?, b=2), add(a=, b=2), now()]", "stop", [SUM, NOW], ["add", "add"]),
    # no literals
    ("[get_weather(city=Paris)]", "stop", [], ["get_weather"]),
    ("[get_weather(city=find_city())]", "stop", [], ["get_weather"]),
    ("[add(a=1 + 2, b=3)]", "stop", [], ["add"]),
    ("[add(a=2*3, b=3), now()]", "stop", [NOW], ["add"]),
    ("[add(a=(2*3), b=3), add({'a': 2 ** 3, 'b': 1}), now()]", "stop", [NOW], ["add", "add"]),
    ('[search(query=f"{x}"), now()]', "stop", [NOW], ["search"]),
    ("[add(a=NaN, b=1e999)]", "stop", [], ["add"]),
    ('{"name": "add", "parameters": {"a": NaN, "b": Infinity}}', "stop", [], ["add"]),
    ('{"name": "get_weather", "parameters{"key"]="Tokyo"}}', "stop", [], ["get_weather"]),
    ('{"name": "get_weather", "parameters": "city is Paris"}', "stop", [], ["get_weather"]),
    # nested too deep
    (f"[search(query='x', filters={'[' * 200}{']' * 200})]", "stop", [], ["search"]),
    # cut off
    ('[add(a=1, b=2), get_weather(city="San Fr', "length", [SUM], ["get_weather"]),
    ("[add(a=1, b=12", "length", [], ["add"]),
    ("[add(a=1, b=2", "length", [], ["add"]),
    ("[add(", "length", [], ["add"]),
    ("[ad", "length", [], [None]),
    ("[add(a=1, b=2)", "length", [SUM], []),
    ("[add(a=1, b=2), ", "length", [SUM], []),
    ('[{"name": "now", "parameters": {}}, ', "length", [NOW], []),
    ('{"name": "get_weather", "parameters": {"city": "San Fr', "length", [], ["get_weather"]),
    ('{"name": "add", "parameters": {"a": 1, "b": 2}', "length", [], ["add"]),
    ('{"type": "function", "name": "ad', "length", [], [None]),
    ('<function=get_weather>{"city": "Par', "length", [], ["get_weather"]),
    ('get_weather(city="Par', "length", [], ["get_weather"]),
    ('I look.\n[get_weather(city="Par', "length", [], ["get_weather"]),
    ('[get_weather(city="San Fr', "stop", [], ["get_weather"]),
    ('[{"name": "add", "parameters": {"a": 1, "b": 2}}, {"name": "get_wea}]', "stop", [SUM], [None]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "calls"), CALLS + UNKNOWN_TOOLS)
def test_is_read_as_calls_and_nothing_else(text, calls):
    answer = read(text)
    assert answer.calls == calls
    assert not answer.invalid
    assert not answer.text


@pytest.mark.parametrize(("text", "words", "calls"), WITH_WORDS)
def test_words_around_calls_are_kept(text, words, calls):
    answer = read(text)
    assert answer.calls == calls
    assert answer.text == words


@pytest.mark.parametrize("text", TEXTS)
def test_is_no_call_and_stays_as_it_is(text):
    answer = read(text)
    assert answer.text == text
    assert not answer.calls
    assert not answer.invalid


@pytest.mark.parametrize(("text", "stop", "calls", "names"), INVALID)
def test_is_reported_as_invalid_and_never_leaks_into_the_text(text, stop, calls, names):
    answer = read(text, stop=stop)
    assert answer.calls == calls
    assert [name for name, _ in answer.invalid] == names
    assert answer.text == ("I look." if text.startswith("I look.") else "")


@pytest.mark.parametrize("stop", ["stop", "length"])
@pytest.mark.parametrize(
    "text",
    [c[0] for c in CALLS + UNKNOWN_TOOLS] + [c[0] for c in WITH_WORDS] + TEXTS + [c[0] for c in INVALID],
)
def test_pieces_make_no_difference(text, stop):
    whole = read(text, stop=stop)
    for pieces in splits(text):
        assert read(pieces, stop=stop) == whole, pieces


def test_empty_list_says_that_nothing_is_called():
    assert read("[]").text == ""
    assert read("[]\n\nIt is sunny.").text == "It is sunny."
    assert read("[] is an empty list.").text == "[] is an empty list."


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("get-weather", '[get_weather(city="Paris")]'),
        ("get-weather", '[get-weather(city="Paris")]'),
        ("mcp__server.tool-1", '[mcp__server.tool-1(city="Paris")]'),
        ("server/tool", '[server/tool(city="Paris")]'),
    ],
)
def test_names_that_python_could_not_write(name, text):
    assert read(text, [tool(name, city="string")]).calls == [(name, {"city": "Paris"})]


@pytest.mark.parametrize(
    ("parameter", "text"),
    [("from", "[f(from='x')]"), ("from", "[f(from_='x')]"), ("class", "[f(class='x')]"),
     ("user-agent", "[f(user-agent='x')]"), ("user-agent", "[f(user_agent='x')]"), ("$top", "[f($top='x')]")],
)  # fmt: skip
def test_parameters_that_python_could_not_write(parameter, text):
    assert read(text, [tool("f", **{parameter: "string"})]).calls == [("f", {parameter: "x"})]


def test_code_goes_to_the_interpreter_that_was_offered():
    interpreter = tool("code_interpreter", code="string")
    code = "import math\nprint(math.pi)"
    assert read(f"<|python_tag|>{code}<|eom_id|>", [interpreter]).calls == [
        ("code_interpreter", {"code": code})
    ]
    assert read(f"<|python_tag|>{code}<|eom_id|>").text == code
    assert read(f"<|python_tag|>{code}", [interpreter], stop="length").invalid


@pytest.mark.parametrize(
    ("prefix", "text", "calls"),
    [
        ("[get_weather(", 'city="Paris")]', [PARIS]),
        ("[get_weather(", '"Paris")]', [PARIS]),
        ("[get_weather(", '{"city": "Paris"})]', [PARIS]),
        ("[get_weather(", 'city="Paris")', [PARIS]),
        ("[get_weather(", '[get_weather(city="Paris")]', [PARIS]),
        ("[get_weather(", 'get_weather(city="Paris")]', [PARIS]),
        ("[get_weather(", '{"name": "get_weather", "parameters": {"city": "Paris"}}', [PARIS]),
        ("[now(", ")]", [NOW]),
        ("[", 'get_weather(city="Paris"), now()]', [PARIS, NOW]),
        ("[", '[get_weather(city="Paris")]', [PARIS]),
        ("[", '{"name": "now", "parameters": {}}]', [NOW]),
        ('{"name": "get_weather", "parameters": {', '"city": "Paris"}}', [PARIS]),
        ('{"name": "', 'get_weather", "parameters": {"city": "Paris"}}', [PARIS]),
    ],
)
def test_a_forced_call_goes_on_from_its_prefix(prefix, text, calls):
    for pieces in (text, *splits(text)):
        answer = read(pieces, prefix=prefix)
        assert answer.calls == calls
        assert not answer.text


PREFIXES = ["[", "[get_weather(", '{"name": "', '{"name": "get_weather", "parameters": {']
NO_CALLS = [
    "I cannot do that.",
    "",
    "]",
    "<|eot_id|>",
    '{"name": "Lima", "description": "A city"}',
    'Lima", "description": "A city"}',
    'Lima", "description": "A ci',
    "Lima)]",
    "[1, 2, 3]",
    "```\ncode\n```",
    "\n\n",
]


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize("text", NO_CALLS)
def test_a_forced_call_is_never_missed_in_silence(prefix, text):
    for stop in ("stop", "length"):
        parser = ToolCallParser(TOOLS, prefix=prefix)
        events = [*parser.feed(text), *parser.close(stop)]
        summed = answer(events)
        assert len(summed.calls) + len(summed.invalid) == 1
        assert not summed.text
        for event in events:  # what began the turn is not lost, nor is what followed
            if isinstance(event, InvalidCall) and not event.announced:
                assert event.raw.startswith((prefix, prefix[1:])) or event.raw == text
        for pieces in splits(text):
            assert read(pieces, prefix=prefix, stop=stop) == summed


@pytest.mark.parametrize("text", ["I cannot do that.", '{"city": "Lima"}', ""])
def test_a_forced_call_is_never_missed_without_a_prefix_either(text):
    parser = ToolCallParser(TOOLS, choice=ToolChoice("tool", "add"))
    [event] = [*parser.feed(text), *parser.close("stop")]
    assert event.error == "a call of add was asked for, and the answer holds none"
    assert event.raw == text


@pytest.mark.parametrize("prefix", ["[now(", '{"name": "now", "parameters": {'])
@pytest.mark.parametrize("text", ["", "]", ")]", "}", "}}", "\n", "<|eot_id|>", ")]<|eot_id|>"])
def test_a_forced_call_without_arguments_may_be_nothing(prefix, text):
    answer = read(text, prefix=prefix)
    assert answer.calls == [NOW]
    assert not answer.text
    assert not read("", prefix=prefix, stop="length").calls


@pytest.mark.parametrize("prefix", PREFIXES)
@pytest.mark.parametrize(
    "text",
    [
        '[get_weather(city="Paris")]',
        '{"name": "get_weather", "parameters": {"city": "Paris"}}',
        '[{"name": "get_weather", "parameters": {"city": "Paris"}}]',
        '<function=get_weather>{"city": "Paris"}</function>',
        '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Paris"}}',
        '```json\n{"name": "get_weather", "parameters": {"city": "Paris"}}\n```',
        'get_weather(city="Paris")',
    ],
)
def test_a_forced_call_may_begin_anew(prefix, text):
    for pieces in (text, *splits(text)):
        answer = read(pieces, prefix=prefix)
        assert answer.calls == [PARIS]
        assert not answer.text


def test_an_argument_called_name_is_no_new_beginning():
    city = ToolSpec("add_city", "", {"properties": {"name": {"type": "string"}, "description": {}}})
    answer = read('{"name": "Lima", "description": "old"})]', [city], prefix="[add_city(")
    assert answer.calls == [("add_city", {"name": "Lima", "description": "old"})]


def test_words_before_a_forced_call_keep_what_began_them():
    answer = read("Sure: [now()]", prefix="[")
    assert answer.calls == [NOW]
    assert answer.text == "[Sure:"


def test_strict_reports_what_breaks_the_schema():
    answer = read("[add(a='x', c=3)]", strict=True)
    assert answer.calls == []
    [(name, error)] = answer.invalid
    assert name == "add"
    assert "a must be an integer" in error
    assert "b is missing" in error
    assert "c is not known" in error
    assert read("[add(a='x')]").calls == [("add", {"a": "x"})]


def test_any_name_is_a_tool_where_none_are_known():
    assert read("[f(x=1)]", []).calls == [("f", {"x": 1})]
    assert read('{"name": "f", "parameters": {"x": "1"}}', []).calls == [("f", {"x": "1"})]
    assert read('{"name": "demo", "version": "1.0"}', []).calls == []


def test_json_that_is_no_call_is_held_no_longer_than_its_first_keys():
    parser = ToolCallParser(TOOLS)
    assert parser.feed('{"name": "Ada", "age') == []
    assert "".join(event.text for event in parser.feed('": 36')) == '{"name": "Ada", "age": 36'
