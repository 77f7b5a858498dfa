"""LangChain messages to the turns of a conversation: plain text and images, in the order the model is to see
them.

Rules, each with a test:

* Every message is a turn, an empty one too. Consecutive turns of one role stay separate turns, as in Meta's
  own examples; only system messages at the very start are joined (with a blank line), because Llama is
  trained on one.
* A system message further down stays where it is.
* ``HumanMessage.name`` is written before the text as ``name: ``; names of other messages are not shown,
  except that tool results carry the name of their tool.
* Past tool calls follow the text of their turn on a new line, in the dialect of the model's instructions.
  Calls found only in the content count; calls that stand in both places, or in three, count once. A call that
  could not be read is shown as it was written.
* Results that follow turns with calls are put into the order of the calls, since the prompt has no ids.
  Results whose call is not there come after them and are kept.
* What another provider's model wrote is never refused; `content` says what becomes of it.
* Llama takes images in user turns only. Images a tool returned follow its result in a user turn that says so.
* An image in a system message is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from langchain_core.messages import (
    AIMessage,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    InvalidToolCall,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

from llama_bedrock.choices import Dialect
from llama_bedrock.prompts.content import Content, TextPart, ToolResult, read_call, read_content
from llama_bedrock.prompts.images import ImagePart
from llama_bedrock.tools.events import with_errors
from llama_bedrock.tools.rendering import render_calls, render_result

Role = Literal["system", "user", "assistant", "tool"]

_CHAT_ROLES: dict[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "ai": "assistant",
    "tool": "tool",
    "ipython": "tool",
    "function": "tool",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn.

    Attributes:
        role: Who speaks.
        parts: Text and images in order.
        has_calls: An assistant's turn that ends in tool calls; it is complete even where it comes last.
    """

    role: Role
    parts: tuple[TextPart | ImagePart, ...]
    has_calls: bool = False

    @property
    def text(self) -> str:
        """The text parts, joined with nothing between them."""
        return "".join(part.text for part in self.parts if isinstance(part, TextPart))

    @property
    def images(self) -> tuple[ImagePart, ...]:
        return tuple(part for part in self.parts if isinstance(part, ImagePart))


@dataclass(frozen=True, slots=True)
class Conversation:
    """The turns of a prompt, oldest first."""

    turns: tuple[Turn, ...]

    @property
    def images(self) -> tuple[ImagePart, ...]:
        return tuple(image for turn in self.turns for image in turn.images)


def build_conversation(messages: Sequence[BaseMessage], *, dialect: Dialect = "pythonic") -> Conversation:
    """Turn LangChain messages into a conversation, by the rules at the head of this module.

    Args:
        messages: At least one message.
        dialect: How past tool calls are written.

    Raises:
        ValueError: No messages, a message of an unknown kind, or content that Llama cannot take; the error
            says which message.
        TypeError: Something in the list is not a message.
    """
    if not messages:
        raise ValueError("there are no messages to send; pass at least one")
    builder = _Builder(dialect)
    for number, message in enumerate(messages, start=1):
        if not isinstance(message, BaseMessage):
            raise TypeError(f"message {number} is a {type(message).__name__}, not a LangChain message")
        builder.add(message, f"message {number} ({message.type})")
    return builder.finish()


