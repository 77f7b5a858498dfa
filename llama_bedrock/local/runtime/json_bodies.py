"""The JSON bodies of a request and its answer: Bedrock's Llama format and the two more of imported models.

Bedrock chooses among the three formats of Custom Model Import by the keys that are sent (User Guide, "Invoke
your imported model"): ``messages`` is an OpenAI chat completion, ``max_tokens`` an OpenAI completion, and all
else Bedrock's own.
"""

from __future__ import annotations

import base64
import binascii
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from llama_bedrock.catalog import PromptFormat
from llama_bedrock.local.runtime.body_validation import Member, check_body, malformed
from llama_bedrock.local.runtime.frames import invalid
from llama_bedrock.local.runtime.served_models import ModelTarget

BodyFormat = Literal["bedrock", "openai-completion", "openai-chat"]

GUARDRAIL_CONFIG = "amazon-bedrock-guardrailConfig"
DEFAULT_MAX_GEN_LEN = 512
DEFAULT_TEMPERATURE = 0.5
DEFAULT_TOP_P = 0.9

_PROMPT = Member("String", minimum=1, required=True)
_SAMPLING = {"temperature": Member("Number", 0, 1), "top_p": Member("Number", 0, 1)}
_GUARDRAIL = {GUARDRAIL_CONFIG: Member("JSONObject")}
_IMAGES = Member("JSONArray", items="String")
_OPENAI = {
    "max_tokens": Member("Integer", minimum=1),
    "temperature": Member("Number", 0, 2),
    "top_p": Member("Number", 0, 1),
    "stop": Member("JSONArray", items="String"),
    **_GUARDRAIL,
}


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """The body of an invocation, understood.

    Attributes:
        format: Which of the three formats it has; the answer gets the same one.
        prompt: The raw prompt; that of a chat is rendered with the endpoint's chat template.
        images: Raw base64 images.
        max_gen_len: Most tokens to generate.
        temperature: Sampling temperature.
        top_p: Nucleus sampling threshold.
        stop: Stop strings (OpenAI formats only).
        guardrail_config: The guardrail's options in the body, if any.
    """

    format: BodyFormat
    prompt: str
    images: tuple[str, ...] = ()
    max_gen_len: int = DEFAULT_MAX_GEN_LEN
    temperature: float = DEFAULT_TEMPERATURE
    top_p: float = DEFAULT_TOP_P
    stop: tuple[str, ...] = ()
    guardrail_config: Mapping[str, Any] | None = None


def parse_body(body: Mapping[str, Any], model: ModelTarget, chat_template: PromptFormat) -> ModelRequest:
    """Validate the body of an invocation.

    Args:
        body: The parsed JSON object.
        model: The model it is for.
        chat_template: Format of the prompt that the ``messages`` of an imported model become.

    Raises:
        ServiceError: ``ValidationException`` with Bedrock's text.
    """
    if model.imported and "messages" in body:
        return _parse_openai(body, "openai-chat", chat_template)
    if model.imported and "max_tokens" in body:
        return _parse_openai(body, "openai-completion", chat_template)
    return _parse_bedrock(body, model)


def _parse_bedrock(body: Mapping[str, Any], model: ModelTarget) -> ModelRequest:
    limit = model.max_gen_len if model.limited_by_schema else None
    members = {
        "prompt": _PROMPT,
        "max_gen_len": Member("Integer", 1, limit),
        **_SAMPLING,
        **_GUARDRAIL,
    }
    if model.accepts_images:
        members["images"] = _IMAGES
    if model.imported:
        members["response_format"] = Member("JSONObject")
    check_body(body, members)
    max_gen_len = int(body.get("max_gen_len", DEFAULT_MAX_GEN_LEN))
    if max_gen_len > model.max_gen_len:
        raise invalid(
            f"The maximum tokens you requested exceeds the model limit of {model.max_gen_len}. Try again "
            f"with a maximum tokens value that is lower than {model.max_gen_len}."
        )
    images = tuple(body.get("images", ()))
    _check_images(images)
    return ModelRequest(
        "bedrock",
        body["prompt"],
        images,
        max_gen_len,
        float(body.get("temperature", DEFAULT_TEMPERATURE)),
        float(body.get("top_p", DEFAULT_TOP_P)),
        guardrail_config=body.get(GUARDRAIL_CONFIG),
    )


