"""The prompt of Llama 2 chat, which knows one system text and strictly alternating turns.

    <s>[INST] <<SYS>>
    {system}
    <</SYS>>

    {user} [/INST] {answer} </s><s>[INST] {user} [/INST]

What LangChain allows and this format does not is folded into it: all system messages become the one system
text, and consecutive messages of a role become one turn with blank lines between them. Source:
``chat_completion`` in ``llama/generation.py`` of meta-llama/llama, which strips every turn.
"""

from __future__ import annotations

from collections.abc import Callable

from llama_bedrock.prompts.conversation import Conversation


def render_llama2(conversation: Conversation, write: Callable[[str, str], str], prefill: str) -> str:
    """Write a conversation as a Llama 2 chat prompt.

    Args:
        conversation: Turns of the roles system, user and assistant.
        write: Makes the text of a role safe.
        prefill: What the assistant's turn begins with.

    Raises:
        ValueError: Tools are used, the assistant speaks first, or there is no user turn.
    """
    system, turns = _fold(conversation)
    if not turns or turns[0][0] != "user":
        said = "the first one after the system message is the assistant's" if turns else "there is none"
        raise ValueError(f"a Llama 2 conversation starts with a human message, and {said}; add one")
    opening = prefill
    if turns[-1][0] == "assistant":
        opening = turns.pop()[1].rstrip() + prefill
    block = "" if system is None else f"<<SYS>>\n{write(system, 'system')}\n<</SYS>>\n\n"
    pieces: list[str] = []
    for role, text in turns:
        if role == "user":
            pieces.append(f"<s>[INST] {block}{write(text.strip(), 'user')} [/INST]")
            block = ""
        else:
            pieces.append(f" {write(text.strip(), 'assistant')} </s>")
    if opening.strip():
        pieces.append(f" {write(opening.lstrip(), 'assistant')}")
    return "".join(pieces)


def _fold(conversation: Conversation) -> tuple[str | None, list[tuple[str, str]]]:
    """The system text, and the other turns with neighbours of one role merged."""
    system: list[str] = []
    turns: list[tuple[str, str]] = []
    for turn in conversation.turns:
        if turn.role == "tool" or turn.has_calls:
            raise ValueError("Llama 2 models know no tools; use an instruct model of Llama 3 or later")
        if turn.role == "system":
            system.append(turn.text)
        elif turns and turns[-1][0] == turn.role:
            merged = [text for text in (turns[-1][1].strip(), turn.text.strip()) if text]
            turns[-1] = (turn.role, "\n\n".join(merged))
        else:
            turns.append((turn.role, turn.text))
    return ("\n\n".join(system) if system else None), turns
