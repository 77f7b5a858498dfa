"""A file of prompts, live: every record answered once, whatever happens to the process."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import warnings

import pytest
from langchain_core.prompts import ChatPromptTemplate
from pydantic import BaseModel

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import abatch_file
from llama_bedrock.control.prompt_file import as_input, read_prompt_file
from llama_bedrock.errors import BedrockAccessDeniedError
from llama_bedrock.local import ErrorResponse, Hang, LocalBedrock, Quotas
from llama_bedrock.testing import ScriptedEngine
from tests.control.conftest import Echo

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"

pytestmark = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


def make(server, **settings):
    with warnings.catch_warnings(action="ignore"):
        return ChatLlamaBedrock(
            model=MODEL, region_name="us-east-2", endpoint_url=server.endpoint_url, api_key="k", **settings
        )


def jsonl(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def run(*arguments, **options):
    return asyncio.run(abatch_file(*arguments, **options))


def read(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_every_form_of_a_record_in_every_kind_of_file(tmp_path):
    records = [
        "plain",
        [{"role": "system", "content": "s"}, {"role": "user", "content": "a list"}],
        {"id": "x", "messages": [{"role": "user", "content": "messages"}]},
        {"recordId": 7, "prompt": "prompt"},
        {"question": "question"},
    ]
    jsonl(tmp_path / "in.jsonl", records)
    with (tmp_path / "in.jsonl").open("a") as file:
        file.write("\n{not JSON\n")
        file.write('{"prompt": "a", "text": "b"}\n{"other": 1}\n17\n""\n')
    (tmp_path / "in.csv").write_text('id,prompt\n1,"two\nlines"\n2,plain\n3\n4,\n')
    with LocalBedrock(engine := Echo()) as server:
        llm = make(server)
        done = run(llm, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
        rows = run(llm, tmp_path / "in.csv", tmp_path / "rows.jsonl")
    answers = read(tmp_path / "out.jsonl")
    assert [answer["index"] for answer in answers] == list(range(10))
    assert [answer.get("text") for answer in answers[:5]] == [
        "plain",
        "a list",
        "messages",
        "prompt",
        "question",
    ]
    assert [answer.get("id") for answer in answers[:5]] == [None, None, "x", 7, None]
    assert all(answer["usage"]["output_tokens"] for answer in answers[:5])
    errors = [answer["error"]["message"] for answer in answers[5:]]
    assert errors[0].startswith("line 7 is no JSON")
    assert "'prompt', 'text'" in errors[1]
    assert "field=" in errors[1]
    assert "'other'" in errors[2]
    assert "int" in errors[3]
    assert "empty" in errors[4]
    assert (done.records, done.answered, done.failed, done.stopped) == (10, 5, 5, None)
    said = read(tmp_path / "rows.jsonl")
    assert [answer.get("text") for answer in said] == ["two\nlines", "plain", None, None]
    assert "as many fields" in said[2]["error"]["message"]
    assert (rows.answered, rows.failed) == (2, 2)
    assert len(engine.asked) == 7
    assert sorted(path.name for path in tmp_path.iterdir() if "unfinished" in path.name) == []


LOST = {
    "system.jsonl": ('{"system": "Be brief.", "prompt": "Hi"}', "'system'"),
    "alpaca.jsonl": ('{"instruction": "Translate.", "input": "Hallo", "output": "Hello"}', "'instruction'"),
    "tools.jsonl": ('{"messages": [{"role": "user", "content": "Hi"}], "tools": [{}]}', "'tools'"),
    "twice.jsonl": ('{"prompt": "a", "prompt": "b"}', "stands there twice"),
    "openai.jsonl": (
        '{"custom_id": "1", "method": "POST", "url": "/v1/chat/completions", "body": {}}',
        "body.messages",
    ),
}


@pytest.mark.parametrize("name", LOST)
def test_nothing_of_a_record_is_dropped_in_silence(tmp_path, name):
    text, words = LOST[name]
    (tmp_path / name).write_text(text)
    (record,) = read_prompt_file(tmp_path / name)
    with pytest.raises(ValueError, match=re.escape(words)):
        raise ValueError(record.error) if record.error else as_input(record.value)


TABLES = {
    "semicolons": ("id;prompt\n1;a, b\n2;'c'\n", ["a, b", "'c'"]),
    "bars and no id": ("prompt|kind\na|x\n", ["a"]),
    "old Macs": ("id, prompt\r1,a\r\r2,b\r", ["a", "b"]),
    "a long cell": (f"prompt\n{'x' * 140_000}\n", ["x" * 140_000]),
    "two columns of a name": ("prompt,prompt\na,b\n", "two columns named 'prompt'"),
    "a wrong quote": ('prompt\na\n"b"c\nd\n', "no table from line 3 on"),
    "a quote left open": ('prompt\na\n"b\nd\n', "no table from line 4 on"),
    "backslashes": ('id,prompt\n1,"say \\"hi\\""\n', "written twice"),
    "Latin-1": ("prompt\ncafé\n".encode("latin-1"), "save it as UTF-8"),
    "UTF-16": ("prompt\ncafé\n".encode("utf-16"), "save it as UTF-8"),
    "nothing": ("", "no header line"),
}


@pytest.mark.parametrize("table", TABLES)
def test_dialects_of_csv_are_read_or_refused_as_a_whole(tmp_path, table):
    written, expected = TABLES[table]
    path = tmp_path / "in.csv"
    path.write_bytes(written if isinstance(written, bytes) else written.encode())
    if isinstance(expected, list):
        assert [record.value["prompt"] for record in read_prompt_file(path)] == expected
    else:
        with pytest.raises(ValueError, match=expected):
            next(read_prompt_file(path))


def test_half_a_character_ends_no_run(tmp_path):
    source = tmp_path / "in.jsonl"
    source.write_text('{"id": "\\ud83d", "prompt": "a"}\n"b\\ud83d"\n"c"\n')
    with LocalBedrock(Echo()) as server:
        done = run(make(server), source, tmp_path / "out.jsonl")
    assert (done.records, done.answered + done.failed) == (3, 3)
    assert [read(tmp_path / "out.jsonl")[number].get("text") for number in (0, 2)] == ["a", "c"]


def test_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(pyarrow.table({"id": [1, 2], "prompt": ["a", "b"]}), tmp_path / "in.parquet")
    with LocalBedrock(Echo()) as server:
        run(make(server), tmp_path / "in.parquet", tmp_path / "out.jsonl")
    assert [(answer["id"], answer["text"]) for answer in read(tmp_path / "out.jsonl")] == [
        (1, "a"),
        (2, "b"),
    ]


def test_chains_tools_and_schemas(tmp_path):
    class City(BaseModel):
        name: str

    source = jsonl(tmp_path / "in.jsonl", [{"city": "Lima"}, {"city": "Cusco"}, {"town": "x"}])
    with LocalBedrock(Echo()) as server:
        chain = ChatPromptTemplate.from_messages([("user", "say {city}")]) | make(server)
        run(chain, source, tmp_path / "out.jsonl")
    first, second, third = read(tmp_path / "out.jsonl")
    assert (first["text"], second["text"]) == ("say Lima", "say Cusco")
    assert "city" in third["error"]["message"]
    tool = {"name": "weather", "description": "d", "parameters": {"type": "object", "properties": {}}}
    with LocalBedrock(ScriptedEngine(["[weather()]", '{"name": "Lima"}'])) as server:
        run(make(server).bind_tools([tool]), source, tmp_path / "calls.jsonl", field="city", max_in_flight=1)
    called = read(tmp_path / "calls.jsonl")[0]
    assert [call["name"] for call in called["tool_calls"]] == ["weather"]
    with LocalBedrock(ScriptedEngine(['{"name": "Lima"}'], repeat=True)) as server:
        run(make(server).with_structured_output(City), source, tmp_path / "cities.jsonl", field="city")
    assert read(tmp_path / "cities.jsonl")[0]["output"] == {"name": "Lima"}


def test_what_fails_for_all_ends_the_run_and_nothing_is_lost(tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [str(number) for number in range(20)])
    denied = ErrorResponse("AccessDeniedException", requests={5})
    with LocalBedrock(engine := Echo(), faults=[denied]) as server:
        with pytest.raises(BedrockAccessDeniedError):
            run(make(server), source, tmp_path / "out.jsonl", max_in_flight=1)
        assert not (tmp_path / "out.jsonl").exists()
        progress = run(make(server), source, tmp_path / "out.jsonl", max_in_flight=1)
    assert sorted(engine.asked, key=int) == [str(number) for number in range(20)]
    assert progress.answered == 20


def test_failed_records_are_kept_until_they_are_asked_for_again(tmp_path):
    source = jsonl(tmp_path / "in.jsonl", ["a", "b", "c"])
    refused = ErrorResponse("ValidationException", requests={2})
    with LocalBedrock(engine := Echo(), faults=[refused]) as server:
        llm = make(server)
        progress = run(llm, source, tmp_path / "out.jsonl", max_in_flight=1)
        assert (progress.answered, progress.failed) == (2, 1)
        failed = read(tmp_path / "out.jsonl")[1]
        assert failed["error"]["type"] == "BedrockValidationError"
    assert engine.asked == ["a", "c"]


@pytest.mark.parametrize("change", ["input", "model", "field"])
def test_answers_of_another_run_are_not_mixed_in(tmp_path, change):
    source = jsonl(tmp_path / "in.jsonl", [{"prompt": "a", "other": "b"}, {"prompt": "c", "other": "d"}])
    stop = ErrorResponse("AccessDeniedException", requests={2})
    with LocalBedrock(Echo(), faults=[stop]) as server:
        with pytest.raises(BedrockAccessDeniedError):
            run(make(server), source, tmp_path / "out.jsonl", max_in_flight=1, field="prompt")
        llm, field = make(server, temperature=0.5 if change == "model" else None), "prompt"
        if change == "input":
            jsonl(source, [{"prompt": "x"}])
        if change == "field":
            field = "other"
        with pytest.raises(ValueError, match=f"{change} changed since"):
            run(llm, source, tmp_path / "out.jsonl", field=field)
        progress = run(llm, source, tmp_path / "out.jsonl", field=field, restart=True)
    assert progress.failed == 0


def test_a_budget_is_not_exceeded_and_a_higher_one_goes_on(tmp_path):
    source = jsonl(tmp_path / "in.jsonl", [f"say {number}" for number in range(50)])
    with LocalBedrock(engine := Echo()) as server:
        llm = make(server)
        one = llm.invoke("say 1").usage_metadata["total_cost"]
        engine.asked.clear()
        spent = run(llm, source, tmp_path / "out.jsonl", max_usd=10.5 * one)
        assert spent.stopped == "budget"
        assert 9 <= spent.answered <= 10
        assert spent.usd <= 10.5 * one
        assert not (tmp_path / "out.jsonl").exists()
        rest = run(llm, source, tmp_path / "out.jsonl", max_usd=1000 * one)
    assert (rest.answered, rest.stopped) == (50, None)
    assert len(engine.asked) == 50
    assert [answer["text"] for answer in read(tmp_path / "out.jsonl")] == [f"say {n}" for n in range(50)]


def test_as_finished_progress_and_bad_options(tmp_path):
    source, seen = jsonl(tmp_path / "in.jsonl", ["a", "b"]), []
    with LocalBedrock(Echo()) as server:
        llm = make(server)
        run(llm, source, tmp_path / "out.jsonl", ordered=False, on_progress=lambda p: seen.append(p.answered))
        assert sorted(answer["text"] for answer in read(tmp_path / "out.jsonl")) == ["a", "b"]
        assert seen[-1] == 2
        for wrong, words in (({"max_in_flight": 0}, "max_in_flight"), ({"max_usd": 0}, "max_usd")):
            with pytest.raises(ValueError, match=words):
                run(llm, source, tmp_path / "out.jsonl", **wrong)
        with pytest.raises(ValueError, match="is the input"):
            run(llm, source, source)
        with pytest.raises(ValueError, match=r"\.jsonl"):
            run(llm, jsonl(tmp_path / "in.txt", []), tmp_path / "out2.jsonl")
        with pytest.raises(FileNotFoundError):
            run(llm, tmp_path / "missing.jsonl", tmp_path / "out3.jsonl")


def test_a_second_run_on_the_same_output_is_refused_while_the_first_works(tmp_path):
    source, output = jsonl(tmp_path / "in.jsonl", ["a"]), tmp_path / "out.jsonl"

    async def both(llm):
        first = asyncio.create_task(abatch_file(llm, source, output))
        await asyncio.sleep(0.1)
        with pytest.raises(BlockingIOError, match="locked by another process"):
            await abatch_file(llm, source, output)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return await abatch_file(llm, source, output)

    with LocalBedrock(Echo(), faults=[Hang(requests={1}, seconds=30)]) as server:
        assert asyncio.run(both(make(server))).answered == 1


RUNNER = """
import asyncio, sys, warnings
warnings.simplefilter("ignore")
from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import abatch_file

llm = ChatLlamaBedrock(model=sys.argv[1], region_name="us-east-2", endpoint_url=sys.argv[2], api_key="k")
asyncio.run(abatch_file(llm, sys.argv[3], sys.argv[4], max_in_flight=8))
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 here")
def test_killed_five_times_under_a_quota_all_are_answered_and_few_twice(tmp_path):
    count = 1_000
    source = jsonl(tmp_path / "in.jsonl", [f"record {number}" for number in range(count)])
    output = tmp_path / "out.jsonl"
    engine, quotas = Echo(), Quotas(requests_per_minute=400, minute=1.0)
    with LocalBedrock(engine, quotas=quotas) as server:
        command = [sys.executable, "-c", RUNNER, MODEL, server.endpoint_url, str(source), str(output)]
        for kill in range(5):
            process = subprocess.Popen(command)
            while len(engine.asked) < (kill + 1) * count // 7:
                assert process.poll() is None
                time.sleep(0.01)
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
        subprocess.run(command, check=True)
    assert [answer["text"] for answer in read(output)] == [f"record {number}" for number in range(count)]
    assert set(engine.asked) == {f"record {number}" for number in range(count)}
    assert len(engine.asked) <= count + 5 * 8
