"""Questions and their answers as server-sent events; approvals; verdicts on a click."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import TYPE_CHECKING, Any

from langchain_core.documents import Document
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from llama_bedrock.app.conversations.answer_record import (
    ANSWER_KEY,
    answer_record,
    passage_place,
    verified_again,
)
from llama_bedrock.app.conversations.kept_thread import check_thread
from llama_bedrock.app.conversations.tool_approval import DECLINED, call_text
from llama_bedrock.app.event_stream import EventStream, sse, while_connected
from llama_bedrock.app.http_errors import ApiError, failure
from llama_bedrock.app.page.page_threads import PageThreads, SentPrompt, message_json
from llama_bedrock.app.page.request_fields import json_object, optional_text, text_field
from llama_bedrock.app.page.thread_routes import approval_json
from llama_bedrock.app.page.verifier_choice import VerifierChoice

if TYPE_CHECKING:
    from llama_bedrock.app.app_state import AppState
    from llama_bedrock.app.conversations.kept_thread import KeptThread
    from llama_bedrock.grounding import Verifier
    from llama_bedrock.grounding.answers import RagAnswer

LONGEST_QUESTION = 20_000
"""Characters; Bedrock's Retrieve takes no more either."""

_CLOSE_SECONDS = 5.0

Frames = AsyncGenerator[bytes, None]


class AnswerRoutes:
    """Routes that make a model work.

    Args:
        state: Of the application.
        threads: The conversations.
        verifiers: Who can judge citations.
    """

    def __init__(self, state: AppState, threads: PageThreads, verifiers: VerifierChoice) -> None:
        self._state = state
        self._threads = threads
        self._verifiers = verifiers

    def routes(self) -> list[BaseRoute]:
        """The routes."""
        return [
            Route("/api/ask", self._ask, methods=["POST"]),
            Route("/api/decide", self._decide, methods=["POST"]),
            Route("/api/verify", self._verify, methods=["POST"]),
        ]

    async def _ask(self, request: Request) -> Response:
        """Answer a question: ``{thread, question, model?, verifier?, replaces?}``."""
        given = await json_object(request)
        question = text_field(given, "question", longest=LONGEST_QUESTION).strip()
        turn = self._turn(given)
        replaces = optional_text(given, "replaces")
        return EventStream(turn.ask(question, replaces))

    async def _decide(self, request: Request) -> Response:
        """Go on after a person's decision on each call: ``{thread, decisions: [bool], model?}``."""
        given = await json_object(request)
        decisions = given.get("decisions")
        if not isinstance(decisions, list) or not all(isinstance(one, bool) for one in decisions):
            raise ApiError(400, "decisions must be a list of true and false", param="decisions")
        return EventStream(self._turn(given).decide(decisions))

    async def _verify(self, request: Request) -> Response:
        """Judge the citations of an answer anew: ``{thread, message, verifier, model?}``."""
        given = await json_object(request)
        return JSONResponse(await while_connected(request, self._verified(given)))

    async def _verified(self, given: dict[str, Any]) -> dict[str, Any]:
        name = check_thread(text_field(given, "thread"))
        wanted = text_field(given, "message")
        verifier = self._verifier(given)
        if verifier is None:
            known = ", ".join(self._verifiers.names)
            raise ApiError(400, f"verifier must be one of {known}", param="verifier")
        async with self._threads.answering(name):
            thread = self._threads.open(name)
            messages = await thread.messages()
            message = next((m for m in messages if m.id == wanted and isinstance(m, AIMessage)), None)
            record = message.response_metadata.get(ANSWER_KEY) if message is not None else None
            if message is None or record is None:
                raise ApiError(404, "there is no such answer with citations", code="not_found")
            new = await verified_again(str(message.text), record, self._passages(record), verifier)
            metadata = {**message.response_metadata, ANSWER_KEY: new}
            changed = message.model_copy(update={"response_metadata": metadata})
            await thread.update([changed])
        return message_json(changed)

    def _passages(self, record: dict[str, Any]) -> dict[int, Document]:
        """The passages of an answer, read again from the index."""
        store = self._state.documents.store if self._state.documents else None
        ids = {place["id"]: place["number"] for place in record["documents"]}
        found = store.get_by_ids([one for one in ids if one]) if store is not None else []
        passages = {ids[document.id]: document for document in found if document.id in ids}
        if len(passages) < len(ids):
            raise ApiError(
                409,
                "the documents of this answer have changed since: ask again to have it judged",
                code="documents_changed",
            )
        return passages

    def _turn(self, given: dict[str, Any]) -> _Turn:
        name = check_thread(text_field(given, "thread"))
        model = optional_text(given, "model")
        return _Turn(self._state, self._threads, name, model, self._verifier(given))

    def _verifier(self, given: dict[str, Any]) -> Verifier | None:
        """The verifier that a request names; None for the application's."""
        return self._verifiers.get(optional_text(given, "verifier"), optional_text(given, "model"))


