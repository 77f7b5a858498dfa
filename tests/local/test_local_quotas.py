"""Quotas as Bedrock counts them: requests, and tokens reserved at admission."""

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import LocalBedrock, Quotas
from llama_bedrock.local.quotas import QuotaMeter
from llama_bedrock.local.runtime.frames import ServiceError


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def test_requests_are_counted_over_a_sliding_minute(clock):
    meter = QuotaMeter(Quotas(requests_per_minute=2), clock)
    meter.admit("m", 1)
    clock.now += 30
    meter.admit("m", 1)
    with pytest.raises(ServiceError, match="Too many requests"):
        meter.admit("m", 1)
    clock.now += 30  # the first one is a minute old
    meter.admit("m", 1)
    with pytest.raises(ServiceError, match="Too many requests"):
        meter.admit("m", 1)


def test_tokens_are_reserved_at_admission_and_given_back_at_the_end(clock):
    meter = QuotaMeter(Quotas(tokens_per_minute=1000), clock)
    reservation = meter.admit("m", 900)
    with pytest.raises(ServiceError, match="Too many tokens") as caught:
        meter.admit("m", 200)
    assert (caught.value.code, caught.value.status) == ("ThrottlingException", 429)
    reservation.settle(100)
    meter.admit("m", 900)
    with pytest.raises(ServiceError, match="Too many tokens"):
        meter.admit("m", 1)


def test_settled_tokens_leave_with_their_minute_and_late_settling_is_harmless(clock):
    meter = QuotaMeter(Quotas(tokens_per_minute=1000), clock)
    settled, open_one = meter.admit("m", 500), meter.admit("m", 500)
    settled.settle(10)
    clock.now += 60
    meter.admit("m", 1000)
    open_one.settle(1)  # its minute is over: nothing is given back twice
    with pytest.raises(ServiceError):
        meter.admit("m", 1)


def test_refused_requests_use_up_nothing_and_models_have_their_own_quota(clock):
    meter = QuotaMeter(Quotas(requests_per_minute=1, tokens_per_minute=10), clock)
    with pytest.raises(ServiceError):
        meter.admit("m", 11)
    meter.admit("m", 10)
    meter.admit("other", 10)


@pytest.mark.parametrize("settings", [{"requests_per_minute": 0}, {"tokens_per_minute": -1}, {"minute": 0}])
def test_quotas_must_be_positive(settings):
    with pytest.raises(ValueError, match=r"at least 1|must be positive"):
        Quotas(**settings)


def test_over_quota_is_a_429_that_boto3_knows(hello, connect):
    with LocalBedrock(hello, quotas=Quotas(requests_per_minute=1)) as server:
        bedrock = connect(server)
        bedrock.invoke()
        for call in (bedrock.invoke, lambda: list(bedrock.stream())):
            with pytest.raises(ClientError, match="Too many requests, please wait") as caught:
                call()
            assert caught.value.response["Error"]["Code"] == "ThrottlingException"
            assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 429


def test_a_large_max_gen_len_costs_quota_only_while_it_runs(hello, connect):
    with LocalBedrock(hello, quotas=Quotas(tokens_per_minute=1000)) as server:
        bedrock = connect(server)
        for _ in range(10):
            bedrock.invoke({"prompt": "Hi", "max_gen_len": 900})
        with pytest.raises(ClientError, match="Too many tokens"):
            bedrock.invoke({"prompt": "Hi", "max_gen_len": 1000})


def test_a_short_minute_makes_simulations_short(hello, connect):
    with LocalBedrock(hello, quotas=Quotas(requests_per_minute=1, minute=0.2)) as server:
        bedrock = connect(server, retries={"mode": "standard", "total_max_attempts": 10})
        for _ in range(3):
            assert bedrock.invoke()[0]["generation"] == "Hello world!"
