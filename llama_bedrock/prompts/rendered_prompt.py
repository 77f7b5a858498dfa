"""What `render` returns, apart from it: the chat model names the type without loading the renderer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """Exactly what is sent.

    Attributes:
        text: The prompt, control tokens included.
        images: Raw base64, one for each ``<|image|>`` of the prompt, in order.
    """

    text: str
    images: tuple[str, ...] = ()
