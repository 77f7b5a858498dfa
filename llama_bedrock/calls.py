"""One call, prepared: messages and options in, a request and an assembler for its answer out. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from llama_bedrock.assembler import ResponseAssembler
from llama_bedrock.base import MODEL_PROVIDER, BedrockLlama, CallOptions
from llama_bedrock.prompts.content import TextPart
from llama_bedrock.prompts.conversation import Conversation, Turn, build_conversation
from llama_bedrock.prompts.render import RenderedPrompt, render
from llama_bedrock.prompts.special_tokens import END_TOKENS
from llama_bedrock.tools.schema import (
    Dialect,
    ToolChoice,
    ToolSpec,
    normalise_tool_choice,
    prefill,
    render_tools,
    to_tool_specs,
)
from llama_bedrock.transport.request import InvokeRequest, build_body

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

    from llama_bedrock.tools.parser import ToolCallParser

# A model that opens a turn of its own has ended the one it was asked for.
# The header of another generation is text: an answer about prompts may quote it.
_NEXT_TURN: dict[str, tuple[str, ...]] = {"llama2": (), "llama4": ("<|header_start|>",)}
_NEXT_TURN_OF_LLAMA3 = ("<|start_header_id|>",)


@dataclass(frozen=True, slots=True)
class Shape:
    """What the answer shall look like: tools that may or must be called, or a JSON schema to follow."""

    specs: tuple[ToolSpec, ...] = ()
    choice: ToolChoice = field(default_factory=ToolChoice)
    dialect: Dialect = "pythonic"
    parallel: bool = True
    strict: bool = False
    response_format: Mapping[str, Any] | None = None

    @classmethod
    def take_from(cls, kwargs: dict[str, Any], dialect: Dialect) -> Shape:
        """Take the keyword arguments that shape the answer out of those of a call.

        Raises:
            ValueError: A tool, the tool choice or the response format is not usable.
        """
        strict = kwargs.pop("strict", None)
        specs = to_tool_specs(kwargs.pop("tools", None) or (), strict=strict)
        choice = kwargs.pop("tool_choice", None)
        return cls(
            specs=tuple(specs),
            choice=normalise_tool_choice(choice, specs) if specs or choice else ToolChoice(),
            dialect=kwargs.pop("tool_dialect", None) or dialect,
            parallel=kwargs.pop("parallel_tool_calls", None) is not False,
            strict=bool(strict),
            response_format=kwargs.pop("response_format", None),
        )

    @property
    def offers_tools(self) -> bool:
        """True if the model is told of tools."""
        return bool(self.specs) and self.choice.mode != "none"


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """What is sent, and who reads the answer."""

    request: InvokeRequest
    region: str | None
    rendered: RenderedPrompt
    assembler: ResponseAssembler


def render_messages(
    messages: Sequence[BaseMessage], options: CallOptions, shape: Shape, guard_suffix: str | None = None
) -> RenderedPrompt:
    """Write the prompt of a call.

    Raises:
        ValueError: The messages cannot be written for this model; the error says why.
    """
    model = options.model
    return render(
        build_conversation(messages, dialect=shape.dialect),
        model.prompt_format,
        base=model.base,
        vision=model.accepts_images,
        special_tokens=options.special_tokens,
        tool_instructions=_tool_instructions(options, shape),
        prefill=prefill(shape.choice, shape.dialect) if shape.offers_tools else "",
        guard_suffix=guard_suffix,
    )


def _tool_instructions(options: CallOptions, shape: Shape) -> str | None:
    if not shape.offers_tools:
        return None
    model = options.model
    if not model.accepts_tools:
        kind = "a base model" if model.base else "a Llama 2 model"
        raise ValueError(
            f"{model.requested} is {kind} and knows no tools; use an instruct model of Llama 3 or later"
        )
    return render_tools(shape.specs, shape.dialect, choice=shape.choice, parallel=shape.parallel)


def prepare(
    llm: BedrockLlama, messages: Sequence[BaseMessage], options: CallOptions, shape: Shape
) -> PreparedCall:
    """Prepare one call.

    Raises:
        ValueError: The messages cannot be written for this model; the error says why.
    """
    suffix = options.guardrails.tag_suffix() if options.guardrails else None
    rendered = render_messages(messages, options, shape, suffix)
    chat = _chat_messages(messages, options, shape) if llm.import_format == "openai-chat" else None
    continues = bool(messages) and messages[-1].type == "ai" and not getattr(messages[-1], "tool_calls", None)
    next_turn = _NEXT_TURN.get(options.model.prompt_format, _NEXT_TURN_OF_LLAMA3)
    assembler = ResponseAssembler(
        prompt=rendered.text,
        stops=options.stop,
        end_tokens=(*END_TOKENS[options.model.prompt_format], *next_turn),
        parser=_parser(shape, prefilled=chat is None),
        strip_leading=not continues,
        metadata=_metadata(options),
    )
    request = _request(llm, rendered, options, suffix, chat)
    return PreparedCall(request, options.region, rendered, assembler)


def _chat_messages(
    messages: Sequence[BaseMessage], options: CallOptions, shape: Shape
) -> list[dict[str, Any]]:
    """Write the messages for an imported model whose own template makes the prompt of them."""
    from llama_bedrock.prompts.chat_messages import to_chat_messages

    return to_chat_messages(
        build_conversation(messages, dialect=shape.dialect),
        options.model.prompt_format,
        special_tokens=options.special_tokens,
        tool_instructions=_tool_instructions(options, shape),
    )


def prepare_completion(llm: BedrockLlama, prompt: str, options: CallOptions) -> PreparedCall:
    """Prepare the completion of a raw prompt: sent as it is, after the begin token.

    Raises:
        ValueError: The prompt is empty, or holds control tokens that `special_tokens` forbids.
    """
    model = options.model
    begin = "<s>" if model.prompt_format == "llama2" else "<|begin_of_text|>"
    text = prompt.removeprefix(begin)
    if not text:
        raise ValueError("the prompt is empty; give the text that the model is to continue")
    suffix = options.guardrails.tag_suffix() if options.guardrails else None
    conversation = Conversation((Turn("user", (TextPart(text),)),))
    rendered = render(
        conversation,
        model.prompt_format,
        base=True,
        special_tokens=options.special_tokens,
        guard_suffix=suffix,
    )
    assembler = ResponseAssembler(
        prompt=rendered.text,
        stops=options.stop,
        end_tokens=END_TOKENS[model.prompt_format],
        strip_leading=False,
        metadata=_metadata(options),
    )
    return PreparedCall(_request(llm, rendered, options, suffix), options.region, rendered, assembler)


def _metadata(options: CallOptions) -> dict[str, Any]:
    return {
        "model_name": options.model.requested,
        "model_provider": MODEL_PROVIDER,
        "region_name": options.region,
    }


def _request(
    llm: BedrockLlama,
    rendered: RenderedPrompt,
    options: CallOptions,
    suffix: str | None,
    chat: Sequence[Mapping[str, Any]] | None = None,
) -> InvokeRequest:
    body = build_body(
        llm.import_format,
        prompt=None if chat else rendered.text,
        messages=chat,
        images=() if chat else rendered.images,
        temperature=options.temperature,
        top_p=options.top_p,
        max_tokens=options.max_tokens,
    )
    return llm.invoke_request(body, options, suffix)


def _parser(shape: Shape, prefilled: bool) -> ToolCallParser | None:
    """Make the reader of tool calls; where a chat template writes the prompt, nothing can be prefilled."""
    if not shape.offers_tools:
        return None
    from llama_bedrock.tools.parser import ToolCallParser

    prefix = prefill(shape.choice, shape.dialect) if prefilled else ""
    return ToolCallParser(shape.specs, prefix=prefix, strict=shape.strict)
