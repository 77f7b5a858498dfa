"""Work that Ctrl-C stops while the program goes on."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager, ExitStack
from types import TracebackType
from typing import Any, TypeVar

T = TypeVar("T")

_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.2  # Windows delivers Ctrl-C only between two waits


class TurnLoop:
    """An event loop in a thread of its own, for a program whose main thread waits for people.

    The loop goes on while the main thread reads a line, so sessions of servers stay alive. Ctrl-C reaches the
    main thread: the coroutine that it waits for is cancelled, and so closes its connection.
    """

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="llama-bedrock-turns", daemon=True
        )

    def __enter__(self) -> TurnLoop:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(_cancel_all())
        self.run(self._loop.shutdown_asyncgens())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_STOP_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    def enter(self, stack: ExitStack, manager: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context here, to be left with the stack."""
        value = self.run(manager.__aenter__())
        stack.callback(lambda: self.run(manager.__aexit__(None, None, None)))
        return value

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Wait for a coroutine.

        Raises:
            KeyboardInterrupt: Ctrl-C was pressed; the coroutine has been cancelled and has ended.
        """
        ended = threading.Event()

        async def watched() -> T:
            try:
                return await work
            finally:
                ended.set()

        future = asyncio.run_coroutine_threadsafe(watched(), self._loop)
        try:
            while not ended.wait(_POLL_SECONDS) and not future.done():
                pass
            return future.result()
        except KeyboardInterrupt:
            future.cancel()
            ended.wait(_STOP_SECONDS)
            raise


async def _cancel_all() -> None:
    """End what still runs, such as a call whose answer nobody waits for."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
