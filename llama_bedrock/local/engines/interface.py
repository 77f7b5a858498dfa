"""The interface between the local endpoint and whatever writes the text: prompt in, text pieces out.

The endpoint speaks the wire: it validates the request, counts tokens, enforces ``max_gen_len`` and frames the
answer. An engine only sees an `EngineRequest` and yields text; writing one takes a name and one method.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from llama_bedrock.catalog import PromptFormat


class EngineError(Exception):
    """A Bedrock error that an engine wants its caller to get.

    Args:
        code: Name of the Bedrock exception, such as ``"ThrottlingException"``.
        message: The text of it.
        **details: Further members of that error's shape, such as ``originalStatusCode``.
    """

    def __init__(self, code: str, message: str, **details: Any) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.details = details


class StopReason(str):
    """Yielded by an engine as its last item, instead of text: why it stopped (``"stop"`` or ``"length"``).

    Args:
        reason: ``"stop"`` or ``"length"``.
        prompt_tokens: Tokens of the prompt, where the engine counted them; else they are estimated.
        output_tokens: Tokens of the answer, likewise.
    """

    __slots__ = ("output_tokens", "prompt_tokens")
    prompt_tokens: int | None
    output_tokens: int | None

    def __new__(
        cls, reason: str, prompt_tokens: int | None = None, output_tokens: int | None = None
    ) -> StopReason:
        self = super().__new__(cls, reason)
        self.prompt_tokens = prompt_tokens
        self.output_tokens = output_tokens
        return self


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What an engine needs to write an answer.

    Attributes:
        model_id: The model id or ARN of the call, decoded.
        prompt: The raw prompt, with the control tokens of its Llama generation.
        images: Raw base64 images, one for each ``<|image|>`` of the prompt.
        max_gen_len: Most tokens that will be sent on; the endpoint enforces it.
        temperature: 0 to 1.
        top_p: 0 to 1.
        body: The JSON body as it came, for engines that know more fields.
        prompt_format: Llama generation of the model; None where an ARN hides it.
    """

    model_id: str
    prompt: str
    images: tuple[str, ...] = ()
    max_gen_len: int = 512
    temperature: float = 0.5
    top_p: float = 0.9
    body: Mapping[str, Any] = field(default_factory=dict)
    prompt_format: PromptFormat | None = None


@runtime_checkable
class Engine(Protocol):
    """Writes the answers of the local endpoint.

    A synchronous `generate` runs in a worker thread, so it may compute or wait. An engine that does neither
    sets the class attribute ``blocking = False`` and is called on the server's loop, which saves the thread.
    One that keeps to ``max_gen_len`` itself, by tokens that it counts, says so by ``limits_length = True``;
    the text of others is cut where an estimate reaches it.
    """

    @property
    def name(self) -> str:
        """Name shown to people, such as ``"extractive"``."""

    def generate(self, request: EngineRequest) -> Iterable[str] | AsyncIterable[str]:
        """Write the answer.

        Returns:
            Text pieces in order, each of about a token; `StopReason` as the last item unless it is
            ``"stop"``.

        Raises:
            EngineError: The caller is to get this Bedrock error; before the first piece as an HTTP error,
                after it as an exception frame inside the stream.
        """
