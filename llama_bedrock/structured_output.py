"""Structured output: a schema in, an object of it out, or an error that holds what the model wrote.

How a single call is asked for JSON, and its answer read, stands in `tools.json_answer`.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, get_args

from langchain_core.callbacks import AsyncCallbackManagerForChainRun, CallbackManagerForChainRun
from langchain_core.exceptions import OutputParserException
from langchain_core.language_models import BaseChatModel, LanguageModelInput
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, HumanMessage, ToolMessage
from langchain_core.messages.utils import convert_to_messages, message_chunk_to_message
from langchain_core.prompt_values import PromptValue
from langchain_core.runnables import Runnable, RunnableConfig
from typing_extensions import is_typeddict

from llama_bedrock.argument_kinds import refuse_wrong_kind
from llama_bedrock.choices import StructuredOutputMethod
from llama_bedrock.tools.events import with_errors
from llama_bedrock.tools.json_answer import ResponseFormat, clean_json, unwrap
from llama_bedrock.tools.json_schema import resolve, strict_violations, types_of, violations
from llama_bedrock.tools.parser.tool_call_parser import CUT_REASONS
from llama_bedrock.tools.schema_of_types import typed_dict_schema
from llama_bedrock.usage import with_calls_before


def build_structured_runnable(
    llm: BaseChatModel,
    schema: Any,
    *,
    method: StructuredOutputMethod = "json_schema",
    include_raw: bool = False,
    strict: bool | None = None,
    max_repairs: int = 1,
    **kwargs: Any,
) -> Runnable[LanguageModelInput, Any]:
    """Make a chat model that honours ``response_format``, and `bind_tools` with a forced choice, answer with
    objects. The arguments are those of `LlamaChatModel.with_structured_output`.

    Returns:
        A runnable that gives objects of the schema, dicts for TypedDict and JSON schema; while streaming,
        growing ones.

    Raises:
        ValueError: The schema or the method is not known, or `max_repairs` is negative.
    """
    methods = get_args(StructuredOutputMethod)
    if method not in methods:
        raise ValueError(f"method={method!r}: give one of {', '.join(methods)}")
    if not isinstance(max_repairs, int) or max_repairs < 0:
        raise ValueError(f"max_repairs={max_repairs!r}: give 0 or more")
    refuse_wrong_kind("strict", bool | None, strict)
    refuse_wrong_kind("include_raw", bool, include_raw)
    if schema is None:
        raise ValueError("schema is None: with_structured_output needs a schema")
    output = OutputSchema.of(schema, strict=bool(strict))
    about = {"kwargs": {"method": method, "strict": strict}, "schema": _schema_for_traces(schema, output)}
    bound: Runnable[Any, AIMessage]
    if method == "function_calling":
        bound = llm.bind_tools(
            [output.tool()],
            tool_choice=output.name,
            strict=strict,
            parallel_tool_calls=False,
            ls_structured_output_format=about,
            **kwargs,
        )
    else:
        bound = llm.bind(
            response_format=_response_format(output, method), ls_structured_output_format=about, **kwargs
        )
    return StructuredOutput(bound, output, include_raw=include_raw, max_repairs=max_repairs)


def _schema_for_traces(schema: Any, output: OutputSchema) -> Any:
    """The schema as it was given, which LangChain converts at each call; where it cannot, as it was read."""
    from langchain_core.utils.function_calling import convert_to_json_schema

    try:
        convert_to_json_schema(schema)
    except ValueError:
        pass  # LangChain leaves it out of its traces
    except (RecursionError, TypeError):  # a TypedDict that holds itself, or has NotRequired members
        return output.tool()
    return schema


def _response_format(output: OutputSchema, method: StructuredOutputMethod) -> dict[str, Any]:
    if method == "json_mode":
        return {"type": "json_object", "name": output.name, "schema": output.parameters}
    return {
        "type": "json_schema",
        "json_schema": {
            "name": output.name,
            "description": output.description,
            "schema": output.parameters,
            "strict": output.strict,
        },
    }


class StructuredOutput(Runnable[LanguageModelInput, Any]):
    """Asks the model, reads the object out of its answer, and asks again if there is none.

    Args:
        bound: The chat model with everything bound that the method needs.
        output: What shall come out.
        include_raw: Return the message and the error as well.
        max_repairs: How often the model is told what is wrong and asked again.
    """

    def __init__(
        self, bound: Runnable[Any, AIMessage], output: OutputSchema, *, include_raw: bool, max_repairs: int
    ) -> None:
        self.bound = bound
        self.output = output
        self.include_raw = include_raw
        self.max_repairs = max_repairs

    @property
    def InputType(self) -> Any:
        """What the model takes."""
        return self.bound.InputType

    @property
    def OutputType(self) -> Any:
        """What comes out: an object of the caller's class, a dict or another JSON value."""
        if self.include_raw:
            return dict[str, Any]
        given = self.output.given
        if isinstance(given, type):
            # Pydantic, which LangChain makes schemas with, reads no typing.TypedDict before Python 3.12.
            readable = (
                not is_typeddict(given) or type(given).__module__ != "typing" or sys.version_info >= (3, 12)
            )
            return given if readable else dict[str, Any]
        kinds = {"{": dict[str, Any], "[": list[Any]}
        return kinds.get(ResponseFormat(schema=self.output.parameters).opening, Any)

    def get_output_jsonschema(self, config: RunnableConfig | None = None, **kwargs: Any) -> dict[str, Any]:
        """Return the JSON schema of what comes out."""
        if self.include_raw:
            return super().get_output_jsonschema(config, **kwargs)
        return {"title": self.output.name, **self.output.parameters}

    def invoke(self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return the object.

        Raises:
            OutputParserException: The model gave none, also after `max_repairs`; ``llm_output`` is its text.
        """
        return self._call_with_config(self._invoke, input, config, run_type="chain", **kwargs)

    async def ainvoke(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Any:
        """Return the object, as `invoke` does."""
        return await self._acall_with_config(self._ainvoke, input, config, run_type="chain", **kwargs)

    def stream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield the object as it grows: each one replaces the one before."""
        yield from self.transform(iter([input]), config, **kwargs)

    async def astream(
        self, input: LanguageModelInput, config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the object as it grows, as `stream` does."""

        async def inputs() -> AsyncIterator[LanguageModelInput]:
            yield input

        async for value in self.atransform(inputs(), config, **kwargs):
            yield value

    def transform(
        self, input: Iterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        """Yield the object as it grows; the input is taken whole."""
        yield from self._transform_stream_with_config(
            input, self._transform, config, run_type="chain", **kwargs
        )

    async def atransform(
        self, input: AsyncIterator[LanguageModelInput], config: RunnableConfig | None = None, **kwargs: Any
    ) -> AsyncIterator[Any]:
        """Yield the object as it grows; the input is taken whole."""
        async for value in self._atransform_stream_with_config(
            input, self._atransform, config, run_type="chain", **kwargs
        ):
            yield value

    def _invoke(
        self,
        input: LanguageModelInput,
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        exchange = self._exchange(input)
        while not exchange.take(self.bound.invoke(exchange.messages, config, **kwargs)):
            pass
        return exchange.result()

    async def _ainvoke(
        self,
        input: LanguageModelInput,
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Any:
        exchange = self._exchange(input)
        while not exchange.take(await self.bound.ainvoke(exchange.messages, config, **kwargs)):
            pass
        return exchange.result()

    def _transform(
        self,
        input: Iterator[LanguageModelInput],
        run_manager: CallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> Iterator[Any]:
        for whole in input:
            exchange, growth = self._exchange(whole), GrowingObject(self.output, include_raw=self.include_raw)
            for chunk in self.bound.stream(exchange.messages, config, **kwargs):
                yield from growth.feed(chunk)
            done = exchange.take(growth.message())
            while not done:
                done = exchange.take(self.bound.invoke(exchange.messages, config, **kwargs))
            yield from growth.last(exchange)

    async def _atransform(
        self,
        input: AsyncIterator[LanguageModelInput],
        run_manager: AsyncCallbackManagerForChainRun,
        config: RunnableConfig,
        **kwargs: Any,
    ) -> AsyncIterator[Any]:
        async for whole in input:
            exchange, growth = self._exchange(whole), GrowingObject(self.output, include_raw=self.include_raw)
            async for chunk in self.bound.astream(exchange.messages, config, **kwargs):
                for value in growth.feed(chunk):
                    yield value
            done = exchange.take(growth.message())
            while not done:
                done = exchange.take(await self.bound.ainvoke(exchange.messages, config, **kwargs))
            for value in growth.last(exchange):
                yield value

    def _exchange(self, input: LanguageModelInput) -> ObjectRequest:
        return ObjectRequest(self.output, input, include_raw=self.include_raw, max_repairs=self.max_repairs)


_PARAMETERS = ("parameters", "input_schema", "schema")
"""Where OpenAI and Anthropic put the JSON schema of a tool, and OpenAI that of a response format."""

_WHOLE = "value"
_DEFINITIONS = ("$defs", "definitions")


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What the caller gave as a schema, and how a value becomes an object of it.

    Attributes:
        given: The caller's schema: a pydantic class (2 or 1), a TypedDict, a dataclass or a JSON schema.
        name: Its name.
        description: What it is for.
        parameters: The same as a JSON schema.
        strict: Nothing beside the schema is allowed.
    """

    given: Any
    name: str
    description: str
    parameters: dict[str, Any] = field(repr=False)
    strict: bool = False

    @classmethod
    def of(cls, schema: Any, *, strict: bool = False) -> OutputSchema:
        """Read a schema.

        Raises:
            ValueError: It is none of the known forms.
        """
        if isinstance(schema, Mapping):
            return cls._of_mapping(schema, strict)
        if not isinstance(schema, type):
            raise ValueError(
                f"schema={schema!r}: give a pydantic class, a TypedDict, a dataclass or a JSON schema"
            )
        parameters = _json_schema(schema)
        name = str(parameters.get("title") or schema.__name__)
        return cls(schema, name, str(parameters.get("description") or ""), parameters, strict)

    @classmethod
    def _of_mapping(cls, schema: Mapping[str, Any], strict: bool) -> OutputSchema:
        function = schema.get("json_schema", schema.get("function", schema))
        parameters = next((function[key] for key in _PARAMETERS if key in function), None)
        if isinstance(function.get("name"), str) and isinstance(parameters, Mapping):
            description = function.get("description") or ""
            return cls(schema, function["name"], str(description), dict(parameters), strict)
        if "type" not in schema and not {"properties", "anyOf", "oneOf", "allOf", "$ref"} & set(schema):
            raise ValueError(f"schema={dict(schema)!r} is no JSON schema: it has no type and no properties")
        name, description = schema.get("title") or "answer", schema.get("description") or ""
        return cls(schema, str(name), str(description), dict(schema), strict)

    def convert(self, value: Any, *, partial: bool = False) -> Any:
        """Make an object of the caller's type of a JSON value.

        Args:
            value: What the model wrote.
            partial: More of it will come: what is missing is no fault yet for dicts.

        Raises:
            ValueError: The value does not fit the schema; the message says where.
        """
        if self.wrapped and isinstance(value, dict) and value.keys() == {_WHOLE}:
            value = value[_WHOLE]
        if partial and not self.is_class:
            return value
        value = unwrap(value, self.parameters)
        if self.is_class:
            return _validate_class(self.given, value)
        schema = self.parameters
        if faults := strict_violations(value, schema) if self.strict else violations(value, schema, schema):
            raise ValueError("; ".join(faults))
        return value

    @property
    def is_class(self) -> bool:
        """True where objects of a class come out, not dicts."""
        return isinstance(self.given, type) and not is_typeddict(self.given)

    @property
    def wrapped(self) -> bool:
        """True where the value is no object, so that a call holds it as its only argument."""
        kinds = types_of(resolve(self.parameters, self.parameters))
        return bool(kinds) and "object" not in kinds

    def tool(self) -> dict[str, Any]:
        """The schema as a tool, for the method ``function_calling``."""
        parameters = self.parameters
        if self.wrapped:
            inner = {key: value for key, value in parameters.items() if key not in _DEFINITIONS}
            outer = {key: value for key, value in parameters.items() if key in _DEFINITIONS}
            parameters = {"type": "object", "properties": {_WHOLE: inner}, "required": [_WHOLE], **outer}
        return {
            "type": "function",
            "function": {
                "name": self.name,
                "description": self.description or f"Give the answer as {self.name}.",
                "parameters": parameters,
            },
        }


def _is_pydantic_v1(schema: type) -> bool:
    return not hasattr(schema, "model_validate") and hasattr(schema, "parse_obj")


def _json_schema(schema: type) -> dict[str, Any]:
    if is_typeddict(schema):
        return typed_dict_schema(schema)
    if _is_pydantic_v1(schema):
        return dict(schema.schema())  # type: ignore[attr-defined]
    from pydantic import BaseModel, TypeAdapter
    from pydantic.errors import PydanticUserError

    if issubclass(schema, BaseModel):
        return schema.model_json_schema()
    try:
        return TypeAdapter(schema).json_schema()
    except PydanticUserError as error:
        raise ValueError(f"schema={schema!r} has no JSON schema: {error}") from error


def _validate_class(schema: Any, value: Any) -> Any:
    """Make an object of the class; `ValidationError` of both pydantics is a `ValueError`."""
    if _is_pydantic_v1(schema):
        return schema.parse_obj(value)
    if hasattr(schema, "model_validate"):
        return schema.model_validate(value)
    from pydantic import TypeAdapter

    return TypeAdapter(schema).validate_python(value)


class ObjectRequest:
    """The messages of one request for an object, and what came of it. No I/O: sync and async share it."""

    def __init__(
        self, output: OutputSchema, input: LanguageModelInput, *, include_raw: bool, max_repairs: int
    ) -> None:
        self.messages = _to_messages(input)
        self._output = output
        self._include_raw = include_raw
        self._repairs_left = self._repairs = max_repairs
        self._message: AIMessage = AIMessage("")
        self.unusable: list[AIMessage] = []
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
        self.unusable.append(message)
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
        raw = with_calls_before(self._message, *self.unusable) if self.unusable else self._message
        return {"raw": raw, "parsed": None if error else self._value, "parsing_error": error}

    def _read(self, message: AIMessage) -> Any:
        for call in message.tool_calls:
            if call["name"] == self._output.name:
                return self._output.convert(call["args"])
        invalid = message.invalid_tool_calls
        if invalid and (invalid[0]["name"] or self._was_cut()):
            raise ValueError(invalid[0]["error"] or "the call cannot be read")
        # What a model writes in place of the call that was asked for may be the object itself.
        text = (message.text or "".join(call["args"] or "" for call in invalid)).strip()
        if not text:
            raise ValueError("the answer is empty")
        form = ResponseFormat(self._output.name, self._output.parameters)
        stop_reason = message.response_metadata.get("stop_reason")
        try:
            value = json.loads(clean_json(text, form, stop_reason=stop_reason))
        except (json.JSONDecodeError, RecursionError):
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


class GrowingObject:
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

    def last(self, exchange: ObjectRequest) -> Iterator[Any]:
        """Yield the object, if it is not the one that was yielded last."""
        result = exchange.result()
        if not self._include_raw:
            if result != self._last:
                yield result
            return
        if result["raw"].text != self.message().text or exchange.unusable:
            yield {"raw": result["raw"]}
        if result["parsed"] != self._last:
            yield {"parsed": result["parsed"]}
        yield {"parsing_error": result["parsing_error"]}

    def _partial(self) -> Any:
        try:
            return self._output.convert(json.loads(self._json.completed()), partial=True)
        except (ValueError, RecursionError):
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
