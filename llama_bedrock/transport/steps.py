"""Jobs of several calls, written once for both shells: a generator says what to do next, a shell does it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from llama_bedrock.errors import LlamaBedrockError

if TYPE_CHECKING:
    from llama_bedrock.transport.aio import AsyncTransport
    from llama_bedrock.transport.sync import SyncTransport

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Request:
    """The job wants the response of an operation, as `SyncTransport.call` gives it."""

    service: str
    operation: str
    arguments: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Pause:
    """The job goes on after so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Work:
    """The job wants the result of a function.

    Attributes:
        run: What the synchronous shell calls, and without `arun` the other one in a thread. It is given an
            event that is set when nobody waits for it any more.
        arun: What the asynchronous shell awaits.
    """

    run: Callable[[threading.Event], Any]
    arun: Callable[[], Awaitable[Any]] | None = None


Step: TypeAlias = Request | Pause | Work
Steps: TypeAlias = Generator[Step, Any, Result]


@dataclass(frozen=True, slots=True)
class Transports:
    """How a job reaches each service.

    Attributes:
        of_sync: The synchronous transport for a service, by boto3's name of it.
        of_async: The asynchronous one; not asked for S3, which does not speak JSON.
    """

    of_sync: Callable[[str], SyncTransport]
    of_async: Callable[[str], AsyncTransport]


def drive(steps: Steps[Result], transports: Transports) -> Result:
    """Do a job; return its result. What a call raises, the job may catch.

    Raises:
        LlamaBedrockError: A call failed, after retries where they make sense, and the job could not go on.
    """
    go_on, value = steps.send, None
    try:
        while True:
            step = go_on(value)
            try:
                go_on, value = steps.send, _do(step, transports)
            except LlamaBedrockError as error:
                go_on, value = steps.throw, error
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


async def adrive(steps: Steps[Result], transports: Transports) -> Result:
    """`drive` from an event loop, which is not blocked; cancelling the task ends the job at its next step."""
    go_on, value = steps.send, None
    try:
        while True:
            step = go_on(value)
            try:
                go_on, value = steps.send, await _ado(step, transports)
            except LlamaBedrockError as error:
                go_on, value = steps.throw, error
    except StopIteration as end:
        result: Result = end.value
        return result
    finally:
        steps.close()


def _do(step: Step, transports: Transports) -> Any:
    if isinstance(step, Pause):
        time.sleep(step.seconds)
        return None
    if isinstance(step, Work):
        return step.run(threading.Event())
    return transports.of_sync(step.service).call(step.service, step.operation, **step.arguments)


async def _ado(step: Step, transports: Transports) -> Any:
    if isinstance(step, Pause):
        return await asyncio.sleep(step.seconds)
    if isinstance(step, Work) and step.arun is not None:
        return await step.arun()
    if isinstance(step, Request) and step.service != "s3":
        transport = transports.of_async(step.service)
        return await transport.call(step.service, step.operation, **step.arguments)
    over = threading.Event()
    try:
        return (
            await asyncio.to_thread(step.run, over)
            if isinstance(step, Work)
            else await asyncio.to_thread(_do, step, transports)
        )
    except asyncio.CancelledError:
        over.set()
        raise
