"""`Spread` over several local endpoints: where calls go when targets throttle, fail, hang and come back."""

import asyncio
import copy
import json
import pickle
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import get_usage_metadata_callback
from langchain_core.load import dumpd
from langchain_core.messages import HumanMessage
from langchain_core.rate_limiters import InMemoryRateLimiter
from pydantic import BaseModel

from llama_bedrock import AdaptiveConcurrency, ChatLlamaBedrock, LlamaBedrock, Spread, Timeout, track_usage
from llama_bedrock.app import create_app
from llama_bedrock.control import abatch_file
from llama_bedrock.control.live_batch import _model_digest
from llama_bedrock.errors import (
    BedrockAccessDeniedError,
    BedrockStreamError,
    BedrockThrottlingError,
    BedrockTimeoutError,
    BedrockUnavailableError,
    BedrockValidationError,
)
from llama_bedrock.local import Quotas
from llama_bedrock.local.faults import ErrorResponse, Hang, Reset, Truncate
from llama_bedrock.routing import lanes
from llama_bedrock.unknown_arguments import UnknownArgumentError
from tests.app.conftest import KEY, running
from tests.routing.conftest import CALLS, LARGE, SMALL, llm_at

FAULTS = {
    "throttled": ErrorResponse("ThrottlingException"),
    "no capacity": ErrorResponse("ServiceUnavailableException"),
    "broken": ErrorResponse("InternalServerException"),
    "model failed": ErrorResponse("ModelErrorException"),
    "model timed out": ErrorResponse("ModelTimeoutException"),
    "not ready": ErrorResponse("ModelNotReadyException"),
    "denied": ErrorResponse("AccessDeniedException"),
    "unknown there": ErrorResponse("ResourceNotFoundException"),
    "bad key": ErrorResponse("UnrecognizedClientException"),
    "used up": ErrorResponse("ServiceQuotaExceededException"),
    "reset": Reset(),
    "cut off": Truncate(after_bytes=3, abrupt=True),
}


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


class Pet(BaseModel):
    """A pet."""

    name: str


@pytest.fixture
def two(endpoint):
    """Function: settings of `Spread` → (model, first server, second server)."""

    def made(first=("first",), second=("second",), **settings):
        servers = [endpoint([*first])[0], endpoint([*second])[0]]
        regions = ("us-east-1", "us-east-2")
        targets = [llm_at(server, region=region) for server, region in zip(servers, regions, strict=True)]
        return Spread(targets, **settings), *servers

    return made


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_what_one_target_refuses_another_answers_at_once(two, call, fault):
    llm, first, second = two()
    first.faults = [fault]
    with track_usage() as ours, get_usage_metadata_callback() as langchains:
        answer = call(llm, "Hi")
    assert answer.text == "second"
    failed, answered = answer.response_metadata["attempts"]
    assert (failed["region_name"], "Error" in failed["error"]) == ("us-east-1", True)
    assert answered["region_name"] == answer.response_metadata["region_name"] == "us-east-2"
    assert (first.stats.requests, second.stats.requests) == (1, 1)
    used = answer.usage_metadata
    assert ours.total_tokens == langchains.usage_metadata[LARGE]["total_tokens"] == used["total_tokens"]
    assert (ours.calls, ours.failed_calls, ours.total_cost) == (1, 0, used["total_cost"])


def test_an_answer_of_the_first_target_tells_of_no_attempts(two, call):
    llm, *_ = two()
    answer = call(llm, "Hi")
    assert answer.text == "first"
    assert "attempts" not in answer.response_metadata
    assert answer.usage_metadata["total_cost"] > 0


def test_a_mistake_of_the_callers_is_asked_of_nobody_else(two, call):
    llm, first, second = two()
    first.faults = [ErrorResponse("ValidationException", "max_gen_len is wrong")]
    with pytest.raises(BedrockValidationError):
        call(llm, "Hi")
    assert (first.stats.requests, second.stats.requests) == (1, 0)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_stream_that_has_begun_is_not_moved(two, is_async):
    llm, first, second = two(first=[["one ", "two ", "three "]])
    first.faults = [Truncate(after_bytes=400)]
    pieces = []

    async def read():
        async for chunk in llm.astream("Hi"):
            pieces.append(chunk.text)

    def read_sync():
        for chunk in llm.stream("Hi"):
            pieces.append(chunk.text)  # what came before the error counts

    with pytest.raises(BedrockStreamError) as caught:
        asyncio.run(read()) if is_async else read_sync()
    assert caught.value.partial_text.startswith("one ")
    assert second.stats.requests == 0
    assert llm.health()[0].faults == 1
    assert llm.health()[0].in_flight == 0


