"""Two wires that take a raw prompt and stream text: OpenAI's ``/v1/completions`` and Ollama's
``/api/generate``.

Ollama serves the first one, too, but puts its model's chat template around the prompt there and ignores
``raw`` (ollama/ollama#5544, #12636); only its own wire sends a prompt as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llama_bedrock.local.engines.interface import EngineError, EngineRequest, StopReason

_CODES = {
    400: "ValidationException",
    401: "AccessDeniedException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    408: "ModelTimeoutException",
    413: "ValidationException",
    422: "ValidationException",
    429: "ThrottlingException",
    503: "ServiceUnavailableException",
}
_OPENAI_STOPS = 4  # OpenAI's limit


@dataclass(frozen=True, slots=True)
class Wire:
    """How a kind of server is asked and what it answers.

    Attributes:
        path: Below the server's root.
        body: The request's JSON, from the request, the model and the stop strings.
        texts: The texts of one event; the reason of the end comes last, as a `StopReason`.
        usage: Tokens of prompt and answer that an event tells; None for each that it does not.
    """

    path: str
    body: Callable[[EngineRequest, str, Sequence[str]], dict[str, Any]]
    texts: Callable[[Mapping[str, Any]], list[str]]
    usage: Callable[[Mapping[str, Any]], tuple[int | None, int | None]]


def _openai_body(request: EngineRequest, model: str, stops: Sequence[str]) -> dict[str, Any]:
    if request.images:
        raise EngineError("ValidationException", "The completions API takes no images; the prompt has some.")
    return {
        "model": model,
        "prompt": request.prompt,
        "max_tokens": request.max_gen_len,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "stop": list(stops)[:_OPENAI_STOPS],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def _openai_usage(event: Mapping[str, Any]) -> tuple[int | None, int | None]:
    usage = event.get("usage")
    return _counts(usage if isinstance(usage, Mapping) else {}, "prompt_tokens", "completion_tokens")


def _openai_texts(event: Mapping[str, Any]) -> list[str]:
    if event.get("error"):
        raise broken(_message(event))
    choices = event.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else {}
    return _with_reason(choice.get("text"), choice.get("finish_reason"))


def _ollama_body(request: EngineRequest, model: str, stops: Sequence[str]) -> dict[str, Any]:
    return {
        "model": model,
        "prompt": request.prompt,
        "raw": True,
        "stream": True,
        **({"images": list(request.images)} if request.images else {}),
        "options": {
            "num_predict": request.max_gen_len,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "stop": list(stops),
        },
    }


def _ollama_texts(event: Mapping[str, Any]) -> list[str]:
    if event.get("error"):
        raise broken(_message(event))
    return _with_reason(
        event.get("response"), (event.get("done_reason") or "stop") if event.get("done") else None
    )


def _ollama_usage(event: Mapping[str, Any]) -> tuple[int | None, int | None]:
    return _counts(event, "prompt_eval_count", "eval_count")  # absent where the prompt was in its cache


OPENAI = Wire("/v1/completions", _openai_body, _openai_texts, _openai_usage)
OLLAMA = Wire("/api/generate", _ollama_body, _ollama_texts, _ollama_usage)


def _counts(told: Mapping[str, Any], *names: str) -> tuple[int | None, int | None]:
    found = [value if type(value := told.get(name)) is int and value >= 0 else None for name in names]
    return found[0], found[1]


def parse_event(data: str) -> Mapping[str, Any]:
    """The JSON object of one event.

    Raises:
        EngineError: It is none.
    """
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, Mapping):
        raise broken(f"it sent no JSON object: {data[:200]!r}")
    return value


def refusal(status: int, body: str, url: str) -> EngineError:
    """The Bedrock error for an HTTP status of the server, with its words."""
    try:
        parsed = json.loads(body)
    except (ValueError, RecursionError):
        parsed = None
    message = _message(parsed) if isinstance(parsed, Mapping) else body.strip()[:300]
    text = f"The completion server at {url} answered {status}: {message or 'no message'}"
    code = _CODES.get(status)
    if code:
        return EngineError(code, text)
    return EngineError("ModelErrorException", text, originalStatusCode=status, resourceName=url)


def broken(what: str) -> EngineError:
    """The Bedrock error for an answer that cannot be read."""
    text = f"The completion server failed: {what}"
    return EngineError("ModelErrorException", text, originalStatusCode=500, resourceName="completions")


def _with_reason(text: Any, reason: Any) -> list[str]:
    found = [text] if isinstance(text, str) and text else []
    if reason:
        found.append(StopReason("length" if reason == "length" else "stop"))
    return found


def _message(body: Mapping[str, Any]) -> str:
    error = body.get("error", body)
    if isinstance(error, Mapping):
        error = error.get("message") or error.get("detail") or error
    return str(error)[:300]
