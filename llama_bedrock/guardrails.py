"""Amazon Bedrock Guardrails settings of a call."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.transport.request import RequestOption

_ALIASES = {"guardrailIdentifier": "id", "guardrailVersion": "version", "streamProcessingMode": "stream_mode"}
_TRACE = {True: "ENABLED", False: "DISABLED", "enabled": "ENABLED", "disabled": "DISABLED"}
_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")


def _version(value: str) -> str:
    if not _VERSION.fullmatch(value):
        raise ValueError(f"guardrail version {value!r}: a number from 1, or 'DRAFT'")
    return value


_TRAVELS = {
    "id": RequestOption("X-Amzn-Bedrock-GuardrailIdentifier", "guardrailIdentifier"),
    "version": RequestOption("X-Amzn-Bedrock-GuardrailVersion", "guardrailVersion", write=_version),
    "trace": RequestOption("X-Amzn-Bedrock-Trace", "trace", ("ENABLED", "DISABLED", "ENABLED_FULL")),
}


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Guardrails:
    """Which guardrail evaluates the call, and how.

    Source: Bedrock user guide, "Apply tags to user input to filter content" and "Configure streaming response
    behavior".

    Args:
        id: Guardrail id or ARN.
        version: A version number, or ``"DRAFT"``.
        trace: ``"ENABLED"`` returns the assessment in `response_metadata["guardrail_trace"]`;
            ``"ENABLED_FULL"`` also lists what was not matched.
        stream_mode: ``"SYNCHRONOUS"`` holds text back until it is checked, ``"ASYNCHRONOUS"`` does not (and
            cannot mask).
        tag_user_input: Put guardrail tags around the user's turns. Prompt-attack filters see tagged text
            only; text outside tags, such as the system prompt, is then not evaluated.

    Raises:
        ValueError: The id is empty, which the service would take for no guardrail at all; or the version is
            none.
    """

    id: str
    version: str = "DRAFT"
    trace: Literal["ENABLED", "DISABLED", "ENABLED_FULL"] | None = None
    stream_mode: Literal["SYNCHRONOUS", "ASYNCHRONOUS"] | None = None
    tag_user_input: bool = True

    def __post_init__(self) -> None:
        if not self.id or self.id.split() != [self.id]:
            raise ValueError(f"Guardrails: id={self.id!r}: the id or ARN of a guardrail is needed")
        _version(self.version)

    @classmethod
    def from_value(cls, value: Guardrails | Mapping[str, Any] | None) -> Guardrails | None:
        """Accept this class, its fields as a dict, or the keys that langchain-aws takes.

        Raises:
            ValueError: It is none of these, a key is unknown, or the id is missing.
        """
        if value is None or isinstance(value, Guardrails):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"guardrails={value!r}: Guardrails or a dict of its fields is needed")
        fields = dict[str, Any]()
        for key, item in value.items():
            if fields.setdefault(name := _ALIASES.get(key, key), item) != item:
                raise ValueError(f"guardrails={dict(value)!r}: {key} and {name} are one setting")
        unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
        if unknown or not fields.get("id"):
            raise ValueError(
                f"guardrails={dict(value)!r}: "
                + (f"unknown keys {unknown}" if unknown else "the guardrail's id is missing")
                + f"; the keys are {sorted(cls.__dataclass_fields__)}"
            )
        if fields.get("trace") is not None:
            trace = fields["trace"]
            fields["trace"] = _TRACE.get(trace, str(trace).upper())
        if fields.get("stream_mode"):
            mode = str(fields["stream_mode"]).upper()
            fields["stream_mode"] = {"SYNC": "SYNCHRONOUS", "ASYNC": "ASYNCHRONOUS"}.get(mode, mode)
        fields["version"] = str(fields.get("version", "DRAFT"))
        return cls(**fields)

    def request_options(self) -> dict[RequestOption, str]:
        """Return what of it travels beside the body.

        Raises:
            ValueError: A value the service would refuse.
        """
        given = {name: getattr(self, name) for name in _TRAVELS}
        return {_TRAVELS[name]: _TRAVELS[name].encode(name, v) for name, v in given.items() if v is not None}

    def tag_suffix(self) -> str | None:
        """Return a fresh suffix for one request's tags, so that no text can close them; None without tags."""
        return secrets.token_hex(8) if self.tag_user_input else None

    def body_config(self, suffix: str | None) -> dict[str, str]:
        """Return the value of the body's ``amazon-bedrock-guardrailConfig`` key; empty when there is none."""
        config = {}
        if suffix is not None:
            config["tagSuffix"] = suffix
        if self.stream_mode is not None:
            config["streamProcessingMode"] = self.stream_mode
        return config
