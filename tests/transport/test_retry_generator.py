"""The retry generator with a clock of its own: no sleeping, no network."""

import pytest

from llama_bedrock import errors as E
from llama_bedrock.transport.retry import RetryPolicy, attempts


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


def drive(error, policy=None, total=None, attempt_takes=0.0, fraction=1.0, limit=200):
    """Let every attempt fail with the error; return the waits until it is raised."""
    clock = Clock()
    series = attempts(policy or RetryPolicy(), total, clock=clock, fraction=lambda: fraction)
    attempt = next(series)
    waits = []
    for _ in range(limit):
        clock.now += attempt_takes
        try:
            attempt = series.send(error)
        except type(error):
            return waits, clock.now - 1000.0
        waits.append(attempt.wait)
        clock.now += attempt.wait
    raise AssertionError("it never gives up")


def test_waits_double_up_to_a_bound():
    waits, _ = drive(E.BedrockThrottlingError("x"), RetryPolicy(max_retries=7))
    assert waits == [1, 2, 4, 8, 16, 20, 20]


def test_jitter_is_full():
    waits, _ = drive(E.BedrockThrottlingError("x"), RetryPolicy(max_retries=3), fraction=0.0)
    assert waits == [0, 0, 0]
    waits, _ = drive(E.BedrockThrottlingError("x"), RetryPolicy(max_retries=3), fraction=0.5)
    assert waits == [0.5, 1, 2]


def test_no_retries_is_one_attempt():
    assert drive(E.BedrockThrottlingError("x"), RetryPolicy(max_retries=0))[0] == []


def test_attempts_are_numbered_and_know_when_the_call_ends():
    series = attempts(RetryPolicy(), 30.0, clock=Clock(), fraction=lambda: 0.1)
    first = next(series)
    second = series.send(E.BedrockThrottlingError("x"))
    assert (first.number, first.wait, first.ends_at) == (1, 0.0, 1030.0)
    assert (second.number, second.ends_at) == (2, 1030.0)


def test_total_time_is_never_waited_beyond():
    waits, seconds = drive(E.BedrockThrottlingError("x"), RetryPolicy(max_retries=99), total=10)
    assert waits == [1, 2, 4]
    assert seconds < 10


def throttled(seconds):
    return E.BedrockThrottlingError(
        "x", response={"ResponseMetadata": {"HTTPHeaders": {"retry-after": str(seconds)}}}
    )


def test_retry_after_lengthens_a_wait_and_never_shortens_it():
    assert drive(throttled(5), RetryPolicy(max_retries=2))[0] == [5, 5]
    assert drive(throttled(0), RetryPolicy(max_retries=2))[0] == [1, 2]


def test_retry_after_beyond_the_total_time_is_given_up_at_once():
    assert drive(throttled(60), RetryPolicy(max_retries=2), total=30) == ([], 0.0)


def test_waiting_for_a_model_is_not_counted_and_ends_with_an_attempt_at_the_end():
    policy = RetryPolicy(max_retries=0, model_ready_timeout=60)
    waits, seconds = drive(E.BedrockModelNotReadyError("x"), policy)
    assert sum(waits) == 60
    assert seconds == 60
    assert len(waits) > 5


def test_a_slow_answer_that_the_model_is_not_ready_counts_as_time():
    policy = RetryPolicy(max_retries=0, model_ready_timeout=60)
    _, seconds = drive(E.BedrockModelNotReadyError("x"), policy, attempt_takes=15)
    assert 60 <= seconds <= 90


def test_throttling_behind_a_limiter_is_bounded_by_time_not_by_number():
    policy = RetryPolicy(max_retries=0, throttle_patience=100)
    waits, seconds = drive(E.BedrockThrottlingError("x"), policy, attempt_takes=9)
    assert set(waits) == {0.0}
    assert 100 <= seconds <= 118


@pytest.mark.parametrize(
    "error",
    [E.BedrockValidationError("x"), E.BedrockQuotaExceededError("x"), E.BedrockCredentialsError("x")],
    ids=lambda error: type(error).__name__,
)
def test_final_errors_are_raised_at_once(error):
    assert drive(error, RetryPolicy(max_retries=5, throttle_patience=100))[0] == []


@pytest.mark.parametrize("cls", [E.BedrockModelTimeoutError, E.BedrockModelError])
def test_a_failing_model_gets_one_more_try(cls):
    assert len(drive(cls("x"), RetryPolicy(max_retries=5))[0]) == 1


def test_a_passed_total_deadline_is_final():
    error = E.BedrockTimeoutError("x")
    error.deadline = "total"
    assert drive(error)[0] == []
    error.deadline = "first_token"
    assert len(drive(error)[0]) == 4