def test_all_targets_down_is_the_error_of_one_with_all_that_was_tried(two, call):
    llm, first, second = two(max_retries=0)
    first.faults = second.faults = [ErrorResponse("ServiceUnavailableException")]
    with pytest.raises(BedrockUnavailableError) as caught:
        call(llm, "Hi")
    (note,) = caught.value.__notes__
    assert note == (
        f"Spread tried {LARGE} in us-east-1: BedrockUnavailableError; "
        f"{LARGE} in us-east-2: BedrockUnavailableError"
    )
    assert (first.stats.requests, second.stats.requests) == (1, 1)


def test_who_is_denied_everywhere_is_told_so_at_once(two, call, monkeypatch):
    monkeypatch.setattr(lanes, "_FIRST_OPEN", 60.0)  # a slow machine would be given a probe
    llm, first, second = two()
    first.faults = second.faults = [ErrorResponse("AccessDeniedException")]
    for _ in range(2):  # also while both are left out
        with pytest.raises(BedrockAccessDeniedError):
            call(llm, "Hi")
    assert (first.stats.requests, second.stats.requests) == (1, 1)


@pytest.mark.parametrize("way", ["invoke", "astream"])
def test_throttled_everywhere_a_call_waits_for_its_moment(endpoint, way):
    servers = [endpoint(quotas=Quotas(requests_per_minute=1, minute=0.3))[0] for _ in range(2)]
    llm = Spread([llm_at(server) for server in servers])
    assert [CALLS[way](llm, "Hi").text for _ in range(3)] == ["Hello."] * 3
    assert sum(server.stats.errors for server in servers) <= 3


def test_patience_ends(two, call):
    llm, first, second = two(patience=0.0, max_retries=0)
    first.faults = second.faults = [FAULTS["throttled"]]
    with pytest.raises(BedrockThrottlingError):
        call(llm, "Hi")
    assert (first.stats.requests, second.stats.requests) == (1, 1)


@pytest.mark.slow
async def test_many_throttled_calls_do_not_storm(endpoint):
    servers = [endpoint(quotas=Quotas(requests_per_minute=40, minute=1.0))[0] for _ in range(2)]
    llm = Spread([llm_at(server) for server in servers])
    answers = await asyncio.gather(*(llm.ainvoke("Hi") for _ in range(150)))
    assert len(answers) == 150
    # The first 70 or more meet the quota together; then few, where retries of each call would be hundreds.
    assert sum(server.stats.errors for server in servers) < 300
    assert [one.in_flight for one in llm.health()] == [0, 0]


def test_a_silent_target_is_left_out_after_a_few_calls(two):
    llm, first, _ = two(faults_to_open=2, by="weights", weights=[1, 1])
    llm.targets[0].timeout = Timeout(first_token=0.2)  # a target that is changed is called as it is now
    first.faults = [Hang()]
    assert [llm.invoke("Hi").text for _ in range(8)] == ["second"] * 8
    assert first.stats.requests == 2
    assert llm.health()[0].circuit == "open"


def test_the_callers_time_bounds_the_whole_call(two):
    llm, first, second = two()
    for target in llm.targets:
        target.timeout = 0.3
    first.faults = second.faults = [Hang()]
    with pytest.raises(BedrockTimeoutError):
        llm.invoke("Hi")
    assert first.stats.requests + second.stats.requests == 1


@pytest.mark.slow
def test_the_callers_time_does_not_begin_anew_at_another_target_or_fallback(endpoint):
    """All are throttled until most of the time is over, then silent."""

    def models(way):
        throttled = ErrorResponse("ThrottlingException", headers={"Retry-After": "2"})
        for fallbacks in (False, True):
            server, _ = endpoint()
            server.faults = [throttled.first(2), Hang()]
            settings = {"timeout": 3.0, "max_retries": 1}
            if fallbacks:
                yield way, server, llm_at(server, **settings, fallback_models=[SMALL])
            else:
                yield way, server, Spread([llm_at(server, **settings), llm_at(server, **settings)])

    def asked(row):
        way, server, llm = row
        began = time.monotonic()
        with pytest.raises(BedrockTimeoutError) as caught:
            CALLS[way](llm, "Hi")
        return caught.value.deadline, time.monotonic() - began, server.stats.requests

    rows = [row for way in CALLS for row in models(way)]
    with ThreadPoolExecutor(len(rows)) as pool:
        for deadline, seconds, requests in pool.map(asked, rows):
            assert (deadline, requests) == ("total", 3)
            assert 2.9 < seconds < 4.7  # 5 and more if the third attempt had three seconds of its own


