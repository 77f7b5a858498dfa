"""One call, prepared: messages and options in, a request and an assembler for its answer out. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from llama_bedrock.assembler import ResponseAssembler
from llama_bedrock.prompts.content import TextPart
from llama_bedrock.prompts.conversation import Conversation, Turn, build_conversation
from llama_bedrock.prompts.formats import format_of
from llama_bedrock.prompts.render import render, with_instructions
from llama_bedrock.prompts.rendered_prompt import RenderedPrompt
from llama_bedrock.settings import MODEL_PROVIDER, BedrockLlama, CallOptions
from llama_bedrock.tools.expected_answer import ExpectedAnswer
from llama_bedrock.transport.request import InvokeRequest, build_body

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage


@dataclass(frozen=True, slots=True)
class PreparedCall:
    """What is sent, and who reads the answer."""

    request: InvokeRequest
    region: str | None
    rendered: RenderedPrompt
    assembler: ResponseAssembler


def render_messages(
    messages: Sequence[BaseMessage], options: CallOptions, expected: ExpectedAnswer
) -> RenderedPrompt:
    """Write the prompt of a call.

    Raises:
        ValueError: The messages cannot be written for this model; the error says why.
    """
    return _render(_conversation(messages, options, expected), options, expected, None)


def _conversation(
    messages: Sequence[BaseMessage], options: CallOptions, expected: ExpectedAnswer
) -> Conversation:
    conversation = build_conversation(messages, dialect=expected.dialect)
    return with_instructions(conversation, expected.form_instructions(options.model))


def _render(
    conversation: Conversation, options: CallOptions, expected: ExpectedAnswer, guard_suffix: str | None
) -> RenderedPrompt:
    model = options.model
    return render(
        conversation,
        model.prompt_format,
        base=model.base,
        vision=model.accepts_images,
        special_tokens=options.special_tokens,
        tool_instructions=expected.tool_instructions(model),
        prefill=expected.prefill,
        guard_suffix=guard_suffix,
    )


def prepare(
    llm: BedrockLlama, messages: Sequence[BaseMessage], options: CallOptions, expected: ExpectedAnswer
) -> PreparedCall:
    """Prepare one call.

    Raises:
        ValueError: The messages cannot be written for this model; the error says why.
    """
    suffix = options.guardrails.tag_suffix() if options.guardrails else None
    conversation = _conversation(messages, options, expected)
    rendered = _render(conversation, options, expected, suffix)
    llm._check_context(rendered.text, options)
    chat = _chat_messages(conversation, options, expected) if llm.import_format == "openai-chat" else None
    assembler = answer_assembler(
        options,
        expected,
        rendered.text,
        prefilled=chat is None,
        continues=continues_turn(messages),
        counted=None if chat or rendered.images else _counted(llm, rendered, options),
    )
    request = _request(llm, rendered, options, suffix, chat)
    return PreparedCall(request, options.region, rendered, assembler)


def continues_turn(messages: Sequence[BaseMessage]) -> bool:
    """Whether the model goes on with a turn of the assistant's that the messages end in."""
    return bool(messages) and messages[-1].type == "ai" and not getattr(messages[-1], "tool_calls", None)


def answer_assembler(
    options: CallOptions,
    expected: ExpectedAnswer,
    prompt: str,
    *,
    prefilled: bool,
    continues: bool,
    counted: Callable[[int], None] | None = None,
) -> ResponseAssembler:
    """Make the reader of an answer.

    Args:
        options: Those that the call was made with.
        expected: What the answer shall be.
        prompt: The prompt; only for its tokens where the service does not count them.
        prefilled: Whether it ends in what the answer begins with.
        continues: As `continues_turn` says.
        counted: Told how many tokens the service counted.
    """
    generation = format_of(options.model.prompt_format)
    header = generation.header
    parser = expected.parser(prefilled=prefilled)
    return ResponseAssembler(
        prompt=prompt,
        stops=options.stop,
        # A model that opens a turn of its own has ended the one it was asked for; the header of another
        # generation is text: an answer about prompts may quote it. The parser of calls reads all these tokens
        # itself: within an argument they are data, and after one that ends a message another call may follow.
        end_tokens=() if parser else (*generation.end_tokens, *(header or ())[:1]),
        parser=parser,
        json_content=expected.json_content(prefilled=prefilled),
        strip_leading=not continues,
        headers=(f"{header[0]}assistant{header[1]}", header[1]) if header and not parser else (),
        metadata=_metadata(options),
        counted=counted,
    )


def _chat_messages(
    conversation: Conversation, options: CallOptions, expected: ExpectedAnswer
) -> list[dict[str, Any]]:
    """The turns for an imported model whose own template makes the prompt of them."""
    from llama_bedrock.prompts.chat_messages import to_chat_messages

    return to_chat_messages(
        conversation,
        options.model.prompt_format,
        special_tokens=options.special_tokens,
        tool_instructions=expected.tool_instructions(options.model),
    )


def prepare_completion(llm: BedrockLlama, prompt: str, options: CallOptions) -> PreparedCall:
    """Prepare the completion of a raw prompt: sent as it is, after the begin token.

    Raises:
        ValueError: The prompt is empty, or holds control tokens that `special_tokens` forbids.
    """
    model = options.model
    generation = format_of(model.prompt_format)
    text = prompt.removeprefix(generation.begin)
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
    llm._check_context(rendered.text, options)
    assembler = ResponseAssembler(
        prompt=rendered.text,
        stops=options.stop,
        end_tokens=generation.end_tokens,
        strip_leading=False,
        metadata=_metadata(options),
        counted=_counted(llm, rendered, options),
    )
    return PreparedCall(_request(llm, rendered, options, suffix), options.region, rendered, assembler)


def _counted(llm: BedrockLlama, rendered: RenderedPrompt, options: CallOptions) -> Callable[[int], None]:
    return partial(llm._counts.note, options.model.requested, rendered.text)


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
    if options.guardrails is not None and (config := options.guardrails.body_config(suffix)):
        body["amazon-bedrock-guardrailConfig"] = config
    return InvokeRequest(options.model.model_id, body, options.request_options, options.ends_by)
