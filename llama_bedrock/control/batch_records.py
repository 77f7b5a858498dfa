"""What a record of a batch job is: the call that is written for it, and what is read out of its line."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage
from langchain_core.runnables import Runnable, RunnableBinding

from llama_bedrock.call import answer_assembler, continues_turn
from llama_bedrock.chat_model import ChatLlamaBedrock
from llama_bedrock.errors import LlamaBedrockError
from llama_bedrock.structured_output import ObjectRequest, OutputSchema, StructuredOutput
from llama_bedrock.tools.expected_answer import ExpectedAnswer
from llama_bedrock.transport.error_mapping import CallContext
from llama_bedrock.transport.response import parse_body
from llama_bedrock.usage import with_cost

_SETTINGS = (
    "model", "prompt_format", "import_format", "temperature", "top_p", "max_tokens", "stop", "special_tokens",
    "tool_dialect",
)  # fmt: skip
# The HTTP status that a record's error has, as the exception of InvokeModel that has it.
_CODES = {
    400: "ValidationException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    424: "ModelErrorException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
}


class RecordNotRunError(LlamaBedrockError):
    """A job ended before it came to this record: it was stopped, failed, or its time was over."""


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of one record.

    Attributes:
        index: Its position among the inputs, from 0.
        id: The id it was given, None where none were.
        message: The answer with usage, cost at the batch price, and tool calls; None if there is none.
        parsed: The object, where the job has a schema.
        error: Why there is no answer, or no object in it.
    """

    index: int
    id: str | None
    message: AIMessage | None = None
    parsed: Any = None
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class RecordInput:
    """One record as it is sent.

    Attributes:
        body: The body of InvokeModel.
        id: The id it was given.
        continues: Whether the prompt ends in words of the assistant that the answer goes on with.
    """

    body: Mapping[str, Any]
    id: str | None
    continues: bool = False


@dataclass(frozen=True, slots=True)
class BatchModel:
    """A chat model and what is bound to it, as a job needs them.

    Attributes:
        llm: The model.
        call: Arguments of each call: tools, a response format, a temperature.
        output: The schema of the answers.
    """

    llm: ChatLlamaBedrock
    call: Mapping[str, Any] = field(default_factory=dict)
    output: OutputSchema | None = None

    @classmethod
    def of(cls, model: Runnable[Any, Any], tools: Any = None, schema: Any = None) -> BatchModel:
        """Take a model apart.

        Args:
            model: A `ChatLlamaBedrock`, with arguments, tools or a schema bound or not.
            tools: Tools to bind to it.
            schema: Schema of the answers.

        Raises:
            TypeError: It is something else, such as a chain.
            ValueError: What is bound cannot travel with a batch job.
        """
        if tools is not None:
            model = _bindable(model).bind_tools(tools)
        if schema is not None:
            model = _bindable(model).with_structured_output(schema)
        output: OutputSchema | None = None
        if isinstance(model, StructuredOutput):
            output = model.output
            model = model.bound
        call: dict[str, Any] = {}
        while isinstance(model, RunnableBinding):
            call = {**model.kwargs, **call}
            model = model.bound
        if not isinstance(model, ChatLlamaBedrock):
            raise TypeError(
                "a batch job takes a ChatLlamaBedrock, with tools or a schema bound or not, no "
                f"{type(model).__name__}: write the prompts of a chain first, and give them as inputs"
            )
        call.pop("ls_structured_output_format", None)
        try:
            json.dumps(call)
        except TypeError as error:
            raise ValueError(f"what is bound to the model is no JSON: {error}") from error
        return cls(model, call, output)

    def written(self) -> dict[str, Any]:
        """As JSON, for the manifest; no connection, no secrets."""
        settings = {name: getattr(self.llm, name) for name in _SETTINGS}
        schema = self.output and {"name": self.output.name, "parameters": self.output.parameters}
        return {"settings": settings, "call": dict(self.call), "schema": schema}

    @classmethod
    def read(cls, written: Mapping[str, Any], schema: Any, connection: Mapping[str, Any]) -> BatchModel:
        """What `written` wrote; `schema` is the class of the objects, where JSON values are not enough."""
        llm = ChatLlamaBedrock(**{**connection, **written["settings"]})
        kept = written["schema"]
        if schema is None and kept is not None:
            schema = {"title": kept["name"], **kept["parameters"]}
        return cls(llm, written["call"], None if schema is None else OutputSchema.of(schema))

    def records(self, inputs: Iterable[Any], ids: Iterable[str] | None) -> Iterator[RecordInput]:
        """Write the call of each input.

        Raises:
            ValueError: An input cannot be sent, or there are not as many ids.
        """
        pairs = ((one, None) for one in inputs) if ids is None else zip(inputs, ids, strict=True)
        for number, (one, id_) in enumerate(pairs):
            try:
                messages = self.llm._convert_input(one).to_messages()
                call = self.llm._prepare(messages, None, dict(self.call), next(self.llm._candidates()))
            except (ValueError, TypeError) as error:
                raise ValueError(f"input {number} cannot be sent: {error}") from error
            if call.request.options or any(key.startswith("amazon-bedrock") for key in call.request.body):
                raise ValueError(
                    "guardrails, latency, service_tier and request_metadata do not travel with a batch job"
                )
            yield RecordInput(call.request.body, id_, continues_turn(messages))

    def result(
        self, index: int, id_: str | None, line: Mapping[str, Any], continues: bool, *, batch: bool = True
    ) -> BatchResult:
        """Read a line of a job's output; `batch` says which price it has."""
        llm = self.llm
        if line.get("modelOutput") is None:
            return BatchResult(index, id_, error=self._error(line.get("error") or {}))
        overrides = dict(self.call)
        expected = ExpectedAnswer.take_from(overrides, llm._dialect(overrides))
        options = llm._options_for(next(llm._candidates()), None, overrides)
        prompt = line.get("modelInput", {}).get("prompt")
        assembler = answer_assembler(
            options, expected, prompt or "", prefilled=prompt is not None, continues=continues
        )
        context = CallContext("InvokeModel", llm.model)
        try:
            chunk = parse_body(json.dumps(line["modelOutput"]).encode(), {}, context)
        except LlamaBedrockError as error:
            return BatchResult(index, id_, error=error)
        message = with_cost(assembler.answer(chunk), batch=batch)
        if self.output is None:
            return BatchResult(index, id_, message)
        request = ObjectRequest(self.output, "", include_raw=False, max_repairs=0)
        request.take(message)
        try:
            return BatchResult(index, id_, message, request.result())
        except OutputParserException as error:
            return BatchResult(index, id_, message, error=error)

    def _error(self, error: Mapping[str, Any]) -> LlamaBedrockError:
        code = str(error.get("errorCode"))
        status = int(code) if code.isdigit() else 500
        told = {
            "Code": _CODES.get(status, "InternalServerException"),
            "Message": str(error.get("errorMessage")),
        }
        context = CallContext("InvokeModel", self.llm.model)
        return context.from_response(
            {"Error": told, "ResponseMetadata": {"HTTPStatusCode": status, "HTTPHeaders": {}}}
        )


def _bindable(model: Any) -> Any:
    if not hasattr(model, "bind_tools"):
        raise TypeError(f"tools and schemas are bound to a ChatLlamaBedrock, not to a {type(model).__name__}")
    return model
