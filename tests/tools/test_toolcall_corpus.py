"""The generations in ../shared/data/toolcalls: whole, character by character, in their given chunks."""

import json

import pytest
from parsing import read, tool

from llama_bedrock.tools.coercion import coerce
from llama_bedrock.tools.spec import to_tool_specs


@pytest.fixture(scope="module")
def cases(shared_data):
    lines = (shared_data / "toolcalls" / "cases.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def tools_of(case):
    """The tools of the case; where none are recorded, those that are called, with any arguments."""
    names = {call["name"] for call in case["expected"]}
    return to_tool_specs(case["tools"] or []) or [tool(name) for name in sorted(names)]


def parse(case, pieces):
    return read(pieces, tools_of(case), stop=case.get("finish") or case.get("stop_reason"))


def expected_calls(case):
    specs = {spec.name: spec for spec in tools_of(case)}
    return [
        (
            call["name"],
            coerce(call["args"], specs[call["name"]].parameters) if call["name"] in specs else call["args"],
        )
        for call in case["expected"]
    ]


def without_space(text):
    return "".join(text.split())


def tier(cases, name):
    chosen = [case for case in cases if case["tier"] == name]
    assert chosen
    return chosen


def test_every_way_of_feeding_gives_the_same_answer(cases):
    for case in cases:
        whole = parse(case, case["raw"])
        assert parse(case, list(case["raw"])) == whole, case["id"]
        if case.get("chunks"):
            assert parse(case, case["chunks"]) == whole, case["id"]


def test_wellformed_calls_are_all_read(cases):
    for case in tier(cases, "wellformed"):
        answer = parse(case, case["raw"])
        assert answer.calls == expected_calls(case), case["id"]
        assert not answer.invalid, case["id"]


def test_broken_calls_are_mostly_repaired_and_never_wrongly(cases):
    broken = tier(cases, "repair")
    right = 0
    for case in broken:
        calls = parse(case, case["raw"]).calls
        assert all(call in expected_calls(case) for call in calls), case["id"]
        right += calls == expected_calls(case)
    assert right / len(broken) >= 0.95


def test_text_is_no_call(cases):
    for case in tier(cases, "text"):
        finished = [call for call in parse(case, case["raw"]).calls if call not in expected_calls(case)]
        assert not finished, case["id"]


def test_text_without_calls_is_left_as_it_is(cases):
    unchanged = 0
    for case in tier(cases, "text"):
        answer = parse(case, case["raw"])
        if answer.calls or answer.invalid or case["raw"] == "[]":
            continue
        assert answer.text == case["raw"].replace("<|python_tag|>", ""), case["id"]
        unchanged += 1
    assert unchanged > 25


def test_content_is_what_the_corpus_expects(cases):
    for case in cases:
        if case.get("expected_content") is None or case["tier"] == "policy":
            continue
        assert without_space(parse(case, case["raw"]).text) == without_space(case["expected_content"]), case[
            "id"
        ]


def test_calls_to_tools_that_do_not_exist_are_ordinary_calls(cases):
    for case in cases:
        if case["class"] != "hallucinated_name":
            continue
        answer = parse(case, case["raw"])
        assert answer.calls == expected_calls(case), case["id"]
        assert not answer.invalid
        assert not answer.text