def _parse_openai(
    body: Mapping[str, Any], body_format: BodyFormat, chat_template: PromptFormat
) -> ModelRequest:
    stop = body.get("stop")
    body = {key: value for key, value in body.items() if value is not None}
    if isinstance(stop, str):
        body["stop"] = [stop]
    if body_format == "openai-chat":
        members = {"messages": Member("JSONArray", minimum=1, items="JSONObject", required=True), **_OPENAI}
        check_body(body, members, closed=False)
        prompt, images = _render_chat(body["messages"], chat_template)
    else:
        check_body(body, {"prompt": _PROMPT, **_OPENAI}, closed=False)
        prompt, images = body["prompt"], ()
    return ModelRequest(
        body_format,
        prompt,
        images,
        int(body.get("max_tokens", DEFAULT_MAX_GEN_LEN)),
        float(body.get("temperature", DEFAULT_TEMPERATURE)),
        float(body.get("top_p", DEFAULT_TOP_P)),
        tuple(body.get("stop", ())),
        body.get(GUARDRAIL_CONFIG),
    )


def _render_chat(messages: list[Any], prompt_format: PromptFormat) -> tuple[str, tuple[str, ...]]:
    """The raw prompt of OpenAI messages, by a chat template, and the images it refers to."""
    from langchain_core.messages import convert_to_messages

    from llama_bedrock.prompts.conversation import build_conversation
    from llama_bedrock.prompts.render import render

    try:
        conversation = build_conversation(convert_to_messages(messages))
        rendered = render(conversation, prompt_format, vision=True)
    except (ValueError, TypeError, NotImplementedError, KeyError) as error:
        raise invalid(f"The messages cannot be rendered with the chat template: {error}") from error
    return rendered.text, rendered.images


def _check_images(images: tuple[str, ...]) -> None:
    for number, image in enumerate(images):
        try:
            base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError):
            raise malformed(f"#/images/{number}: string does not match the format base64") from None


@dataclass(slots=True)
class AnswerShape:
    """Writes the answer in the format of its request.

    Args:
        format: The format of the request.
        model_id: The model of the request.
        request_id: Goes into the ``id`` of OpenAI answers.
    """

    format: BodyFormat
    model_id: str
    request_id: str
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, prompt_tokens: int, output_tokens: int, stop_reason: str) -> dict[str, Any]:
        """The body of an answer that is not streamed."""
        message = {"message": {"role": "assistant", "content": text}}
        body = self._body(text, prompt_tokens, output_tokens, stop_reason, message, "")
        return {**body, **self.last_usage(prompt_tokens, output_tokens)}

    def chunk(
        self,
        text: str,
        prompt_tokens: int | None,
        output_tokens: int,
        stop_reason: str | None,
    ) -> dict[str, Any]:
        """The body of one chunk of a stream.

        Args:
            text: The text of this chunk.
            prompt_tokens: In the first chunk; None after it.
            output_tokens: Tokens so far.
            stop_reason: In the last chunk; None before it.
        """
        role = {"role": "assistant"} if prompt_tokens is not None else {}
        delta = {"delta": {**role, "content": text}}
        return self._body(text, prompt_tokens, output_tokens, stop_reason, delta, ".chunk")

    def last_usage(self, prompt_tokens: int, output_tokens: int) -> dict[str, Any]:
        """Members that a whole answer, or the last chunk of a stream, has besides, without the metrics."""
        return {} if self.format == "bedrock" else {"usage": _usage(prompt_tokens, output_tokens)}

    def _body(
        self,
        text: str,
        prompt_tokens: int | None,
        output_tokens: int,
        stop_reason: str | None,
        chat: Mapping[str, Any],
        chat_kind: str,
    ) -> dict[str, Any]:
        # chat: what an OpenAI chat has in its only choice; chat_kind: how the name of its object ends
        if self.format == "bedrock":
            return {
                "generation": text,
                "prompt_token_count": prompt_tokens,
                "generation_token_count": output_tokens,
                "stop_reason": stop_reason,
            }
        is_chat = self.format == "openai-chat"
        said = chat if is_chat else {"text": text}
        return {
            "id": f"{'chatcmpl' if is_chat else 'cmpl'}-{self.request_id}",
            "object": f"chat.completion{chat_kind}" if is_chat else "text_completion",
            "created": self.created,
            "model": self.model_id,
            "choices": [{"index": 0, "finish_reason": stop_reason, "logprobs": None, **said}],
        }


def _usage(prompt_tokens: int, output_tokens: int) -> dict[str, int]:
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": output_tokens,
        "total_tokens": prompt_tokens + output_tokens,
    }
