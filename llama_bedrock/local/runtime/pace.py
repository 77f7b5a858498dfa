"""When tokens are due, so cheaply that a thousand paced streams fit on one core."""

from __future__ import annotations

import asyncio
import math

_TICKS_PER_SECOND = 1000


class Ticker:
    """Wakes sleepers together, on ticks of a millisecond.

    Streams that are due in the same tick share one timer; `asyncio.sleep` would make one for each token, at
    twice the cost. One event loop has one.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sleepers: dict[int, list[asyncio.Future[None]]] = {}

    def time(self) -> float:
        """The clock that `until` goes by, in seconds."""
        return self._loop.time()

    def until(self, due: float) -> asyncio.Future[None]:
        """To be awaited: done at `due`, or up to a tick later."""
        tick = math.ceil(due * _TICKS_PER_SECOND)
        future = self._loop.create_future()
        sleepers = self._sleepers.get(tick)
        if sleepers is None:
            self._sleepers[tick] = [future]
            self._loop.call_at(tick / _TICKS_PER_SECOND, self._wake, tick)
        else:
            sleepers.append(future)
        return future

    def _wake(self, tick: int) -> None:
        for future in self._sleepers.pop(tick):
            if not future.done():  # cancelled: the client has left
                future.set_result(None)


class Pace:
    """The schedule of one answer.

    Args:
        ticker: Of the running loop.
        first_token_delay: Seconds from now to the first token.
        token_delay: Seconds between tokens. What is late is sent at once, so lateness does not add up.
    """

    def __init__(self, ticker: Ticker, first_token_delay: float, token_delay: float) -> None:
        self._ticker = ticker
        self._due = ticker.time() + first_token_delay
        self._step = token_delay
        self.enabled = first_token_delay > 0 or token_delay > 0

    async def next(self) -> None:
        """Wait until the next token is due."""
        due = self._due
        self._due += self._step
        if due > self._ticker.time():
            await self._ticker.until(due)
