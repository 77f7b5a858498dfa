"""Calls through other libraries with this one's retries, limits and errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.limiter import AdaptiveConcurrency
from llama_bedrock.transport.retry import RetryPolicy, attempts

T = TypeVar("T")


class RemoteCalls:
    """Makes calls to one operation of a service.

    Args:
        context: Which operation, for the errors.
        policy: How often and how long to try.
        limiter: Bounds the calls in flight; None: no bound.
    """

    def __init__(
        self, context: CallContext, policy: RetryPolicy, limiter: AdaptiveConcurrency | None = None
    ) -> None:
        self.context = context
        self._policy = policy
        self._limiter = limiter

    def run(self, call: Callable[[], T], *, limited: bool = True) -> T:
        """The result of a call, tried again while the service may still answer.

        Raises:
            LlamaBedrockError: The service failed for good.
            Exception: The call raised something that is no fault of the service.
        """
        limiter = self._limiter if limited else None
        series = attempts(self._policy)
        attempt = next(series)
        while True:
            time.sleep(attempt.wait)
            slot = limiter.acquire() if limiter else None
            failure: LlamaBedrockError | None = None
            try:
                return call()
            except Exception as error:  # noqa: BLE001  what is no fault of the service is raised again
                failure = self._fault(error)
            finally:
                if slot:
                    slot.release(failure)
            attempt = series.send(failure)

    async def arun(self, call: Callable[[], Awaitable[T]], *, limited: bool = True) -> T:
        """As `run`."""
        limiter = self._limiter if limited else None
        series = attempts(self._policy)
        attempt = next(series)
        while True:
            await asyncio.sleep(attempt.wait)
            slot = await limiter.acquire_async() if limiter else None
            failure: LlamaBedrockError | None = None
            try:
                return await call()
            except Exception as error:  # noqa: BLE001  what is no fault of the service is raised again
                failure = self._fault(error)
            finally:
                if slot:
                    slot.release(failure)
            attempt = series.send(failure)

    def _fault(self, error: Exception) -> LlamaBedrockError:
        fault = self.context.from_exception(error)
        if fault is None:
            raise error
        return fault
