"""One request to a model as method, path, headers and body. Pure: the same for sync and async."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, get_args
from urllib.parse import quote

from llama_bedrock.choices import ImportFormat
from llama_bedrock.transport.exchange import BotoForm, HttpForm, Outgoing

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # `dumps` makes one per call
IMPORT_FORMATS = get_args(ImportFormat)

# botocore's service model of bedrock-runtime (1.43.117): shapes Body, RequestMetadataJson, RequestMetadata.
MAX_BODY_BYTES = 25_000_000
MAX_METADATA_BYTES = 8500
MAX_METADATA_ENTRIES = 16
_METADATA_KEY = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
_METADATA_VALUE = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{0,256}")


@dataclass(frozen=True, slots=True)
class RequestOption:
    """A setting of a call that travels beside the body.

    Args:
        header: The HTTP header.
        argument: The argument of boto3's `invoke_model…` methods.
        choices: The values that the service knows; empty where `write` decides.
        write: Returns the header's value, or raises ValueError for what the service is known to refuse.
    """

    header: str
    argument: str
    choices: tuple[str, ...] = ()
    write: Callable[[Any], str] = str

    def encode(self, name: str, value: Any) -> str:
        """Return the header's value; `name` is that of the setting, for the error."""
        if self.choices and value not in self.choices:
            raise ValueError(f"{name}={value!r}: one of {', '.join(self.choices)}")
        return self.write(value)


@dataclass(frozen=True, slots=True)
class InvokeRequest:
    """A request to `InvokeModel` or `InvokeModelWithResponseStream`.

    Args:
        model_id: Model id, inference profile id or ARN.
        body: The model's own body; `build_body` makes it.
        options: What travels beside it, encoded.
        ends_by: Monotonic time by which the call must be over; None for the transport's own deadlines alone.

    Raises:
        ValueError: The model id is empty.
    """

    model_id: str
    body: Mapping[str, Any]
    options: Mapping[RequestOption, str] = field(default_factory=dict)
    ends_by: float | None = None

    def __post_init__(self) -> None:
        if not self.model_id:
            raise ValueError("model_id is empty: give a model id, an inference profile id or an ARN")

    def outgoing(self, stream: bool = False) -> Outgoing:
        """Return the request as it is sent."""
        operation = "InvokeModelWithResponseStream" if stream else "InvokeModel"
        forms = (lambda: self.as_http(stream), lambda: self.as_boto(stream))
        return Outgoing(operation, self.model_id, *forms, self.ends_by)

    def as_http(self, stream: bool = False) -> HttpForm:
        """Return the request as HTTP, without the headers of authentication.

        Raises:
            ValueError: The body cannot be sent.
        """
        path = _path(self.model_id, stream)
        headers = {"Content-Type": "application/json"}
        headers["X-Amzn-Bedrock-Accept" if stream else "Accept"] = "application/json"
        headers |= {option.header: value for option, value in self.options.items()}
        return "POST", path, headers, self.payload

    def as_boto(self, stream: bool = False) -> BotoForm:
        """Return the same request as the method of a boto3 client, its arguments and the answer's stream.

        Raises:
            ValueError: The body cannot be sent.
        """
        method = "invoke_model_with_response_stream" if stream else "invoke_model"
        arguments = {
            "modelId": self.model_id,
            "body": self.payload,
            "contentType": "application/json",
            "accept": "application/json",
            **{option.argument: value for option, value in self.options.items()},
        }
        return method, arguments, "body"

    @property
    def payload(self) -> bytes:
        """The body as JSON bytes.

        Raises:
            ValueError: It is longer than the service takes, or holds text that is not Unicode.
        """
        try:
            payload = _encode(self.body).encode()
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


@lru_cache(maxsize=256)
def _path(model_id: str, stream: bool) -> str:
    """Return the path of a call; the model id is percent-encoded as AWS signs it."""
    operation = "invoke-with-response-stream" if stream else "invoke"
    return f"/model/{quote(model_id, safe='-._~')}/{operation}"


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


def write_metadata(metadata: Mapping[str, str]) -> str:
    """Return the header's value of request metadata.

    Raises:
        ValueError: The service would refuse it.
    """
    if not isinstance(metadata, Mapping):
        raise ValueError(f"request_metadata={metadata!r}: a dict of strings is needed")
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
    written = json.dumps(dict(metadata))
    if len(written) > MAX_METADATA_BYTES:
        raise ValueError(f"request_metadata is longer than {MAX_METADATA_BYTES} bytes of JSON")
    return written
