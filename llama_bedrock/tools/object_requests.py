"""Asking for an object: its messages, what is wrong with an answer, the object as it grows. No I/O."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import convert_to_messages, message_chunk_to_message
from langchain_core.prompt_values import PromptValue

from llama_bedrock.tools.deltas import with_errors
from llama_bedrock.tools.json_answer import ResponseFormat, clean_json
from llama_bedrock.tools.parser.tool_call_parser import CUT_REASONS

if TYPE_CHECKING:
    from langchain_core.language_models import LanguageModelInput

    from llama_bedrock.tools.output_schema import OutputSchema


class Exchange:
    """The messages of one request for an object, and what came of it. No I/O: sync and async share it."""

    def __init__(
        self, output: OutputSchema, input: LanguageModelInput, *, include_raw: bool, max_repairs: int
    ) -> None:
        self.messages = _to_messages(input)
        self._output = output
        self._include_raw = include_raw
        self._repairs_left = self._repairs = max_repairs
        self._message: AIMessage = AIMessage("")
        self._value: Any = None
        self._error: ValueError | None = None

    def take(self, message: AIMessage) -> bool:
        """Take an answer; False if the model shall be asked again, with what `messages` then holds."""
        self._message = message = with_errors(message)
        try:
            self._value, self._error = self._read(message), None
            return True
        except ValueError as error:
            self._error = error
        if not self._repairs_left or self._was_cut():
            return True
        self._repairs_left -= 1
        self.messages = [*self.messages, *_complaint(message, _explain(self._error))]
        return False

    def result(self) -> Any:
        """Return what the runnable returns.

        Raises:
            OutputParserException: There is no object, and the caller did not ask for the raw message.
        """
        if not self._include_raw:
            if self._error is not None:
                raise self._exception()
            return self._value
        error = self._exception() if self._error is not None else None
        return {"raw": self._message, "parsed": None if error else self._value, "parsing_error": error}

    def _read(self, message: AIMessage) -> Any:
        for call in message.tool_calls:
            if call["name"] == self._output.name:
                return self._output.convert(call["args"])
        if message.invalid_tool_calls:
            raise ValueError(message.invalid_tool_calls[0]["error"] or "the call cannot be read")
        text = message.text.strip()
        if not text:
            raise ValueError("the answer is empty")
        form = ResponseFormat(self._output.name, self._output.parameters)
        stop_reason = message.response_metadata.get("stop_reason")
        try:
            value = json.loads(clean_json(text, form, stop_reason=stop_reason))
        except json.JSONDecodeError:
            raise ValueError("the answer holds no complete JSON") from None
        return self._output.convert(value)

    def _was_cut(self) -> bool:
        return self._message.response_metadata.get("stop_reason") in CUT_REASONS

    def _exception(self) -> OutputParserException:
        asked = self._repairs - self._repairs_left
        again = f" (asked again {asked} times)" if asked > 1 else " (asked again once)" if asked else ""
        hint = "; the answer was cut off: raise max_tokens" if self._was_cut() else ""
        error = self._error or ValueError("there is no answer")
        raised = OutputParserException(
            f"no valid {self._output.name} in the answer{again}: {_explain(error)}{hint}",
            llm_output=_written(self._message),
        )
        raised.__cause__ = error
        return raised


class Growth:
    """The object while its answer is streamed: it grows as the JSON of the model does."""

    def __init__(self, output: OutputSchema, *, include_raw: bool) -> None:
        self._output = output
        self._include_raw = include_raw
        self._chunks: list[AIMessageChunk] = []
        self._json = _PartialJson()
        self._last: Any = None

    def feed(self, chunk: BaseMessage) -> Iterator[Any]:
        """Take a chunk; yield what it makes of the object."""
        if not isinstance(chunk, AIMessageChunk):
            return
        self._chunks.append(chunk)
        if self._include_raw:
            yield {"raw": chunk}
        added = (
            "".join(call["args"] or "" for call in chunk.tool_call_chunks if not call["index"]) or chunk.text
        )
        if not added:
            return
        self._json.add(added)
        value = self._partial()
        if value not in (None, {}, []) and value != self._last:
            self._last = value
            yield {"parsed": value} if self._include_raw else value

    def message(self) -> AIMessage:
        """Return the whole answer."""
        if not self._chunks:
            return AIMessage("")
        first, *rest = self._chunks
        merged = message_chunk_to_message(first + rest)
        return merged if isinstance(merged, AIMessage) else AIMessage("")

    def last(self, exchange: Exchange) -> Iterator[Any]:
        """Yield the object, if it is not the one that was yielded last."""
        result = exchange.result()
        if not self._include_raw:
            if result != self._last:
                yield result
            return
        if result["raw"].text != self.message().text:
            yield {"raw": result["raw"]}
        if result["parsed"] != self._last:
            yield {"parsed": result["parsed"]}
        yield {"parsing_error": result["parsing_error"]}

    def _partial(self) -> Any:
        try:
            return self._output.convert(json.loads(self._json.completed()), partial=True)
        except ValueError:
            return None


class _PartialJson:
    """JSON that is being written, and what it takes to complete it. Each piece is looked at once."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._closers: list[str] = []
        self._quoted = self._escaped = False

    def add(self, text: str) -> None:
        """Take a piece."""
        self._parts.append(text)
        for char in text:
            if self._quoted:
                if self._escaped:
                    self._escaped = False
                elif char == "\\":
                    self._escaped = True
                elif char == '"':
                    self._quoted = False
            elif char == '"':
                self._quoted = True
            elif char in "{[":
                self._closers.append("}" if char == "{" else "]")
            elif char in "}]" and self._closers:
                self._closers.pop()

    def completed(self) -> str:
        """Return the JSON so far with all that is open closed."""
        return "".join([*self._parts, '"' if self._quoted else "", *reversed(self._closers)])


def _to_messages(input: LanguageModelInput) -> list[BaseMessage]:
    if isinstance(input, str):
        return [HumanMessage(input)]
    if isinstance(input, PromptValue):
        return input.to_messages()
    return convert_to_messages(input)


def _complaint(message: AIMessage, error: str) -> Sequence[BaseMessage]:
    """Write what the model answered, and what is wrong with it."""
    if message.tool_calls:
        return [
            AIMessage(content=message.content, tool_calls=message.tool_calls),
            *(
                ToolMessage(error, tool_call_id=call["id"], name=call["name"], status="error")
                for call in message.tool_calls
            ),
        ]
    ask = HumanMessage(f"This answer cannot be used: {error}. Give it again, corrected, with nothing else.")
    written = _written(message)
    return [AIMessage(written), ask] if written.strip() else [ask]


def _written(message: AIMessage) -> str:
    """Return what the model wrote, be it words or calls."""
    calls = [call["args"] or "" for call in message.invalid_tool_calls]
    calls += [json.dumps(call["args"], ensure_ascii=False) for call in message.tool_calls]
    return "\n".join(part for part in (message.text, *calls) if part)


def _explain(error: ValueError) -> str:
    """Say what is wrong in one line; validation errors of pydantic name the fields."""
    errors = getattr(error, "errors", None)
    if not callable(errors):
        return str(error)
    return "; ".join(
        f"{'.'.join(map(str, fault['loc'])) or 'the value'}: {fault['msg']}" for fault in errors()
    )
