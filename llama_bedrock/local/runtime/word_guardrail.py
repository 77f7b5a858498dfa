"""A guardrail for tests and demonstrations: blocked words, answered in the shapes of Bedrock's guardrails."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.local.runtime.frames import constraint_error, invalid

_BLOCKED = "Sorry, the model cannot answer this question."
_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")
_TAG_SUFFIX = re.compile(r"[a-zA-Z0-9]{1,20}")


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Guardrail:
    """A word filter that answers as a Bedrock guardrail with a word policy would.

    Attributes:
        blocked_words: Words or phrases; found as whole words, in any case.
        blocked_input_message: The answer when the prompt holds one.
        blocked_output_message: The answer when the model's text holds one.
        grounding_threshold: From which score on `ApplyGuardrail` finds a text grounded, 0 to 0.99; None for
            no contextual grounding policy. The scores are those of `WordVerifier`.
    """

    blocked_words: tuple[str, ...]
    blocked_input_message: str = _BLOCKED
    blocked_output_message: str = _BLOCKED
    grounding_threshold: float | None = None

    def matches(self, text: str) -> list[str]:
        """The blocked words that the text holds, in the order of the list."""
        return [
            word
            for word in self.blocked_words
            if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE)
        ]


@dataclass(slots=True)
class GuardrailCheck:
    """A guardrail applied to one invocation.

    Attributes:
        guardrail_id: As the caller wrote it.
        guardrail: The word filter.
        trace: True if the assessments are asked for.
        tag_suffix: Suffix of the tags that mark the text to look at, if the body names one.
        synchronous: True if a stream is held back until it is assessed.
        intervened: True once something was blocked.
    """

    guardrail_id: str
    guardrail: Guardrail
    trace: bool
    tag_suffix: str | None = None
    synchronous: bool = True
    intervened: bool = False
    _input: dict[str, Any] | None = None
    _outputs: dict[str, Any] | None = None

    def block_input(self, prompt: str) -> str | None:
        """The message to answer with instead of calling the model; None if the prompt passes."""
        found = self.guardrail.matches(self._guarded_text(prompt))
        self._input = {self.guardrail_id: _assessment(found)}
        if not found:
            return None
        self.intervened = True
        return self.guardrail.blocked_input_message

    def block_output(self, text: str) -> str | None:
        """The message to answer with instead of the model's text; None if the text passes."""
        found = self.guardrail.matches(text)
        self._outputs = {self.guardrail_id: _assessment(found)}
        if not found:
            return None
        self.intervened = True
        return self.guardrail.blocked_output_message

    def without_tags(self, prompt: str) -> str:
        """The prompt as the model sees it."""
        return prompt if self.tag_suffix is None else re.sub(self._tag_pattern("/?"), "", prompt)

    def members(self) -> dict[str, Any]:
        """What the guardrail adds to the body of the answer."""
        members: dict[str, Any] = {
            "amazon-bedrock-guardrailAction": "INTERVENED" if self.intervened else "NONE"
        }
        if self.trace:
            outputs = [] if self._outputs is None else [self._outputs]
            members["amazon-bedrock-trace"] = {"guardrail": {"input": self._input or {}, "outputs": outputs}}
        return members

    def _guarded_text(self, prompt: str) -> str:
        """Tagged text only, if there are tags; else all of it."""
        if self.tag_suffix is None:
            return prompt
        tagged = re.findall(f"{self._tag_pattern('')}(.*?){self._tag_pattern('/')}", prompt, re.DOTALL)
        return "\n".join(tagged) if tagged else prompt

    def _tag_pattern(self, slash: str) -> str:
        return f"<{slash}amazon-bedrock-guardrails-guardContent_{re.escape(self.tag_suffix or '')}>"


def find_guardrail(
    guardrails: Mapping[str, Guardrail], headers: Mapping[str, str], config: Mapping[str, Any] | None
) -> GuardrailCheck | None:
    """The guardrail that the headers name, ready for this invocation.

    Args:
        guardrails: The endpoint's guardrails, by id.
        headers: The request's headers.
        config: ``amazon-bedrock-guardrailConfig`` of the body.

    Raises:
        ServiceError: ``ValidationException`` for an unknown guardrail or one half of its settings.
    """
    guardrail_id = headers.get("X-Amzn-Bedrock-GuardrailIdentifier", "")
    version = headers.get("X-Amzn-Bedrock-GuardrailVersion", "")
    trace = headers.get("X-Amzn-Bedrock-Trace", "DISABLED")
    if trace not in ("ENABLED", "DISABLED", "ENABLED_FULL"):
        raise constraint_error(
            "trace", trace, "Member must satisfy enum value set: [ENABLED, DISABLED, ENABLED_FULL]"
        )
    if bool(guardrail_id) != bool(version):
        raise invalid("Guardrail identifier and version must be provided together.")
    if not guardrail_id:
        if config is not None:
            raise invalid("amazon-bedrock-guardrailConfig requires a guardrail identifier in the request.")
        return None
    if not _VERSION.fullmatch(version):
        raise constraint_error(
            "guardrailVersion",
            version,
            "Member must satisfy regular expression pattern: (|([1-9][0-9]{0,7})|(DRAFT))",
        )
    found = guardrails.get(guardrail_id) or guardrails.get(guardrail_id.rpartition("/")[2])
    if found is None:
        raise invalid("The guardrail identifier or version provided in the request does not exist.")
    options = config or {}
    suffix = options.get("tagSuffix")
    if suffix is not None and not _TAG_SUFFIX.fullmatch(str(suffix)):
        raise invalid(
            "The tagSuffix of amazon-bedrock-guardrailConfig must be 1 to 20 alphanumeric characters."
        )
    mode = options.get("streamProcessingMode", "SYNCHRONOUS")
    if mode not in ("SYNCHRONOUS", "ASYNCHRONOUS"):
        raise invalid("streamProcessingMode must be SYNCHRONOUS or ASYNCHRONOUS.")
    return GuardrailCheck(guardrail_id, found, trace != "DISABLED", suffix, mode == "SYNCHRONOUS")


def _assessment(found: list[str]) -> dict[str, Any]:
    if not found:
        return {}
    return {"wordPolicy": {"customWords": [{"match": word, "action": "BLOCKED"} for word in found]}}
