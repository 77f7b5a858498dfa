"""Examples to train a Llama with: read from anything, checked for one base model, written in its schema.

Schemas and limits: "Prepare data for fine-tuning", Amazon Bedrock user guide (facts checked 2026-11-21).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from langchain_core.messages import AIMessage, HumanMessage, SystemMessage
from langchain_core.messages.utils import convert_to_messages

from llama_bedrock.argument_kinds import refuses_wrong_kinds_in_methods
from llama_bedrock.catalog import ModelInfo
from llama_bedrock.control.base_models import base_of
from llama_bedrock.control.findings import Finding, errors_of, refuse_errors
from llama_bedrock.control.prompt_file import PromptRecord, read_columns, read_csv, read_jsonl, refuse_lost
from llama_bedrock.control.training_checks import check_examples
from llama_bedrock.control.training_shapes import read_texts, read_turns

CONVERSATION = "bedrock-conversation-2024"
_ROLES = {HumanMessage: "user", AIMessage: "assistant", SystemMessage: "system"}


@dataclass(frozen=True, slots=True)
class TrainingTurn:
    """What one side says.

    Attributes:
        role: ``"system"``, ``"user"`` or ``"assistant"``.
        text: Its text.
        images: Images of the turn as Bedrock names them, by their place in S3.
    """

    role: str
    text: str
    images: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """One conversation to learn from.

    Attributes:
        where: Where it stands, such as ``"train.csv, line 7"``.
        turns: The conversation; empty where it cannot be read.
        problem: Why it cannot be read.
    """

    where: str
    turns: tuple[TrainingTurn, ...] = ()
    problem: str | None = None


@refuses_wrong_kinds_in_methods()
class TrainingData:
    """Examples, from messages, CSV or JSON lines.

        data = TrainingData.from_csv("questions.csv", prompt="question", completion="answer")
        checked = data.check("meta.llama3-3-70b-instruct-v1:0")
        checked.write("train.jsonl")

    Args:
        examples: The examples.
    """

    def __init__(self, examples: Iterable[TrainingExample]) -> None:
        self.examples = tuple(examples)

    def __len__(self) -> int:
        return len(self.examples)

    @classmethod
    def from_messages(cls, conversations: Iterable[Sequence[Any]]) -> TrainingData:
        """Read conversations.

        Args:
            conversations: Each a list of LangChain messages, or of what LangChain takes for such, as
                ``("user", "Hello")``.
        """
        return cls(
            _example(f"conversation {number}", _of_messages, turns)
            for number, turns in enumerate(conversations, 1)
        )

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        prompt: str = "prompt",
        completion: str = "completion",
        system: str | None = None,
    ) -> TrainingData:
        """Read a CSV file with a heading.

        Args:
            path: The file, in UTF-8.
            prompt: Column of what the user says.
            completion: Column of what the model is to answer.
            system: Column of the system's text, if there is one.

        Raises:
            ValueError: It has no such column.
        """
        path = Path(path)
        wanted = {"system": system, "user": prompt, "assistant": completion}
        columns = read_columns(path)
        missing = [column for column in wanted.values() if column is not None and column not in columns]
        if missing:
            raise ValueError(f"{path.name} has no column {', '.join(missing)}; it has {', '.join(columns)}")

        def turns(row: Mapping[str, str]) -> tuple[TrainingTurn, ...]:
            found = [(role, row[column]) for role, column in wanted.items() if column]
            return tuple(TrainingTurn(role, text) for role, text in found if text or role != "system")

        return cls(_of_file(path, read_csv(path), turns))

    @classmethod
    def from_jsonl(cls, path: str | Path) -> TrainingData:
        """Read JSON lines: Bedrock's two schemas, ``{"messages": [{"role": …, "content": …}, …]}``, or the
        shapes of Alpaca, Dolly and ShareGPT.
        """
        return cls(_of_file(Path(path), read_jsonl(Path(path)), _of_record))

    def check(
        self, base_model: str, *, test_questions: Iterable[str] = (), prompts_only: bool = False
    ) -> CheckedTrainingData:
        """Check the examples for one base model.

        Args:
            base_model: The model that is to be trained.
            test_questions: What the result will be tested with: none of it may be among the examples.
            prompts_only: For a distillation, where the teacher answers: examples may end with the user.

        Raises:
            ValueError: The base model is unknown, or was never customised on Bedrock.
        """
        info = base_of(base_model)
        findings = check_examples(self.examples, info, tuple(test_questions), prompts_only=prompts_only)
        return CheckedTrainingData(self.examples, info, tuple(findings))


@refuses_wrong_kinds_in_methods()
@dataclass(frozen=True, slots=True)
class CheckedTrainingData:
    """Examples, and what was found in them for one base model.

    Attributes:
        examples: The examples.
        base: The base model.
        findings: One for each thing found, with the line it is about.
        tokens: Of all examples, estimated.
    """

    examples: tuple[TrainingExample, ...]
    base: ModelInfo
    findings: tuple[Finding, ...] = field(default=())

    @property
    def ok(self) -> bool:
        """True if nothing was found that Bedrock would refuse."""
        return not errors_of(self.findings)

    @property
    def tokens(self) -> int:
        """Tokens of all examples, estimated; a job is billed by these, times its epochs."""
        from llama_bedrock.control.training_checks import tokens_of

        return sum(tokens_of(example) for example in self.examples)

    def raise_for_errors(self) -> None:
        """Raise what Bedrock would refuse.

        Raises:
            ValueError: There are errors; it lists them.
        """
        refuse_errors(f"training {self.base.model_id}", self.findings)

    def write(self, path: str | Path) -> Path:
        """Write the examples as JSON lines, in the schema of the base model.

        Raises:
            ValueError: There are errors; it lists them.
        """
        self.raise_for_errors()
        schema = _prompt_completion if self.base.fine_tuning_format == "prompt_completion" else _conversation
        lines = (json.dumps(schema(example), ensure_ascii=False) for example in self.examples)
        target = Path(path)
        target.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return target

    def __str__(self) -> str:
        return "\n".join(map(str, self.findings)) or f"{len(self.examples)} examples, nothing was found"


def _example(where: str, read: Callable[[Any], tuple[TrainingTurn, ...]], value: Any) -> TrainingExample:
    try:
        return TrainingExample(where, read(value))
    # LangChain raises each of these for one or another shape of a message; the finding names the line.
    except (ValueError, TypeError, KeyError, AttributeError, NotImplementedError) as error:
        return TrainingExample(where, problem=" ".join(str(error).split()) or type(error).__name__)


def _of_messages(messages: Sequence[Any]) -> tuple[TrainingTurn, ...]:
    turns = []
    for message in convert_to_messages(messages):
        role = next((role for kind, role in _ROLES.items() if isinstance(message, kind)), None)
        if role is None:
            raise ValueError(f"Bedrock trains no turns of type {message.type!r}")
        if getattr(message, "tool_calls", None):
            raise ValueError("Bedrock trains no tool calls as such; write them as text, as the model is to")
        blocks = [message.content] if isinstance(message.content, str) else message.content
        turns.append(_turn(role, blocks))
    return tuple(turns)


def _of_file(
    path: Path, records: Iterable[PromptRecord], read: Callable[[Any], tuple[TrainingTurn, ...]]
) -> Iterator[TrainingExample]:
    for record in records:
        where = f"{path.name}, line {record.line}"
        yield (
            _example(where, read, record.value)
            if record.error is None
            else TrainingExample(where, problem=record.error)
        )


def _of_record(record: Any) -> tuple[TrainingTurn, ...]:
    if not isinstance(record, Mapping):
        raise ValueError("it is no JSON object")
    if "messages" not in record:
        record = read_turns(record) or read_texts(record) or record
    conversation = "messages" in record
    said = _said(record.get("messages"))
    kept = {name for name, value in record.items() if isinstance(value, str) and value in said}
    refuse_lost(record, {"system", *kept} if conversation else set(), 'put it into "messages"')
    if conversation and (record.keys() & {"prompt", "completion"}) - kept:
        raise ValueError('it holds "messages" and a prompt or completion: one of them would be dropped')
    if "prompt" in record:
        answer = [TrainingTurn("assistant", _text(record["completion"]))] if "completion" in record else []
        return (TrainingTurn("user", _text(record["prompt"])), *answer)
    if not isinstance(record.get("messages"), list):
        held = ", ".join(map(repr, record)) or "nothing"
        raise ValueError(f'it holds {held}, and neither "prompt" and "completion" nor "messages"')
    blocks = record.get("system") or ()
    texts = [blocks] if isinstance(blocks, str) else [block["text"] for block in blocks]
    system = [TrainingTurn("system", _text(text)) for text in texts]
    turns = []
    for message in record["messages"]:
        if not isinstance(message, Mapping) or not {"role", "content"} <= message.keys():
            raise ValueError(f"a message has a role and content, and this is {str(message)[:80]}")
        lost = [name for name in message.keys() - {"role", "content"} if message[name] not in (None, "", [])]
        if lost:
            raise ValueError(
                f"a message holds {', '.join(map(repr, sorted(lost)))}, which Bedrock does not train"
            )
        content = message["content"]
        turns.append(_turn(message["role"], [content] if isinstance(content, str) else content))
    return (*system, *turns)


def _said(messages: Any) -> set[str]:
    """The texts of messages: what a record holds beside them is lost only if it is none of these."""
    contents = (
        [m.get("content") for m in messages if isinstance(m, Mapping)] if isinstance(messages, list) else []
    )
    return {content for content in contents if isinstance(content, str)}


def _turn(role: str, blocks: Iterable[Any]) -> TrainingTurn:
    texts: list[str] = []
    images: list[Mapping[str, Any]] = []
    for block in blocks:
        if isinstance(block, str):
            texts.append(block)
        elif isinstance(block.get("text"), str):
            texts.append(block["text"])
        elif "s3Location" in (image := block.get("image") or {}).get("source", {}):
            images.append(image)
        else:
            raise ValueError(
                f"a block has neither text nor an image in S3: {', '.join(map(repr, block))}; an image is "
                '{"image": {"format": …, "source": {"s3Location": {"uri": …}}}}'
            )
    return TrainingTurn(role, "".join(texts), tuple(images))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"a text is needed, not {type(value).__name__}")
    return value


def _prompt_completion(example: TrainingExample) -> dict[str, Any]:
    names = {"user": "prompt", "assistant": "completion"}
    return {names[turn.role]: turn.text for turn in example.turns}


def _conversation(example: TrainingExample) -> dict[str, Any]:
    system = [{"text": turn.text} for turn in example.turns if turn.role == "system"]
    messages = [
        {"role": turn.role, "content": [*({"image": image} for image in turn.images), {"text": turn.text}]}
        for turn in example.turns
        if turn.role != "system"
    ]
    return {"schemaVersion": CONVERSATION, **({"system": system} if system else {}), "messages": messages}
