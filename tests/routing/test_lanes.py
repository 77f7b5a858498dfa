"""Which target is next: pauses, ramps, circuits, shares and weights, on a clock of the test's own."""

import threading

import pytest

from llama_bedrock import errors as E
from llama_bedrock.routing.lanes import Lanes, LaneTurn

THROTTLED = E.BedrockThrottlingError("slow down")
FAULT = E.BedrockServiceError("broken")
DENIED = E.BedrockAccessDeniedError("not yours")
NAMES = [("a", "us-east-1"), ("b", "us-east-2"), ("c", "us-west-2")]


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def lanes(clock):
    def made(count=2, weights=None, faults_to_open=3):
        return Lanes(weights, count, faults_to_open, clock)

    return made


def use(turn, error=None):
    """Go through with a turn; tells whether another target may take the call."""
    assert turn.begin()
    with turn:
        if error is not None:
            raise error
        return False
    return True


def only(lanes, number):
    """The turn at one target."""
    return lanes.free(without={n for n in range(3) if n != number})


def health(lanes, number, count=2):
    return lanes.health(NAMES[:count])[number]


def test_calls_go_where_fewest_are_under_way(lanes):
    three = lanes(3)
    turns = [three.free() for _ in range(6)]
    assert [turn.number for turn in turns] == [0, 1, 2, 0, 1, 2]
    use(turns[1])
    assert three.free().number == 1


def test_a_throttled_target_is_left_alone_and_has_half_a_share_that_a_minute_restores(lanes, clock):
    two = lanes()
    assert use(only(two, 0), THROTTLED)
    assert health(two, 0).share == 0.5
    assert health(two, 0).paused_for == 0.5
    assert [two.free().number for _ in range(3)] == [1, 1, 1]
    clock.now += 30
    assert health(two, 0).share == 1.0
    assert health(two, 0).paused_for == 0


def test_targets_that_were_throttled_get_fewer_calls(lanes, clock):
    two = lanes()
    for _ in range(3):
        use(only(two, 0), THROTTLED)
        clock.now += 20  # longer than each pause
    turns = [two.free() for _ in range(24)]
    counts = [sum(turn.number == n for turn in turns) for n in (0, 1)]
    assert 2 <= counts[0] <= 12 < counts[1]


def test_after_a_pause_calls_double_each_quarter_of_a_second(lanes, clock):
    one = lanes()
    use(only(one, 0), THROTTLED)
    clock.now += 0.5
    sent = []
    for _ in range(5):
        batch = 0
        while (turn := only(one, 0)) is not None:
            use(turn)
            batch += 1
        sent.append(batch)
        clock.now += 0.25
    assert sent == [1, 1, 2, 4, 8]  # 1, 2, 4, 8, 16 in all


def test_waiting_calls_each_have_a_moment_of_their_own(lanes, clock):
    two = lanes()
    for number in (0, 1):
        use(only(two, number), THROTTLED)
    turns = [two.soonest() for _ in range(8)]
    assert sorted(turn.number for turn in turns) == [0] * 4 + [1] * 4
    moments = sorted(round(turn.wait, 3) for turn in turns if turn.number == 0)
    assert moments == [0.5, 0.75, pytest.approx(0.896, abs=1e-3), 1.0]
    clock.now += 1
    assert all(not use(turn) for turn in turns)
    assert health(two, 0).in_flight == 0


def test_a_moment_that_was_waited_for_is_void_after_another_throttling(lanes, clock):
    one = lanes()
    for number in (0, 1):
        use(only(one, number), THROTTLED)
    first, second = (turn for turn in [one.soonest() for _ in range(4)] if turn.number == 0)
    clock.now += first.wait
    use(first, THROTTLED)
    clock.now += second.wait
    assert not second.begin()
    assert type(second.error) is E.BedrockThrottlingError
    assert second.error is not THROTTLED  # two calls raise it, each its own


def test_pauses_grow_while_nothing_is_admitted_and_calls_in_flight_together_count_once(lanes, clock):
    one = lanes()
    pauses = []
    for _ in range(7):
        turns = [only(one, 0)]
        use(turns[0], THROTTLED)
        pauses.append(health(one, 0).paused_for)
        clock.now += pauses[-1]
    assert pauses == [0.5, 1, 2, 4, 8, 15, 15]
    use(only(one, 0))
    clock.now += 10
    together = [only(one, 0) for _ in range(5)]
    for turn in together:
        use(turn, THROTTLED)
    assert health(one, 0).paused_for == 0.5


def test_retry_after_is_the_pause_if_it_is_longer(lanes):
    one = lanes()
    headers = {"retry-after": "30"}
    use(
        only(one, 0),
        E.BedrockThrottlingError("x", response={"ResponseMetadata": {"HTTPHeaders": headers}}),
    )
    assert health(one, 0).paused_for == 30


