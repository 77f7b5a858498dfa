"""The catalogue's facts as LangChain's `ModelProfile`."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from llama_bedrock.catalog.resolve import ResolvedModel

if TYPE_CHECKING:
    from langchain_core.language_models.model_profile import ModelProfile


def model_profile(resolved: ResolvedModel) -> ModelProfile:
    """What the chat model can do, for `ChatLlamaBedrock.profile`.

    Tools, forced tools and structured output come from the raw-prompt path of this library, so they hold for
    every chat model from Llama 3 on, whatever Bedrock's Converse supports for it.
    """
    tools, images = resolved.accepts_tools, resolved.accepts_images
    profile: ModelProfile = {
        "open_weights": True,
        "max_input_tokens": resolved.max_input_tokens,
        "max_output_tokens": resolved.max_output_tokens,
        "text_inputs": True,
        "image_inputs": images,
        "image_url_inputs": False,  # a remote image is refused, not fetched behind the caller's back
        "pdf_inputs": False,
        "audio_inputs": False,
        "video_inputs": False,
        "image_tool_message": images,
        "pdf_tool_message": False,
        "attachment": images,
        "text_outputs": True,
        "image_outputs": False,
        "audio_outputs": False,
        "video_outputs": False,
        "reasoning_output": False,
        "temperature": True,
        "tool_calling": tools,
        "tool_choice": tools,
        "tool_call_streaming": tools,
        "structured_output": tools,
    }
    if resolved.info is not None:
        state = resolved.info.lifecycle_on(datetime.now(UTC).date())
        profile["name"] = resolved.info.name
        profile["status"] = "active" if state == "active" else "deprecated"
        if resolved.info.released is not None:
            profile["release_date"] = resolved.info.released.isoformat()
    return profile
