"""Spread: one chat model over several targets of the same kind, by the health that each has shown."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Sequence
from contextlib import aclosing, closing
from operator import is_
from typing import Any, ClassVar, Literal, Self, TypeVar, cast

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from pydantic import Field, PrivateAttr, model_validator

from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.errors import BedrockThrottlingError, LlamaBedrockError
from llama_bedrock.routing.lanes import Lanes, LaneTurn, TargetHealth
from llama_bedrock.routing.routed_chat_model import (
    RoutedChatModel,
    answer_of,
    refuse_member,
    result_of,
)
from llama_bedrock.settings import CALL_ENDS_BY
from llama_bedrock.transport.connection import Timeout
from llama_bedrock.transport.retry import RetryPolicy, attempts
from llama_bedrock.usage import ATTEMPTS_KEY, calls_of

MessageT = TypeVar("MessageT", bound=AIMessage)

logger = logging.getLogger(__name__)

_RETRIES = RetryPolicy().max_retries
_SPREAD_DOES_IT = {
    "limiter": "Spread itself finds out what each target takes",
    "fallback_models": "make a target of each",
    "fallback_regions": "make a target of each",
}


class Spread(RoutedChatModel):
    """A chat model that spreads its calls over targets: regions, inference profiles, provisioned units.

    A call that a target refuses or fails goes to another one at once. Only when none can take it, it waits: a
    throttled target for its next free moment, else as a model waits between retries. A stream stays where it
    has begun. Targets are the same model to whoever asks: what is bound or given with a call goes to each.

    Example:
        ```python
        regions = ["us-east-1", "us-east-2", "us-west-2"]
        llm = Spread(
            [ChatLlamaBedrock(model="us.meta.llama3-3-70b-instruct-v1:0", region_name=r) for r in regions]
        )
        llm.invoke("What is a llama?").response_metadata["region_name"]
        ```

    Health is the process's: copies and other processes begin with their own.

    Args:
        targets: Two or more `ChatLlamaBedrock`. Their own `max_retries`, `model_ready_timeout` and total
            `timeout` become those of the whole call, the greatest of each.
        by: ``"least-throttled"``: calls go where fewest are under way and where few were throttled or failed
            in the last minute; ``"weights"``: in proportion to `weights`, without targets that are out.
        weights: A positive number for each target, with ``by="weights"`` only.
        max_retries: How often all targets may have failed before the error is raised.
        patience: Seconds a call goes on while the targets are throttled; then `BedrockThrottlingError`.
        faults_to_open: Faults in a row after which a target is left out: for a second, twice as long each
            time, up to a minute. Then a single call tries it. Wrong credentials and the like count as many.
    """

    targets: list[ChatLlamaBedrock]
    by: Literal["least-throttled", "weights"] = "least-throttled"
    weights: list[float] | None = None
    max_retries: int | None = Field(default=None, ge=0)
    patience: float = Field(default=60.0, ge=0)
    faults_to_open: int = Field(default=5, ge=1)

    _own: ClassVar[tuple[str, ...]] = ("_lanes", "_made")
    _lanes: Lanes | None = PrivateAttr(default=None)
    _lanes_of: tuple[Any, ...] = PrivateAttr(default=())
    _made: dict[int, tuple[tuple[Any, ...], ChatLlamaBedrock]] = PrivateAttr(default_factory=dict)

    def __init__(self, targets: Sequence[ChatLlamaBedrock] = (), /, **settings: Any) -> None:
        given: dict[str, Any] = {"targets": list(targets)} if targets else {}
        super().__init__(**given, **settings)

    @model_validator(mode="before")
    @classmethod
    def _check_targets(cls, given: Any) -> Any:
        if isinstance(given, dict):
            _refuse_targets(given.get("targets", ()))
        return given

    @model_validator(mode="after")
    def _check_settings(self) -> Self:
        self._refuse_settings()
        return self

    def _refuse_settings(self) -> None:
        count = len(self.targets)
        if count < 2:
            raise ValueError(f"Spread needs two targets or more, and has {count or 'none'}")
        if self.by == "weights":
            given = self.weights or ()
            if len(given) != count or not all(0 < weight < math.inf for weight in given):
                raise ValueError(
                    f'by="weights" needs weights=[…], a positive number for each of {count} targets'
                )
        elif self.weights is not None:
            raise ValueError('weights= has no effect without by="weights"')

    def health(self) -> tuple[TargetHealth, ...]:
        """What each target has shown so far, in the order of `targets`."""
        return self._all_lanes().health([(target.model, target.region_name) for target in self.targets])

    def _members(self) -> list[ChatLlamaBedrock | RoutedChatModel]:
        self._all_lanes()  # which refuses what targets may not be changed to
        return [self._once(number) for number in range(len(self.targets))]

    def _once(self, number: int) -> ChatLlamaBedrock:
        """A target that tries once and waits for nothing, made anew when the target was changed."""
        target = self.targets[number]
        fields = tuple(target.__dict__.values())
        known, made = self._made.get(number, (None, None))
        if made is None or known is None or len(known) != len(fields) or not all(map(is_, known, fields)):
            made = target.model_copy(update={"max_retries": 0, "model_ready_timeout": 0.0})
            self._made[number] = (fields, made)
        return made

    def _all_lanes(self) -> Lanes:
        """The ways to the targets, made anew when those, or how they are chosen, were changed."""
        of = (self.by, self.faults_to_open, *(self.weights or ()), *self.targets)
        known, lanes = self._lanes_of, self._lanes
        if lanes is None or len(known) != len(of) or not all(map(is_, known, of)):
            _refuse_targets(self.targets)
            self._refuse_settings()
            lanes = Lanes(self.weights, len(self.targets), self.faults_to_open)
            self._lanes_of, self._lanes = of, lanes
        return lanes

    def _route(self) -> _Route:
        retries = [_RETRIES if t.max_retries is None else t.max_retries for t in self.targets]
        policy = RetryPolicy(
            max_retries=max(retries) if self.max_retries is None else self.max_retries,
            model_ready_timeout=max(target.model_ready_timeout for target in self.targets),
            throttle_patience=self.patience,
        )
        totals = [Timeout.of(target.timeout).total for target in self.targets]
        total = None if None in totals else max(total for total in totals if total is not None)
        return _Route(self._all_lanes(), policy, total)

    # -- what LangChain calls ------------------------------------------------------------------------------

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        route = self._route()
        while True:
            turn, wait = route.next()
            if wait:
                time.sleep(wait)
            if turn is not None and turn.begin():
                with turn:
                    target = self._once(turn.number)
                    given = {**kwargs, **route.told_target()}
                    return route.told(target._generate(messages, stop, run_manager, **given))

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        route = self._route()
        while True:
            turn, wait = route.next()
            if wait:
                await asyncio.sleep(wait)
            if turn is not None and turn.begin():
                with turn:
                    target = self._once(turn.number)
                    given = {**kwargs, **route.told_target()}
                    return route.told(await target._agenerate(messages, stop, run_manager, **given))

    def _stream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: CallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> Iterator[ChatGenerationChunk]:
        route = self._route()
        while True:
            turn, wait = route.next()
            if wait:
                time.sleep(wait)
            if turn is not None and turn.begin():
                with turn:
                    given = {**kwargs, **route.told_target()}
                    answer = self._once(turn.number)._stream_of_model(messages, stop, run_manager, given)
                    with closing(cast("Generator[ChatGenerationChunk]", answer)) as chunks:
                        for chunk in chunks:
                            if not turn.committed:
                                turn.commit()
                            yield route.told_last(chunk)
                    return

    async def _astream_of_model(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None,
        run_manager: AsyncCallbackManagerForLLMRun | None,
        kwargs: dict[str, Any],
    ) -> AsyncIterator[ChatGenerationChunk]:
        route = self._route()
        while True:
            turn, wait = route.next()
            if wait:
                await asyncio.sleep(wait)
            if turn is not None and turn.begin():
                with turn:
                    given = {**kwargs, **route.told_target()}
                    answer = self._once(turn.number)._astream_of_model(messages, stop, run_manager, given)
                    async with aclosing(cast("AsyncGenerator[ChatGenerationChunk]", answer)) as chunks:
                        async for chunk in chunks:
                            if not turn.committed:
                                turn.commit()
                            yield route.told_last(chunk)
                    return


def _refuse_targets(targets: Any) -> None:
    for number, target in enumerate(targets if isinstance(targets, list | tuple) else ()):
        name = f"targets[{number}]"
        refuse_member("Spread", name, target, (ChatLlamaBedrock,))
        for setting, instead in _SPREAD_DOES_IT.items():
            if getattr(target, setting):
                raise ValueError(f"{name} has {setting}=…: leave it out, {instead}")


class _Route:
    """A call on its way: which target is next, and what it has met so far.

    Args:
        lanes: The ways to the targets.
        policy: How often and how long to go on.
        total: Seconds for the whole call.
    """

    def __init__(self, lanes: Lanes, policy: RetryPolicy, total: float | None) -> None:
        self._lanes = lanes
        self._series = attempts(policy, total)
        self._attempt = next(self._series)
        self._turn: LaneTurn | None = None
        self._failed: list[dict[str, Any]] = []
        self._faulty: set[int] = set()  # targets that have failed since the last wait
        self._error: LlamaBedrockError | None = None

    def next(self) -> tuple[LaneTurn | None, float]:
        """The next target's turn, None if there is none yet; and the seconds to wait first.

        Raises:
            LlamaBedrockError: No target could answer, and the call has gone on for long enough.
        """
        self._take_error()
        turn = self._lanes.free(without=self._faulty)
        if turn is None and self._error is not None:
            error, self._error = self._error, None
            if wait := self._wait_after(error):
                self._faulty.clear()
                return None, wait
        turn = self._turn = turn or self._lanes.soonest(without=self._faulty)
        if turn is None:  # all circuits are open, or those that are not have just failed
            self._faulty.clear()
            return None, self._wait_after(self._lanes.why_none())
        ends_at = self._attempt.ends_at
        if ends_at is not None and self._lanes.clock() + turn.wait >= ends_at:
            raise self._told_where(turn.why_waiting())
        if turn.wait:
            self._faulty.clear()
        return turn, turn.wait

    def told_target(self) -> dict[str, Any]:
        """What a target is told with the call: by when the whole of it must be over."""
        ends_at = self._attempt.ends_at
        return {} if ends_at is None else {CALL_ENDS_BY: ends_at}

    def told(self, result: ChatResult) -> ChatResult:
        """The result, which tells what was tried before."""
        message = answer_of(result)
        return result_of(self._with_attempts(message)) if self._failed else result

    def told_last(self, chunk: ChatGenerationChunk) -> ChatGenerationChunk:
        """The chunk; the one with the answer's usage tells what was tried before."""
        message = cast("AIMessageChunk", chunk.message)
        if not self._failed or not message.usage_metadata:
            return chunk
        return ChatGenerationChunk(message=self._with_attempts(message))

    def _with_attempts(self, message: MessageT) -> MessageT:
        told = {**message.response_metadata, ATTEMPTS_KEY: [*self._failed, *calls_of(message)]}
        return message.model_copy(update={"response_metadata": told})

    def _take_error(self) -> None:
        """Note how the last turn went."""
        turn, self._turn = self._turn, None
        if turn is None or turn.error is None:
            return
        error = turn.error
        if turn.begun:
            logger.info("trying another target after: %s", error)
            self._failed.append(
                {"model_name": error.model_id, "region_name": error.region, "error": type(error).__name__}
            )
            if not isinstance(error, BedrockThrottlingError):
                self._faulty.add(turn.number)
        if self._error is None or _promise(error) >= _promise(self._error):
            self._error = error

    def _wait_after(self, error: LlamaBedrockError) -> float:
        """Count a round that failed; returns the seconds to wait before another."""
        try:
            self._attempt = self._series.send(error)
        except LlamaBedrockError as final:
            raise self._told_where(final) from None
        return self._attempt.wait

    def _told_where(self, error: LlamaBedrockError) -> LlamaBedrockError:
        if self._failed:
            tried = (f"{one['model_name']} in {one['region_name']}: {one['error']}" for one in self._failed)
            error.add_note("Spread tried " + "; ".join(tried))
        return error


def _promise(error: LlamaBedrockError) -> int:
    """How much waiting promises: a quota fills up again, a fault may pass, the rest stays."""
    return error.is_retryable + (error.is_retryable and isinstance(error, BedrockThrottlingError))
