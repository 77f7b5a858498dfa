"""The adaptive limiter: its arithmetic, its queue, and a simulation with the local endpoint's quotas."""

import asyncio
import threading
import time

import pytest

from llama_bedrock import errors as E
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.faults import ExceptionFrame
from llama_bedrock.local.quotas import Quotas
from llama_bedrock.testing import ScriptedEngine
from llama_bedrock.transport.aio import AsyncTransport
from llama_bedrock.transport.limiter import AdaptiveConcurrency
from llama_bedrock.transport.sync import SyncTransport

THROTTLED = E.BedrockThrottlingError("x")


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def take(limiter, count):
    return [limiter.acquire() for _ in range(count)]


def test_bound_doubles_at_first_then_rises_by_one_a_round():
    limiter = AdaptiveConcurrency(initial=2)
    sizes = []
    for _ in range(6):
        sizes.append(limiter.limit)
        for slot in take(limiter, limiter.limit):
            slot.release()
    assert sizes[:3] == [2, 4, 8]
    assert sizes[3:] == [8, 9, 10]  # four times `initial` reached


def test_bound_halves_once_for_calls_that_were_in_flight_together():
    clock = Clock()
    limiter = AdaptiveConcurrency(initial=64, clock=clock)
    slots = take(limiter, 64)
    for slot in slots[:40]:
        slot.release(THROTTLED)
    assert limiter.limit == 32
    for slot in slots[40:]:
        slot.release()
    clock.now += 60
    limiter.acquire().release(THROTTLED)
    assert limiter.limit == 16


def test_bounds_are_kept():
    clock = Clock()
    limiter = AdaptiveConcurrency(initial=3, minimum=2, maximum=4, clock=clock)
    for _ in range(20):
        limiter.acquire().release()
    assert limiter.limit == 4
    for _ in range(5):
        clock.now += 60
        limiter.acquire().release(THROTTLED)
    assert limiter.limit == 2


@pytest.mark.parametrize(
    "error", [E.BedrockValidationError("x"), E.BedrockServiceError("x"), E.BedrockTimeoutError("x")]
)
def test_errors_that_tell_nothing_about_load_change_nothing(error):
    limiter = AdaptiveConcurrency(initial=8)
    limiter.acquire().release(error)
    limiter.acquire().release(unused=True)
    assert limiter.limit == 8
    assert limiter.in_flight == 0


def test_lack_of_capacity_slows_down_as_throttling_does():
    limiter = AdaptiveConcurrency(initial=8)
    limiter.acquire().release(E.BedrockUnavailableError("x"))
    assert limiter.limit == 4


def test_a_place_is_given_back_once():
    limiter = AdaptiveConcurrency()
    slot = limiter.acquire()
    slot.release()
    slot.release()
    assert limiter.in_flight == 0


def test_after_throttling_nothing_is_sent_for_a_while_longer_each_time():
    clock = Clock()
    limiter = AdaptiveConcurrency(initial=8, longest_pause=0.6, clock=clock)
    for pause in (0.5, 0.6):
        limiter.acquire().release(THROTTLED)
        clock.now += pause - 0.01
        assert not limiter._may_send()
        clock.now += 0.02
        assert limiter._may_send()


def test_who_waits_after_throttling_is_woken_when_the_pause_is_over():
    limiter = AdaptiveConcurrency(initial=8, longest_pause=0.3)
    slot = limiter.acquire()
    started = time.monotonic()
    slot.release(THROTTLED)
    limiter.acquire().release(unused=True)
    assert time.monotonic() - started > 0.25


def test_retry_after_of_the_service_is_the_pause_if_it_is_longer():
    clock = Clock()
    limiter = AdaptiveConcurrency(clock=clock)
    headers = {"retry-after": "30"}
    error = E.BedrockThrottlingError("x", response={"ResponseMetadata": {"HTTPHeaders": headers}})
    limiter.acquire().release(error)
    clock.now += 29
    assert not limiter._may_send()
    clock.now += 1
    assert limiter._may_send()


async def test_calls_go_in_the_order_they_came():
    limiter = AdaptiveConcurrency(initial=1, maximum=1)
    first, order = limiter.acquire(), []

    async def call(number):
        slot = await limiter.acquire_async()
        order.append(number)
        slot.release()

    tasks = [asyncio.create_task(call(number)) for number in range(10)]
    await asyncio.sleep(0.01)
    assert order == []
    first.release()
    await asyncio.gather(*tasks)
    assert order == list(range(10))


async def test_cancelled_calls_leave_the_queue_and_lose_no_place():
    limiter = AdaptiveConcurrency(initial=1, maximum=1)
    first = limiter.acquire()
    tasks = [asyncio.create_task(limiter.acquire_async()) for _ in range(5)]
    await asyncio.sleep(0.01)
    for task in tasks[:3]:
        task.cancel()
    first.release()
    tasks[3].cancel()  # its place may have been given to it already
    slot = await tasks[4]
    slot.release()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert limiter.in_flight == 0
    limiter.acquire().release()


