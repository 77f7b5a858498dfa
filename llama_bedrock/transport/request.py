"""One request to a model as method, path, headers and body. Pure: the same for sync and async."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from llama_bedrock.choices import ImportFormat

IMPORT_FORMATS: tuple[ImportFormat, ...] = ("bedrock", "openai-completion", "openai-chat")

# botocore's service model of bedrock-runtime (1.43.117): shapes Body, RequestMetadataJson, RequestMetadata.
MAX_BODY_BYTES = 25_000_000
MAX_METADATA_BYTES = 8500
MAX_METADATA_ENTRIES = 16
_METADATA_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_METADATA_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")

_CHOICES = {
    "trace": ("ENABLED", "DISABLED", "ENABLED_FULL"),
    "latency": ("standard", "optimized"),
    "service_tier": ("priority", "default", "flex", "reserved"),
    "import_format": IMPORT_FORMATS,
}
_GUARDRAIL_VERSION = re.compile(r"[1-9][0-9]{0,7}|DRAFT")

# Name of the field here, HTTP header, name of the argument of boto3's method.
_OPTIONS = (
    ("guardrail_id", "X-Amzn-Bedrock-GuardrailIdentifier", "guardrailIdentifier"),
    ("guardrail_version", "X-Amzn-Bedrock-GuardrailVersion", "guardrailVersion"),
    ("trace", "X-Amzn-Bedrock-Trace", "trace"),
    ("latency", "X-Amzn-Bedrock-PerformanceConfig-Latency", "performanceConfigLatency"),
    ("service_tier", "X-Amzn-Bedrock-Service-Tier", "serviceTier"),
)


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """A request to `InvokeModel` or `InvokeModelWithResponseStream`.

    Args:
        model_id: Model id, inference profile id or ARN.
        body: The model's own body; `build_body` makes it.
        guardrail_id: Id or ARN of a guardrail.
        guardrail_version: Its version, a number or `DRAFT`; needed with `guardrail_id`.
        trace: `ENABLED`, `DISABLED` or `ENABLED_FULL`: whether the guardrail's assessment comes with the
            answer.
        latency: `standard` or `optimized`; the answer says what was served.
        service_tier: `default`, `priority`, `flex` or `reserved`; Bedrock serves Llama in `default` only.
        request_metadata: At most 16 pairs of at most 256 characters, for Bedrock's invocation logs.
        import_format: How the body is written and the answer read. Anything but `bedrock` is for imported
            models.

    Raises:
        ValueError: A value the service is known to refuse; the message names it.
    """

    model_id: str
    body: Mapping[str, Any]
    guardrail_id: str | None = None
    guardrail_version: str | None = None
    trace: str | None = None
    latency: str | None = None
    service_tier: str | None = None
    request_metadata: Mapping[str, str] | None = None
    import_format: ImportFormat = "bedrock"

    def __post_init__(self) -> None:
        if not self.model_id:
            raise ValueError("model_id is empty: give a model id, an inference profile id or an ARN")
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ValueError(f"{name}={value!r}: one of {', '.join(choices)}")
        if (self.guardrail_id is None) != (self.guardrail_version is None):
            raise ValueError("a guardrail needs both its id and its version (a number, or 'DRAFT')")
        if self.guardrail_version is not None and not _GUARDRAIL_VERSION.fullmatch(self.guardrail_version):
            raise ValueError(f"guardrail version {self.guardrail_version!r}: a number from 1, or 'DRAFT'")
        if self.request_metadata is not None:
            _check_metadata(self.request_metadata)

    @property
    def method(self) -> str:
        """HTTP method."""
        return "POST"

    def path(self, stream: bool = False) -> str:
        """Return the URL path, the model id percent-encoded as AWS signs it."""
        operation = "invoke-with-response-stream" if stream else "invoke"
        return f"/model/{quote(self.model_id, safe='-._~')}/{operation}"

    def headers(self, stream: bool = False) -> dict[str, str]:
        """Return the headers, without those of authentication."""
        headers = {"Content-Type": "application/json"}
        headers["X-Amzn-Bedrock-Accept" if stream else "Accept"] = "application/json"
        for name, header, _ in _OPTIONS:
            value = getattr(self, name)
            if value is not None:
                headers[header] = value
        if self.request_metadata:
            headers["X-Amzn-Bedrock-Request-Metadata"] = json.dumps(dict(self.request_metadata))
        return headers

    def boto_arguments(self) -> dict[str, Any]:
        """Return the same request as keyword arguments of boto3's `invoke_model…` methods."""
        arguments: dict[str, Any] = {
            "modelId": self.model_id,
            "body": self.payload,
            "contentType": "application/json",
            "accept": "application/json",
        }
        for name, _, argument in _OPTIONS:
            value = getattr(self, name)
            if value is not None:
                arguments[argument] = value
        if self.request_metadata:
            arguments["requestMetadata"] = json.dumps(dict(self.request_metadata))
        return arguments

    @property
    def payload(self) -> bytes:
        """The body as JSON bytes.

        Raises:
            ValueError: It is longer than the service takes, or holds text that is not Unicode.
        """
        try:
            payload = json.dumps(self.body, ensure_ascii=False, separators=(",", ":")).encode()
        except UnicodeEncodeError as error:
            around = error.object[max(0, error.start - 20) : error.end + 20]
            raise ValueError(
                f"the prompt holds half of a surrogate pair, which UTF-8 cannot carry, near {around!r}"
            ) from None
        if len(payload) > MAX_BODY_BYTES:
            raise ValueError(
                f"the request body has {len(payload):,} bytes; Bedrock takes {MAX_BODY_BYTES:,}. "
                "Send less text or smaller images"
            )
        return payload


