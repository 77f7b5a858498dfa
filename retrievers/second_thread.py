"""Work for a second core while the first goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def in_second_thread(work: Callable[[], T], name: str) -> Iterator[Future[T]]:
    """Do some work while a block runs; the end of the block waits for it.

    What breaks the block off, such as Ctrl-C, waits for nothing, and neither does the end of the program: an
    executor's thread would hold both until its work is done.

    Args:
        work: What the thread does.
        name: Of the thread.

    Yields:
        What becomes of the work.
    """
    future = Future[T]()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)

    Thread(target=run, name=name, daemon=True).start()
    yield future
    future.exception()