class _Builder:
    """Collects turns; holds back a run of tool results until it is complete."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect: Dialect = dialect
        self._turns: list[Turn] = []
        self._calls: list[ToolCall] = []
        self._names: dict[str, str] = {}  # of all tools called so far, by the id of the call
        self._results: list[ToolResult] = []

    def add(self, message: BaseMessage, where: str) -> None:
        role = _role(message, where)
        content = read_content(_content_of(message), where, speaker=role)
        if role == "tool":
            self._results.append(_tool_result(message, content))
            return
        if content.calls and role != "assistant":
            raise ValueError(
                f"{where} holds a tool call; calls belong into assistant messages, with their results"
            )
        if role != "assistant":
            self._results.extend(content.results)
        if content.results and role == "user" and not content.parts:
            return  # an Anthropic message that only brings results
        self._flush_results()
        add_turn: dict[Role, Callable[[BaseMessage, Content, str], None]] = {
            "system": self._add_system,
            "user": self._add_user,
            "assistant": self._add_assistant,
        }
        add_turn[role](message, content, where)

    def finish(self) -> Conversation:
        self._flush_results()
        return Conversation(tuple(self._turns))

    def _add_system(self, message: BaseMessage, content: Content, where: str) -> None:
        _refuse_images(content, where)
        turn = Turn("system", tuple(content.parts))
        if len(self._turns) == 1 and self._turns[0].role == "system":
            self._turns[0] = Turn("system", (*self._turns[0].parts, TextPart("\n\n"), *turn.parts))
        else:
            self._turns.append(turn)

    def _add_user(self, message: BaseMessage, content: Content, where: str) -> None:
        name = (TextPart(f"{message.name}: "),) if message.name else ()
        self._turns.append(Turn("user", (*name, *content.parts)))

    def _add_assistant(self, message: BaseMessage, content: Content, where: str) -> None:
        calls, unreadable = _calls_of(message, content, where)
        parts = [*content.parts, *_text_beside(message, content)]
        written = [render_calls(calls, self._dialect)] if calls else []
        written += [_unreadable(call["name"], call["args"]) for call in unreadable]
        if written:
            before = "\n" if any(isinstance(part, TextPart) and part.text for part in parts) else ""
            parts.append(TextPart(before + "\n".join(written)))
        self._turns.append(Turn("assistant", tuple(parts), has_calls=bool(written)))
        self._calls += calls
        self._names |= {call["id"]: call["name"] for call in calls if call["id"]}
        # Results of what the provider ran itself are left out with their calls.
        self._results += [
            result for result in content.results if result.call_id not in content.provider_calls
        ]

    def _flush_results(self) -> None:
        """Write the results that came since the last turn, in the order of its calls; then their images."""
        if not self._results:
            return
        order = {call["id"]: at for at, call in enumerate(self._calls) if call["id"]}
        results = sorted(self._results, key=lambda result: order.get(result.call_id or "", len(order)))
        images: list[ImagePart] = []
        sources: list[str] = []
        for result in results:
            name = result.name or self._names.get(result.call_id or "")
            mine = [part for part in result.parts if isinstance(part, ImagePart)]
            text = "".join(part.text for part in result.parts if isinstance(part, TextPart))
            if mine and not text:
                text = f"{len(mine)} image{'s' if len(mine) > 1 else ''}, shown in the next message"
            written = render_result(text, name=name, status=result.status)
            self._turns.append(Turn("tool", (TextPart(written),)))
            if mine:
                images += mine
                sources.append(name or "the tool")
        if images:
            note = f"Image{'s' if len(images) > 1 else ''} returned by {', '.join(dict.fromkeys(sources))}."
            self._turns.append(Turn("user", (*images, TextPart(note))))
        self._results, self._calls = [], []


def _role(message: BaseMessage, where: str) -> Role:
    if isinstance(message, SystemMessage):
        return "system"
    if isinstance(message, HumanMessage):
        return "user"
    if isinstance(message, AIMessage):
        return "assistant"
    if isinstance(message, (ToolMessage, FunctionMessage)):
        return "tool"
    role = _CHAT_ROLES.get(message.role.lower()) if isinstance(message, ChatMessage) else None
    if role is None:
        said = (
            f"the role {message.role!r}" if isinstance(message, ChatMessage) else f"the type {message.type!r}"
        )
        raise ValueError(f"{where} has {said}; Llama knows system, user, assistant and tool")
    return role


def _content_of(message: BaseMessage) -> Any:
    """The content; OpenAI's computer tool returns its picture as the URL alone."""
    if message.additional_kwargs.get("type") == "computer_call_output" and isinstance(message.content, str):
        return [{"type": "input_image", "image_url": message.content}]
    return message.content


def _tool_result(message: BaseMessage, content: Content) -> ToolResult:
    call_id = message.tool_call_id if isinstance(message, ToolMessage) else None
    status = message.status if isinstance(message, ToolMessage) else "success"
    parts = [*content.parts, *(part for result in content.results for part in result.parts)]
    if any(result.status == "error" for result in content.results):
        status = "error"
    return ToolResult(tuple(parts), call_id, message.name, status)


def _calls_of(
    message: BaseMessage, content: Content, where: str
) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """The calls of an assistant's message, and those that could not be read, each once.

    Providers write a call into ``tool_calls``, into the content and into ``additional_kwargs``.
    """
    calls: list[ToolCall] = []
    unreadable: list[InvalidToolCall] = []
    if isinstance(message, AIMessage):
        calls += message.tool_calls
        unreadable += with_errors(message).invalid_tool_calls  # as the model wrote them
    twins = [(call["name"], call["args"]) for call in calls]
    known = {call["id"] for call in [*calls, *unreadable] if call["id"]}
    for call in content.calls:
        if call["id"] in known:
            continue
        if not call["id"] and (call["name"], call["args"]) in twins:  # Gemini's blocks have no ids
            twins.remove((call["name"], call["args"]))
            continue
        calls.append(call)
    bare = [(call["name"], call["args"]) for call in unreadable]
    unreadable += [
        call
        for call in content.unreadable
        if call["id"] not in known and (call["id"] or (call["name"], call["args"]) not in bare)
    ]
    legacy = message.additional_kwargs.get("function_call")
    if legacy and not calls and not unreadable:  # OpenAI's form, before there were tools
        calls.append(read_call(legacy, where))
    return calls, unreadable


def _text_beside(message: BaseMessage, content: Content) -> list[TextPart]:
    """What langchain-openai keeps beside an empty content: a refusal, the words of an answer in sound."""
    if any(isinstance(part, TextPart) and part.text for part in content.parts):
        return []
    audio = message.additional_kwargs.get("audio")
    told = (
        message.additional_kwargs.get("refusal"),
        audio.get("transcript") if isinstance(audio, dict) else None,
    )
    return [TextPart(text) for text in told if isinstance(text, str) and text]


def _refuse_images(content: Content, where: str) -> None:
    if any(isinstance(part, ImagePart) for part in content.parts):
        raise ValueError(f"{where} holds an image; Llama takes images in human messages only, put it there")


def _unreadable(name: str | None, raw: str | None) -> str:
    """A call that could not be read, as the model wrote it."""
    text = raw or ""
    return text if not name or name in text else f"{name}({text})"