def test_threads_and_loops_share_one_bound():
    limiter = AdaptiveConcurrency(initial=3, maximum=3)
    lock, running, most = threading.Lock(), 0, 0

    def enter(step):
        nonlocal running, most
        with lock:
            running += step
            most = max(most, running)

    def thread():
        for _ in range(10):
            slot = limiter.acquire()
            enter(1)
            time.sleep(0.001)
            enter(-1)
            slot.release()

    async def task():
        slot = await limiter.acquire_async()
        enter(1)
        await asyncio.sleep(0.001)
        enter(-1)
        slot.release()

    async def tasks():
        await asyncio.gather(*(task() for _ in range(20)))

    threads = [threading.Thread(target=thread) for _ in range(4)]
    threads += [threading.Thread(target=lambda: asyncio.run(tasks())) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(10)
    assert most == 3
    assert limiter.in_flight == 0


def test_bounds_out_of_order_are_refused():
    with pytest.raises(ValueError, match="1 <= minimum"):
        AdaptiveConcurrency(initial=0)
    with pytest.raises(ValueError, match="maximum"):
        AdaptiveConcurrency(initial=10, maximum=5)


def test_limiter_bounds_the_calls_of_both_shells(make_settings, make_request):
    with LocalBedrock(engine=ScriptedEngine(["x"], repeat=True), first_token_delay=0.03) as running:
        limiter = AdaptiveConcurrency(initial=3, maximum=3)
        settings = make_settings(running.endpoint_url, limiter=limiter, timeout=None)
        workers = [
            threading.Thread(target=lambda: SyncTransport(settings).invoke(make_request())) for _ in range(6)
        ]
        for worker in workers:
            worker.start()

        async def main():
            async with AsyncTransport(settings) as transport:
                await asyncio.gather(*(transport.invoke(make_request()) for _ in range(10)))
                async for _ in transport.stream(make_request()):
                    assert limiter.in_flight >= 1

        asyncio.run(main())
        for worker in workers:
            worker.join()
        assert running.stats.peak_active == 3
        assert limiter.in_flight == 0


def test_throttling_inside_a_stream_slows_down_too(mode, faulty, make_settings, make_request):
    server = faulty(ExceptionFrame("throttlingException", after_chunks=1))
    limiter = AdaptiveConcurrency(initial=8)
    outcome = mode.run(make_settings(server.endpoint_url, limiter=limiter), make_request(), True)
    assert type(outcome.error) is E.BedrockThrottlingError
    assert limiter.limit == 4
    assert limiter.in_flight == 0


def test_waiting_for_a_place_does_not_count_against_the_calls_own_time(make_settings, make_request):
    with LocalBedrock(engine=ScriptedEngine(["x"], repeat=True), first_token_delay=0.2) as running:
        limiter = AdaptiveConcurrency(initial=1, maximum=1)
        settings = make_settings(running.endpoint_url, limiter=limiter, timeout=0.5)

        async def main():
            async with AsyncTransport(settings) as transport:
                return await asyncio.gather(*(transport.invoke(make_request()) for _ in range(5)))

        assert len(asyncio.run(main())) == 5


async def _run_all(url, limiter, count, make_settings, make_request):
    settings = make_settings(url, limiter=limiter, timeout=None, max_retries=4)
    async with AsyncTransport(settings) as transport:
        results = await asyncio.gather(
            *(transport.invoke(make_request()) for _ in range(count)), return_exceptions=True
        )
    return [result for result in results if isinstance(result, Exception)]


def _simulate(limiter, count, quotas, make_settings, make_request):
    """Send all prompts at once; return the failures, the refusals and the requests."""
    engine = ScriptedEngine(["x"], repeat=True)
    with LocalBedrock(engine=engine, quotas=quotas, first_token_delay=0.05) as running:
        failures = asyncio.run(_run_all(running.endpoint_url, limiter, count, make_settings, make_request))
        return failures, running.stats.errors, running.stats.requests


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_ten_thousand_prompts_finish_without_a_storm_of_refusals(make_settings, make_request):
    """A minute in a tenth of the time: 3,000 requests in 6 s."""
    quotas = Quotas(requests_per_minute=3000, minute=6.0)
    failures, refused, _ = _simulate(AdaptiveConcurrency(), 10_000, quotas, make_settings, make_request)
    assert failures == []
    assert refused < 500


@pytest.mark.slow
def test_prompts_far_above_the_quota_all_finish_with_few_refusals(make_settings, make_request):
    """900 prompts at once against 200 requests in 1 s, which a tenth of the calls in flight would use up."""
    quotas = Quotas(requests_per_minute=200, minute=1.0)
    failures, refused, requests = _simulate(AdaptiveConcurrency(), 900, quotas, make_settings, make_request)
    assert failures == []
    assert refused <= 0.2 * requests
    _, refused_without, _ = _simulate(None, 900, quotas, make_settings, make_request)
    assert refused < refused_without / 4