def test_a_cancelled_call_leaves_nothing_behind(two):
    llm, first, _ = two()
    first.faults = [Hang()]

    async def main():
        task = asyncio.create_task(llm.ainvoke("Hi"))
        while not first.stats.active:  # noqa: ASYNC110  # of a server in another thread
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        stream = llm.astream("Hi")
        await anext(stream)
        assert llm.health()[1].in_flight == 1
        await stream.aclose()

    asyncio.run(main())
    assert [(one.in_flight, one.faults) for one in llm.health()] == [(0, 0), (0, 0)]


def test_weights_share_calls_out(two):
    llm, first, second = two(by="weights", weights=[1, 3])
    for _ in range(8):
        llm.invoke("Hi")
    assert (first.stats.requests, second.stats.requests) == (2, 6)


def test_threads_and_loops_share_one_spread(two):
    llm, *_ = two()
    answers = []

    def thread():
        answers.extend(answer.text for answer in llm.batch(["Hi"] * 5))

    def loop():
        answers.extend(answer.text for answer in asyncio.run(llm.abatch(["Hi"] * 5)))

    threads = [threading.Thread(target=work) for work in (thread, loop, thread, loop)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(answers) == 20
    assert sorted(set(answers)) == ["first", "second"]
    assert [one.in_flight for one in llm.health()] == [0, 0]


def test_tools_and_structured_output_go_to_every_target(two, call):
    llm, first, _ = two(second=["[add(a=1, b=2)]"])
    first.faults = [FAULTS["no capacity"]]
    answer = call(llm.bind_tools([add], tool_choice="add"), "What is 1 + 2?")
    assert [(one["name"], one["args"]) for one in answer.tool_calls] == [("add", {"a": 1, "b": 2})]


def test_structured_output(two):
    llm, first, _ = two(second=['{"name": "Dolly"}'])
    first.faults = [FAULTS["no capacity"]]
    assert llm.with_structured_output(Pet).invoke("Which pet?") == Pet(name="Dolly")


def test_a_cache_answers_streams_too(two, call):
    llm, first, second = two(cache=InMemoryCache())
    for _ in range(3):
        assert call(llm, "Hi").text == "first"
    assert first.stats.requests + second.stats.requests == 1


def test_the_profile_is_what_all_targets_can_do(endpoint):
    server, _ = endpoint()
    llm = Spread(
        [
            llm_at(server, "us.meta.llama4-scout-17b-instruct-v1:0", max_tokens=100),
            llm_at(server, SMALL, max_tokens=50),
        ]
    )
    assert llm.profile["image_inputs"] is False
    assert llm.profile["max_input_tokens"] == 128_000
    assert llm.max_tokens == 100
    assert llm.get_num_tokens_from_messages([HumanMessage("Hi")]) > 5


def test_copies_pickles_and_dumps_hold_no_state_and_show_no_key(two):
    llm, first, _ = two(patience=5)
    first.faults = [FAULTS["denied"]]
    llm.invoke("Hi")
    assert llm.health()[0].circuit == "open"
    for other in (copy.copy(llm), copy.deepcopy(llm), pickle.loads(pickle.dumps(llm)), llm.model_copy()):
        assert other.health()[0].circuit == "closed"
        assert other.patience == 5
        assert other.invoke("Hi").text == "second"
    for text in (repr(llm), str(dumpd(llm)), str(llm._get_llm_string())):
        assert "geheim" not in text


SETTINGS = {
    "limiter": AdaptiveConcurrency(),
    "fallback_models": [SMALL],
    "fallback_regions": ["us-west-2"],
    "cache": InMemoryCache(),
    "rate_limiter": InMemoryRateLimiter(),
    "tags": ["a"],
    "metadata": {"team": "search"},
    "streaming": True,
    "disable_streaming": True,
    "output_version": "v1",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_a_target_that_would_have_no_effect_are_refused(name):
    one = ChatLlamaBedrock(model=LARGE, region_name="us-east-1")
    other = ChatLlamaBedrock(model=LARGE, region_name="us-east-2", **{name: SETTINGS[name]})
    with pytest.raises(ValueError, match=rf"targets\[1\].* has {name}="):
        Spread([one, other])


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"by": "luck"}, "least-throttled"),
        ({"by": "weights"}, "needs weights"),
        ({"by": "weights", "weights": [1]}, "each of 2 targets"),
        ({"by": "weights", "weights": [1, 0]}, "positive"),
        ({"weights": [1, 2]}, "no effect"),
        ({"patience": -1}, "greater"),
        ({"region_name": "us-east-1"}, "takes no 'region_name'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, match):
    targets = [ChatLlamaBedrock(model=LARGE, region_name=region) for region in ("us-east-1", "us-east-2")]
    with pytest.raises(ValueError, match=match):
        Spread(targets, **settings)


def test_targets_must_be_two_chat_models():
    one = ChatLlamaBedrock(model=LARGE, region_name="us-east-1")
    with pytest.raises(ValueError, match="needs two targets or more"):
        Spread([one])
    with pytest.raises(
        ValueError, match=r"targets\[1\] of Spread must be a ChatLlamaBedrock, not LlamaBedrock"
    ):
        Spread([one, LlamaBedrock(model=LARGE, region_name="us-east-1")])


@pytest.mark.parametrize("way", ["bind", "invoke", "with_config"])
def test_unknown_arguments_of_a_call_are_refused(two, way):
    llm, first, second = two()
    with pytest.raises(UnknownArgumentError, match="temprature"):
        llm.bind(temprature=0.1) if way == "bind" else (
            llm.invoke("Hi", temprature=0.1) if way == "invoke" else llm.with_config(temprature=0.1)
        )
    assert first.stats.requests + second.stats.requests == 0


def test_the_app_serves_it(two):
    llm, first, _ = two()
    first.faults = [FAULTS["no capacity"]]
    body = {"messages": [{"role": "user", "content": "Hi"}]}
    with running(create_app(llm, key=KEY, page=False)) as address:
        answer = httpx.post(
            f"{address}/v1/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {KEY}"},
            trust_env=False,
        )
    assert answer.json()["choices"][0]["message"]["content"] == "second"