class _Turn:
    """One turn of a conversation, from the question to the last event."""

    def __init__(
        self,
        state: AppState,
        threads: PageThreads,
        name: str,
        model: str | None,
        verifier: Verifier | None,
    ) -> None:
        self._threads = threads
        self._name = name
        self._model = model
        self._thread: KeptThread = threads.open(name, model, verifier)
        self._sent = SentPrompt()
        self._thread.callbacks = [self._sent]
        # A chain streams its own chunks; an agent's model streams messages.
        self._modes = ("messages",) if state.tools or state.retriever is None else ("custom",)
        self._partial = ""
        self._calls: AIMessageChunk | None = None
        self._answer: RagAnswer | None = None
        self._started = time.perf_counter()

    async def ask(self, question: str, replaces: str | None) -> Frames:
        """Ask; with ``replaces``, in place of that question and of all that came after it."""
        async with self._threads.answering(self._name):
            async with self._threads.closing:
                if await self._thread.unfinished() is not None:
                    await self._thread.close_turn()
            dropped = await self._drop(replaces) if replaces else []
            asked = HumanMessage(question, id=str(uuid.uuid4()))
            first = sse({"id": asked.id, "text": question}, "question")
            async for frame in self._run({"messages": [asked]}, first, dropped):
                yield frame

    async def decide(self, decisions: list[bool]) -> Frames:
        """Go on with a turn that waits for decisions."""
        from langgraph.types import Command

        async with self._threads.answering(self._name):
            waiting = await self._thread.questions()
            calls = sum(len(question.value["action_requests"]) for question in waiting)
            if not waiting or calls != len(decisions):
                message = (
                    f"{calls} calls wait for a decision, not {len(decisions)}: read the conversation again"
                )
                raise ApiError(409, message, code="nothing_to_decide")
            answers, at = {}, 0
            for question in waiting:
                count = len(question.value["action_requests"])
                answers[question.id] = {"decisions": list(map(_decision, decisions[at : at + count]))}
                at += count
            async for frame in self._run(Command(resume=answers), b"", []):
                yield frame

    async def _drop(self, message_id: str) -> list[Any]:
        messages = await self._thread.messages()
        place = next((n for n, message in enumerate(messages) if message.id == message_id), None)
        if place is None:
            raise ApiError(409, "that question is no longer in the conversation: read it again")
        dropped = messages[place:]
        await self._thread.update([RemoveMessage(id=str(message.id)) for message in dropped])
        return dropped

    async def _run(self, given: Any, first: bytes, dropped: list[Any]) -> Frames:
        """Run the graph; whatever ends it early, the thread stays in order."""
        ended = False
        try:
            if first:
                yield first
            async for mode, data in self._thread.stream(given, *self._modes):
                for event, value in self._events(mode, data):
                    yield sse(value, event)
            done = await self._done()
            ended = True
            yield sse(done, "done")
        except Exception as error:  # noqa: BLE001 - each is an event with its own status
            ended = True
            await self._close(dropped)
            yield sse(error_event(error), "error")
        finally:
            if not ended:  # the reader has gone
                await asyncio.wait_for(asyncio.shield(self._close(dropped)), _CLOSE_SECONDS)

    async def _close(self, dropped: list[Any]) -> None:
        await self._thread.close_turn(self._partial)
        if dropped and not self._partial:  # what was to be replaced stays, where nothing took its place
            await self._thread.update(dropped)
        if self._partial:
            self._remember((await self._thread.messages())[-1])

    def _remember(self, message: Any) -> None:
        self._threads.remember_prompt(str(message.id), self._model, self._sent)

    async def _done(self) -> dict[str, Any]:
        messages = await self._thread.messages()
        last = messages[-1] if messages else None
        if self._answer is not None and isinstance(last, AIMessage):
            record = answer_record(
                self._answer, getattr(self._threads.state.models.get(self._model), "model", None)
            )
            metadata = {**last.response_metadata, ANSWER_KEY: record}
            messages[-1] = last = last.model_copy(update={"response_metadata": metadata})
            await self._thread.update([last])
        if isinstance(last, AIMessage):
            self._remember(last)
        start = max((n for n, m in enumerate(messages) if isinstance(m, HumanMessage)), default=0)
        waiting = await self._thread.questions()
        return {
            "messages": [message_json(message) for message in messages[start:]],
            "approval": approval_json([question.value for question in waiting]),
            "seconds": round(time.perf_counter() - self._started, 3),
        }

    def _events(self, mode: str, data: Any) -> Iterator[tuple[str, Any]]:
        """What the page is told of a step of the graph."""
        if mode == "custom":
            yield from self._chunk(data)
        elif mode == "messages":
            yield from self._message(data[0])
        elif mode == "updates":
            for update in data.values():
                if isinstance(update, dict) and "answer" in update:
                    self._answer = update["answer"]

    def _chunk(self, chunk: RagAnswer) -> Iterator[tuple[str, Any]]:
        if chunk.documents:
            places = [{"number": n, **passage_place(d)} for n, d in enumerate(chunk.documents, 1)]
            yield "documents", {"documents": places, "question": chunk.question}
        if chunk.text:
            self._partial += chunk.text
            yield "text", {"text": chunk.text}
        if chunk.citations:
            yield "citations", {"citations": [citation.to_dict() for citation in chunk.citations]}

    def _message(self, message: Any) -> Iterator[tuple[str, Any]]:
        if isinstance(message, ToolMessage):
            yield "tool_result", message_json(message)
        elif isinstance(message, AIMessageChunk):
            if message.text:
                self._partial += str(message.text)
                yield "text", {"text": str(message.text), "id": message.id}
            if message.tool_call_chunks:  # a call comes in pieces, over several chunks
                self._calls = message if self._calls is None else self._calls + message
            if message.chunk_position == "last" and self._calls is not None:
                for call in self._calls.tool_calls:
                    yield "tool_call", {"name": call["name"], "text": call_text(call["name"], call["args"])}
                self._calls = None
        elif isinstance(message, AIMessage) and message.text:
            yield "text", {"text": str(message.text), "id": message.id}


def error_event(error: Exception) -> dict[str, Any]:
    """The JSON of an error, with the seconds to wait where they are known."""
    told = failure(error)
    wait = told.headers.get("Retry-After")
    extra = {"status": told.status, "retry_after": int(wait) if wait else None}
    return {"error": {**told.body()["error"], **extra}}


def _decision(allowed: bool) -> dict[str, str]:
    return {"type": "approve"} if allowed else {"type": "reject", "message": DECLINED}
