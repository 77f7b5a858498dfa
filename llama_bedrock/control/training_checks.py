"""What is wrong with examples: roles, order, length, repetition, and what the test will ask."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from llama_bedrock.catalog import ModelInfo
from llama_bedrock.control.base_models import lifecycle_message_for
from llama_bedrock.control.findings import Finding
from llama_bedrock.prompts.special_tokens import find
from llama_bedrock.usage import estimate_tokens

if TYPE_CHECKING:
    from llama_bedrock.control.training_data import TrainingExample

MIN_RECORDS, MAX_RECORDS = 100, 10_000
_MAX_TOKENS = {"meta.llama3-2-90b-instruct-v1:0": 10_000}
_USUAL_MAX_TOKENS = 16_000
_TURN_TOKENS = 5  # the tokens around a turn
_NEAR = 0.9  # of the limit: the count is an estimate
_LEAST_WORDS = 6  # of a test question that is looked for inside longer texts


def tokens_of(example: TrainingExample) -> int:
    """Tokens of an example, estimated, without those of its images."""
    return sum(estimate_tokens(turn.text) + _TURN_TOKENS for turn in example.turns)


def check_examples(
    examples: Sequence[TrainingExample],
    base: ModelInfo,
    test_questions: Sequence[str],
    *,
    prompts_only: bool,
) -> list[Finding]:
    """What is to be said of examples for a base model; errors are what Bedrock refuses, or spoils a test."""
    findings: list[Finding] = []
    closed = lifecycle_message_for(base)
    if closed is not None:
        findings.append(Finding("warning", "the base model", closed))
    if not MIN_RECORDS <= len(examples) <= MAX_RECORDS:
        what = f"there are {len(examples):,} examples; Bedrock takes {MIN_RECORDS} to {MAX_RECORDS:,}"
        findings.append(
            Finding(
                "error", "the data", what, "add some" if len(examples) < MIN_RECORDS else "leave some out"
            )
        )
    for example in examples:
        findings += _of_one(example, base, prompts_only=prompts_only)
    findings += _repetitions(examples)
    findings += _leaks(examples, test_questions)
    return findings


def _of_one(example: TrainingExample, base: ModelInfo, *, prompts_only: bool) -> Iterator[Finding]:
    if example.problem is not None:
        yield Finding("error", example.where, f"it cannot be read: {example.problem}")
        return
    for what, fix in (
        *_order(example, prompts_only=prompts_only),
        *_schema(example, base),
        *_content(example, base),
    ):
        yield Finding("error", example.where, what, fix)
    limit = _MAX_TOKENS.get(base.model_id, _USUAL_MAX_TOKENS)
    tokens = tokens_of(example)
    if tokens > limit:
        what = f"it has about {tokens:,} tokens; {base.name} learns from at most {limit:,}"
        yield Finding("error", example.where, what, "shorten or split it")
    elif tokens > _NEAR * limit:
        yield Finding(
            "warning",
            example.where,
            f"it has about {tokens:,} of {limit:,} tokens",
            "the count is an estimate",
        )


def _order(example: TrainingExample, *, prompts_only: bool) -> Iterator[tuple[str, str]]:
    roles = [turn.role for turn in example.turns]
    unknown = sorted(set(roles) - {"system", "user", "assistant"})
    if unknown:
        yield f"the role {unknown[0]!r} is none", "system, user and assistant are"
        return
    if "system" in roles[1:]:
        yield "the system speaks after another", "put its text first"
    turns = [role for role in roles if role != "system"]
    expected = ["user", "assistant"] * (len(turns) // 2 + 1)
    if turns != expected[: len(turns)]:
        wrong = next(n for n, role in enumerate(turns) if role != expected[n])
        yield (
            f"turn {wrong + 1} is the {turns[wrong]}'s, where the {expected[wrong]}'s has to be",
            "turns alternate, the user begins",
        )
    elif not turns:
        yield "there is no turn", "a user's turn and an answer are needed"
    elif turns[-1] != "assistant" and not prompts_only:
        yield "it does not end with the assistant", "add the answer that is to be learnt"


def _schema(example: TrainingExample, base: ModelInfo) -> Iterator[tuple[str, str]]:
    if base.fine_tuning_format == "prompt_completion":
        if any(turn.role == "system" for turn in example.turns):
            yield (
                f"{base.name} is trained by prompt and completion, without a system text",
                "put it into the prompt",
            )
        elif len(example.turns) > 2:
            yield (
                f"{base.name} learns from one prompt and completion, this has {len(example.turns)} turns",
                "split it",
            )
    if any(turn.images for turn in example.turns) and not base.accepts_images:
        yield f"it has images, which {base.name} does not read", "take Llama 3.2 11B or 90B"
    if any(turn.images for turn in example.turns if turn.role != "user"):
        yield "an image stands in a turn that is not the user's", "only the user shows images"


def _content(example: TrainingExample, base: ModelInfo) -> Iterator[tuple[str, str]]:
    for number, turn in enumerate(example.turns, 1):
        if not turn.text.strip():
            yield f"turn {number} ({turn.role}) is empty", "remove the example, or write it"
        if tokens := find(turn.text, base.generation):
            yield (
                f"turn {number} has the control token {tokens[0]}, which would end or forge a turn",
                "remove it",
            )


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.casefold()))


def _repetitions(examples: Iterable[TrainingExample]) -> Iterator[Finding]:
    whole: dict[str, str] = {}
    prompts: dict[str, str] = {}
    for example in examples:
        if not example.turns:
            continue
        key = "\n".join(f"{turn.role}:{_words(turn.text)}{turn.images}" for turn in example.turns)
        prompt = key.rpartition("\nassistant:")[0]
        if key in whole:
            yield Finding("warning", example.where, f"it is the same as {whole[key]}", "remove one")
        elif prompt and prompt in prompts:
            yield Finding(
                "warning",
                example.where,
                f"the same prompt has another answer at {prompts[prompt]}",
                "keep one of them",
            )
        whole.setdefault(key, example.where)
        prompts.setdefault(prompt, example.where)


def _leaks(examples: Iterable[TrainingExample], questions: Sequence[str]) -> Iterator[Finding]:
    """Test questions among the examples: the same words, or a long question inside a turn."""
    asked = {words: question for question in questions if (words := _words(question))}
    # Long ones by how they begin, so that each text is looked through once.
    long: dict[str, list[str]] = {}
    for words in asked:
        if words.count(" ") + 1 >= _LEAST_WORDS:
            long.setdefault(" ".join(words.split()[:_LEAST_WORDS]), []).append(words)
    for example in examples:
        for turn in example.turns:
            words = _words(turn.text)
            found = words if words in asked else _inside(words, long)
            if found is not None:
                yield Finding(
                    "error",
                    example.where,
                    f"it holds the test question {asked[found]!r}",
                    "remove it: the model would be tested with what it has learnt by heart",
                )
                break


def _inside(text: str, questions: Mapping[str, Sequence[str]]) -> str | None:
    words = text.split() if questions else []
    for start in range(len(words) - _LEAST_WORDS + 1):
        for question in questions.get(" ".join(words[start : start + _LEAST_WORDS]), ()):
            if f" {question} " in f" {text} ":
                return question
    return None