async def test_a_file_of_prompts_goes_through_it_however_long_quotas_are_used_up(two, tmp_path):
    llm, first, second = two(patience=0)
    once = FAULTS["throttled"].first(1)
    first.faults, second.faults = [once], [once]
    (tmp_path / "in.jsonl").write_text("".join(f'"prompt {n}"\n' for n in range(6)))
    await abatch_file(llm, tmp_path / "in.jsonl", tmp_path / "out.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert sorted({line["text"] for line in lines}) in (["first"], ["second"], ["first", "second"])
    assert len(lines) == 6
    assert llm.patience == 0  # that of the copy is longer


def test_a_run_over_a_file_tells_other_targets_apart(two):
    llm, *_ = two()
    hotter = [target.model_copy(update={"temperature": 0.9}) for target in llm.targets]
    assert _model_digest(llm) == _model_digest(llm.model_copy())
    assert _model_digest(llm) != _model_digest(Spread(hotter))


def test_targets_that_are_changed_are_followed(two, endpoint):
    llm, *_ = two()
    llm.invoke("Hi")
    llm.targets.append(llm_at(endpoint(["third"])[0], region="us-west-2"))
    assert {llm.invoke("Hi").text for _ in range(3)} == {"first", "second", "third"}
    assert [health.calls for health in llm.health()] == [1, 1, 1]
    llm.targets = llm.targets[:2]
    assert {llm.invoke("Hi").text for _ in range(3)} == {"first", "second"}
    llm.by, llm.weights = "weights", [3.0, 1.0]
    assert [llm.invoke("Hi").text for _ in range(4)].count("first") == 3
    llm.weights = [1.0]
    with pytest.raises(ValueError, match="a positive number for each of 2 targets"):
        llm.invoke("Hi")
    llm.targets, llm.by, llm.weights = ["us-east-1", "us-east-2"], "least-throttled", None
    with pytest.raises(ValueError, match="must be a ChatLlamaBedrock, not str"):
        llm.invoke("Hi")