def test_a_circuit_opens_after_faults_in_a_row_and_one_probe_closes_it(lanes, clock):
    two = lanes()
    for _ in range(2):
        use(only(two, 0), FAULT)
    use(only(two, 0))
    for _ in range(3):
        assert health(two, 0).circuit == "closed"
        use(only(two, 0), FAULT)
    assert health(two, 0).circuit == "open"
    assert only(two, 0) is None
    clock.now += 1
    assert health(two, 0).circuit == "half-open"
    probe = two.free()
    assert probe.number == 0
    assert [two.free().number for _ in range(3)] == [1, 1, 1]  # one probe at a time
    use(probe, FAULT)
    clock.now += 1.5
    assert only(two, 0) is None  # twice as long
    clock.now += 0.5
    use(only(two, 0))
    assert health(two, 0).circuit == "closed"
    assert only(two, 0) is None  # and it is not rushed at
    clock.now += 0.25
    assert only(two, 0) is not None


def test_a_probe_that_is_throttled_has_shown_that_the_target_lives(lanes, clock):
    two = lanes()
    use(only(two, 0), DENIED)
    assert health(two, 0).circuit == "open"  # at once: waiting mends nothing
    clock.now += 1
    use(only(two, 0), THROTTLED)
    assert health(two, 0).circuit == "closed"
    assert health(two, 0).paused_for == 0.5


def test_a_probe_that_is_cancelled_leaves_room_for_the_next(lanes, clock):
    two = lanes()
    use(only(two, 0), DENIED)
    clock.now += 1
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), only(two, 0):
            raise KeyboardInterrupt
    assert health(two, 0).in_flight == 0
    assert health(two, 0).circuit == "half-open"


def test_faults_of_calls_that_were_under_way_do_not_open_it_twice(lanes, clock):
    two = lanes(faults_to_open=2)
    turns = [only(two, 0) for _ in range(20)]
    for turn in turns:
        use(turn, FAULT)
    assert health(two, 0).paused_for == 1
    assert health(two, 0).faults == 20


@pytest.mark.parametrize(
    "error", [E.BedrockValidationError("x"), E.BedrockContextOverflowError("x"), ValueError("x")]
)
def test_mistakes_of_the_caller_are_raised_and_say_nothing_of_the_target(lanes, error):
    two = lanes(faults_to_open=1)
    with pytest.raises(type(error)):
        use(only(two, 0), error)
    told = health(two, 0)
    assert (told.circuit, told.share, told.faults, told.in_flight) == ("closed", 1.0, 0, 0)


def test_a_committed_call_stays_and_its_error_counts(lanes):
    two = lanes(faults_to_open=1)
    turn = only(two, 0)
    turn.commit()
    with pytest.raises(E.BedrockServiceError):
        use(turn, FAULT)
    assert health(two, 0).circuit == "open"


def test_the_callers_time_that_ran_out_is_raised_and_counts(lanes):
    late = E.BedrockTimeoutError("too late")
    late.deadline = "total"
    two = lanes(faults_to_open=1)
    with pytest.raises(E.BedrockTimeoutError):
        use(only(two, 0), late)
    assert health(two, 0).circuit == "open"


def test_weights_share_calls_out_and_a_target_that_was_out_catches_nothing_up(lanes, clock):
    three = lanes(3, weights=[1, 2, 5])
    numbers = [three.free().number for _ in range(80)]
    assert [numbers.count(n) for n in range(3)] == [10, 20, 50]
    use(only(three, 2), DENIED)
    assert [three.free().number for _ in range(30)].count(0) == 10
    clock.now += 1
    use(only(three, 2))
    clock.now += 10
    numbers = [three.free().number for _ in range(80)]
    assert [numbers.count(n) for n in range(3)] == pytest.approx([10, 20, 50], abs=2)


def test_threads_share_the_state(lanes):
    three = lanes(3)

    def work(number):
        for round_ in range(200):
            turn = three.free()
            if turn is not None:
                use(turn, FAULT if (number + round_) % 50 == 0 else None)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = three.health(NAMES)
    assert [one.in_flight for one in told] == [0, 0, 0]
    assert sum(one.faults for one in told) == 32
    assert sum(one.calls for one in told) == 1600


@pytest.mark.parametrize("fault", [E.BedrockThrottlingError("x"), E.BedrockServiceError("x")])
def test_what_is_noted_on_a_callers_error_is_not_told_the_next_caller(lanes, fault):
    one = lanes(1, faults_to_open=1)
    use(only(one, 0), fault)
    fault.add_note("what this call tried")
    fault.attempts = ["what this call has used"]
    for told in (one.why_none(), LaneTurn(one, one._lanes[0]).why_waiting()):
        assert type(told) is type(fault)
        assert "this call" not in str(vars(told))
