"""A block waits for the work beside it, unless it is broken off."""

from threading import Event

import pytest

from llama_bedrock.retrievers.second_thread import in_second_thread


def test_the_end_of_the_block_waits_for_the_work():
    begun = Event()

    def work():
        begun.wait()
        return "done"

    with in_second_thread(work, "work") as future:
        assert not future.done()
        begun.set()
    assert future.done()
    assert future.result() == "done"


def test_a_block_that_is_broken_off_waits_for_nothing():
    go_on = Event()
    futures = []

    def broken_off():
        with in_second_thread(go_on.wait, "work") as future:
            futures.append(future)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert not futures[0].done()
    go_on.set()
    assert futures[0].result() is True


def test_what_the_work_raises_is_raised_where_its_result_is_asked_for():
    with in_second_thread(lambda: 1 / 0, "work") as future, pytest.raises(ZeroDivisionError):
        future.result()
    with pytest.raises(ZeroDivisionError):
        future.result()