def build_body(
    import_format: ImportFormat = "bedrock",
    *,
    prompt: str | None = None,
    messages: Sequence[Mapping[str, Any]] | None = None,
    images: Sequence[str] = (),
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
) -> dict[str, Any]:
    """Write the body of a request to a Llama.

    Bedrock chooses the format of an imported model's answer by the fields of the body: `max_tokens` where
    `max_gen_len` was meant silently changes the answer's shape. Source: UG/invoke-imported-model.

    Args:
        import_format: `bedrock` for Bedrock's own models and imported ones alike; the two OpenAI formats
            for models imported after 2025-11-11.
        prompt: The complete prompt; for `openai-chat` it becomes one user message unless `messages` are
            given.
        messages: OpenAI chat messages, for `openai-chat` only; the model's own template renders them.
        images: Base64 images without a data-URL prefix, for `bedrock` only.
        temperature: 0 to 1; the service's default is 0.5.
        top_p: 0 to 1; the service's default is 0.9.
        max_tokens: Most tokens to generate; the service's default is 512.

    Raises:
        ValueError: The format cannot carry what is given.
    """
    if import_format not in IMPORT_FORMATS:
        raise ValueError(f"import_format={import_format!r}: one of {', '.join(IMPORT_FORMATS)}")
    if images and import_format != "bedrock":
        raise ValueError(
            f"images of a raw prompt cannot be sent as {import_format}; use import_format='bedrock'"
        )
    if messages is not None and import_format != "openai-chat":
        raise ValueError(f"messages are for import_format='openai-chat', not {import_format!r}")
    if prompt is None and messages is None:
        raise ValueError("a prompt is needed")
    body: dict[str, Any]
    if import_format == "openai-chat":
        body = {"messages": list(messages) if messages else [{"role": "user", "content": prompt}]}
    else:
        body = {"prompt": prompt}
    if temperature is not None:
        body["temperature"] = temperature
    if top_p is not None:
        body["top_p"] = top_p
    if max_tokens is not None or import_format == "openai-completion":
        # `max_tokens` is what tells the completion format from Bedrock's own, so it is always sent.
        body["max_gen_len" if import_format == "bedrock" else "max_tokens"] = max_tokens or 512
    if images:
        body["images"] = list(images)
    return body


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > MAX_METADATA_ENTRIES:
        raise ValueError(
            f"request_metadata has {len(metadata)} entries; Bedrock takes {MAX_METADATA_ENTRIES}"
        )
    for key, value in metadata.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise ValueError(f"request_metadata[{key!r}]: keys and values are strings")
        if not _METADATA_KEY.fullmatch(key) or not _METADATA_VALUE.fullmatch(value):
            raise ValueError(
                f"request_metadata[{key!r}]: at most 256 letters, digits, spaces and :_@$#=/+,.-"
            )
    if len(json.dumps(dict(metadata))) > MAX_METADATA_BYTES:
        raise ValueError(f"request_metadata is longer than {MAX_METADATA_BYTES} bytes of JSON")
