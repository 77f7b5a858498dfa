"""An engine that says what a test told it to say, and remembers what it was asked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

from llama_bedrock.local.engines.interface import EngineError, EngineRequest, StopReason
from llama_bedrock.local.engines.pieces import pieces

Answer: TypeAlias = str | BaseException | Sequence[Any] | Callable[[EngineRequest], Any]
"""A text; an error; a sequence of text pieces that may end in an error or a `StopReason`; or a function of
the request that returns one of these."""


class ScriptedEngine:
    """Answers with given texts and errors, in order.

        engine = ScriptedEngine(
            [
                "Hello.",
                EngineError("ThrottlingException", "Too many requests"),
                lambda request: f"{len(request.prompt)} characters",
            ]
        )
        with LocalBedrock(engine=engine) as server:
            llm = ChatLlamaBedrock(
                model="meta.llama3-3-70b-instruct-v1:0", endpoint_url=server.endpoint_url, api_key="test"
            )
            assert llm.invoke("Hi").text == "Hello."
        assert "Hi" in engine.requests[0].prompt

    Args:
        answers: One for each request; see `Answer`. A text is sent in pieces of about a token; a sequence is
            sent piece by piece as given, so it decides where chunks end, and an error in it breaks the
            stream there.
        repeat: Begin again from the first answer when they are used up, instead of failing.

    Attributes:
        requests: The requests so far, in the order they came, each with `model_id`, `prompt`, `images`,
            `body`.
    """

    name = "scripted"

    def __init__(self, answers: Iterable[Answer], *, repeat: bool = False) -> None:
        if isinstance(answers, str):
            raise TypeError("answers is a list of answers, not one text; write ScriptedEngine([text])")
        self._answers = list(answers)
        self._repeat = repeat
        self._lock = threading.Lock()
        self.requests: list[EngineRequest] = []

    @property
    def blocking(self) -> bool:
        """True where an answer is a function, which may take its time."""
        return any(callable(answer) for answer in self._answers)

    @property
    def remaining(self) -> int:
        """Answers not given yet."""
        return max(0, len(self._answers) - len(self.requests))

    def generate(self, request: EngineRequest) -> Iterator[str]:
        """Give the next answer.

        Raises:
            EngineError: It is an error, or there is none left.
        """
        with self._lock:
            number = len(self.requests)
            self.requests.append(request)
        if self._repeat and self._answers:
            number %= len(self._answers)
        if number >= len(self._answers):
            raise EngineError(
                "ValidationException",  # one that no client tries again
                f"ScriptedEngine has {len(self._answers)} answers and this is request {number + 1}: add an "
                "answer, or check why the code under test calls the model more often than expected",
            )
        answer = self._answers[number]
        if callable(answer) and not isinstance(answer, type):
            answer = answer(request)
        return _play(answer)


def _play(answer: Any) -> Iterator[str]:
    """The pieces of an answer. An error that comes first is raised now, so that it answers the request
    itself.
    """
    if isinstance(answer, str):
        return iter([answer] if isinstance(answer, StopReason) else pieces(answer))
    if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
        raise _engine_error(answer)
    if isinstance(answer, Iterable):
        return _play_items(list(answer))
    raise TypeError(
        f"a scripted answer is a text, an error, a sequence of pieces or a function, not {answer!r}"
    )


def _play_items(items: list[Any]) -> Iterator[str]:
    if items and not isinstance(items[0], str):
        raise _engine_error(items[0])

    def play() -> Iterator[str]:
        for item in items:
            if not isinstance(item, str):
                raise _engine_error(item)
            yield item

    return play()


def _engine_error(error: Any) -> BaseException:
    """The Bedrock error that a given error stands for; an error that stands for none is raised as it is."""
    if isinstance(error, type) and issubclass(error, BaseException):
        error = error()
    if isinstance(error, EngineError) or not isinstance(error, BaseException):
        if isinstance(error, BaseException):
            return error
        return TypeError(f"a scripted answer holds {error!r}, which is neither text nor an error")
    response = getattr(error, "response", None)
    if isinstance(response, dict) and "Error" in response:  # botocore's ClientError, and our own errors
        details = {key: value for key, value in response.items() if key not in ("Error", "ResponseMetadata")}
        return EngineError(
            str(response["Error"].get("Code")), str(response["Error"].get("Message", "")), **details
        )
    return error
