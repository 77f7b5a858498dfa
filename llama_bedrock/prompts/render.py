"""Conversation to the exact prompt of each Llama generation.

Bytes are those of Meta's published formats (prompt_format.md of each model in meta-llama/llama-models; for
Llama 2 ``chat_completion`` of meta-llama/llama):

* A header is followed by exactly two newlines, a turn ends in its end token, nothing stands between the two,
  and the prompt ends with the assistant's header and two newlines. Text is not trimmed (Llama 2: it is, as
  Meta's code does).
* A trailing assistant turn is continued: it is written without its end token, and no further header follows.
  A turn that ends in tool calls is complete, and is never continued.
* Tool calls end with the end-of-turn token (``<|eot_id|>``, ``<|eot|>``), and so do results, whose role is
  ``ipython``. The end-of-message token belongs to Meta's built-in tools, which this library does not ask
  for; for zero-shot calls Meta's documents and the published templates of all generations use end-of-turn.
* Every image of a user turn stands right after its header, in order, before all text: an image is only seen
  by the text after it, and images side by side are seen by all of it.
* Base models get their text after the begin token, turns joined with a blank line.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from llama_bedrock.choices import SpecialTokens
from llama_bedrock.prompts.content import TextPart
from llama_bedrock.prompts.conversation import Conversation, Turn
from llama_bedrock.prompts.formats import LlamaFormat, PromptFormat, format_of
from llama_bedrock.prompts.images import fit
from llama_bedrock.prompts.llama2 import render_llama2
from llama_bedrock.prompts.rendered_prompt import RenderedPrompt
from llama_bedrock.prompts.special_tokens import neutralise

GUARD_TAG = "amazon-bedrock-guardrails-guardContent_"
"""The start of the name of the tags around text that a guardrail is to evaluate (Bedrock user guide)."""


@dataclass(frozen=True, slots=True)
class _Writer:
    """Makes the text of a turn safe. What it returns goes between control tokens unchanged."""

    generation: LlamaFormat
    policy: SpecialTokens
    guard_suffix: str | None

    def text(self, text: str, role: str) -> str:
        safe = neutralise(text, self.generation.name, self.policy, f"the text of a {role} turn")
        if self.guard_suffix is None:
            return safe
        tag = f"{GUARD_TAG}{self.guard_suffix}"
        safe = safe.replace(f"<{tag}>", f"< {tag}>").replace(f"</{tag}>", f"< /{tag}>")
        return f"<{tag}>{safe}</{tag}>" if role == "user" and safe.strip() else safe


def render(
    conversation: Conversation,
    prompt_format: PromptFormat,
    *,
    base: bool = False,
    vision: bool = False,
    special_tokens: SpecialTokens = "escape",
    tool_instructions: str | None = None,
    prefill: str = "",
    guard_suffix: str | None = None,
) -> RenderedPrompt:
    """Write a conversation as the prompt of a Llama generation.

    Args:
        conversation: At least one turn.
        prompt_format: The generation.
        base: The model is a base model: raw text after the begin token, no turns.
        vision: The model takes images.
        special_tokens: What to do with control tokens in text; see `special_tokens.neutralise`.
        tool_instructions: Functions and how to call them; goes below the first system message, or becomes it.
        prefill: What the assistant's turn begins with; the model continues it.
        guard_suffix: Suffix of the guardrail tags to put around the text of user turns; None for no tags.

    Raises:
        ValueError: The conversation cannot be written in this format; the error says why and what to do.
    """
    if not conversation.turns:
        raise ValueError("the conversation has no turns; pass at least one message")
    generation = format_of(prompt_format)
    images = conversation.images
    if images and not (vision and generation.reads_images):
        raise ValueError(
            "the messages hold an image and this model reads text only; "
            "Llama 3.2 11B and 90B, Llama 4 Scout and Maverick take images"
        )
    if tool_instructions and (base or not generation.knows_tools):
        kind = "Base models" if base else "Llama 2 models"
        raise ValueError(f"{kind} know no tools; use an instruct model of Llama 3 or later")
    write = _Writer(generation, special_tokens, guard_suffix)
    if base:
        text = _render_base(conversation, write, prefill)
    elif generation.header is None:
        text = render_llama2(conversation, write.text, prefill)
    else:
        text = _render_turns(with_instructions(conversation, tool_instructions), write, prefill)
    return RenderedPrompt(text, tuple(fit(image).data for image in images))


def with_instructions(conversation: Conversation, instructions: str | None) -> Conversation:
    """Put the tool instructions below the first system message, or make one of them."""
    if not instructions:
        return conversation
    first, *rest = conversation.turns
    if first.role != "system":
        return Conversation((Turn("system", (TextPart(instructions),)), *conversation.turns))
    gap = "\n\n" if first.text else ""
    return Conversation((replace(first, parts=(*first.parts, TextPart(gap + instructions))), *rest))


def _render_turns(conversation: Conversation, write: _Writer, prefill: str) -> str:
    generation = write.generation
    pieces = [generation.begin]
    *turns, last = conversation.turns
    continued = last.role == "assistant" and not last.has_calls
    for turn in turns if continued else (*turns, last):
        body = generation.image * len(turn.images) + write.text(turn.text, turn.role)
        pieces += [generation.write_header(turn.role), body, generation.end_of_turn]
    opening = last.text if continued else ""
    pieces += [generation.write_header("assistant"), write.text(opening + prefill, "assistant")]
    return "".join(pieces)


def _render_base(conversation: Conversation, write: _Writer, prefill: str) -> str:
    if any(turn.role == "tool" or turn.has_calls for turn in conversation.turns):
        raise ValueError("base models know no tools; leave tool calls and their results out of the messages")
    text = "\n\n".join(turn.text for turn in conversation.turns) + prefill
    generation = write.generation
    return generation.begin + generation.image * len(conversation.images) + write.text(text, "user")
