"""How to reach Bedrock: region, endpoint, credentials, deadlines, retries. Plain values; imports no SDK."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.unknown_arguments import named

if TYPE_CHECKING:
    from llama_bedrock.transport.limiter import AdaptiveConcurrency

API_KEY_VARIABLE = "AWS_BEARER_TOKEN_BEDROCK"


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Timeout:
    """Deadlines of one call, in seconds; None is no deadline.

    Args:
        connect: Until a connection is open, of each attempt.
        first_token: From sending to the first byte of the answer, of each attempt. A call that is not
            streamed has its whole answer in this time.
        idle: Between two pieces of an answer.
        total: The whole call, with its retries and the waits between them.
    """

    connect: float | None = 10.0
    first_token: float | None = 300.0
    idle: float | None = 60.0
    total: float | None = None

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(
                    f"Timeout({item.name}={value!r}): seconds greater than 0, or None for no deadline"
                )

    @classmethod
    def of(cls, value: Timeout | float | None) -> Timeout:
        """Return the deadlines that a `timeout=` argument means.

        Args:
            value: None for the defaults, a number of seconds for the whole call, or a `Timeout`.
        """
        if isinstance(value, Timeout):
            return value
        return cls() if value is None else cls(total=value)


_NAMES_AND_KEYS = (
    "region_name", "endpoint_url", "credentials_profile_name", "aws_access_key_id", "aws_secret_access_key",
    "aws_session_token", "api_key",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TransportSettings:
    """Everything a transport needs to know before the first request. Equal settings share clients.

    Args:
        region_name: AWS region. Default: `AWS_REGION`, `AWS_DEFAULT_REGION`, the profile's region, in this
            order.
        endpoint_url: Another endpoint. Default: `AWS_ENDPOINT_URL_BEDROCK_RUNTIME`, `AWS_ENDPOINT_URL`, the
            configuration file's, else AWS's own (FIPS and dual-stack as botocore is configured).
        credentials_profile_name: Profile of the AWS configuration files.
        aws_access_key_id: With `aws_secret_access_key`, static credentials. Default: boto3's credential
            chain.
        aws_secret_access_key: See `aws_access_key_id`.
        aws_session_token: Session token of temporary credentials.
        api_key: Bedrock API key, sent as bearer token. Default: `AWS_BEARER_TOKEN_BEDROCK`. It is never put
            into the environment, so two instances may use two keys.
        config: A botocore `Config`, merged over ours. Its `retries` give the number of attempts when
            `max_retries` is None; botocore itself never retries a client of ours.
        client: A boto3 `bedrock-runtime` client to use as it is. Its own retries are left on, and ours are
            off then, except the wait for a model that is not ready.
        timeout: Seconds for the whole call, a `Timeout`, or None for the defaults of `Timeout`.
        max_retries: Retries of one call, not counting the wait for a model that is not ready. Default:
            those of `config` or of the AWS configuration, else 4.
        max_connections: Bound of each connection pool: one for all threads, one for each event loop.
        model_ready_timeout: Seconds to keep trying while an imported model is loading
            (`ModelNotReadyException`).
        limiter: Bounds the calls in flight by what the service takes without throttling.
        max_response_mb: Megabytes of the longest answer that is read; a longer one is an error.
    """

    region_name: str | None = None
    endpoint_url: str | None = field(default=None, repr=False)
    credentials_profile_name: str | None = None
    aws_access_key_id: str | None = field(default=None, repr=False)
    aws_secret_access_key: str | None = field(default=None, repr=False)
    aws_session_token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)
    config: Any = None
    client: Any = None
    timeout: Timeout | float | None = None
    max_retries: int | None = None
    max_connections: int = 1000
    model_ready_timeout: float = 300.0
    limiter: AdaptiveConcurrency | None = None
    max_response_mb: float = 64.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "timeout", Timeout.of(self.timeout))
        for name in _NAMES_AND_KEYS:  # a copy with changes, or an assignment, has not been checked yet
            if (value := getattr(self, name)) is not None:
                named(value, name)
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError("aws_access_key_id and aws_secret_access_key go together: give both or neither")
        if self.aws_session_token is not None and self.aws_access_key_id is None:
            raise ValueError("aws_session_token needs aws_access_key_id and aws_secret_access_key")
        if self.max_retries is not None and self.max_retries < 0:
            raise ValueError(f"max_retries={self.max_retries}: 0 or more")
        if self.max_connections < 1:
            raise ValueError(f"max_connections={self.max_connections}: 1 or more")
        if self.model_ready_timeout < 0:
            raise ValueError(f"model_ready_timeout={self.model_ready_timeout}: seconds, 0 or more")
        if not self.max_response_mb > 0:
            raise ValueError(f"max_response_mb={self.max_response_mb}: megabytes greater than 0")

    @property
    def max_response_bytes(self) -> float:
        """`max_response_mb` in bytes."""
        return self.max_response_mb * 1_000_000

    @property
    def deadlines(self) -> Timeout:
        """The deadlines of a call, with the defaults filled in."""
        return Timeout.of(self.timeout)

    @property
    def bearer_token(self) -> str | None:
        """The API key to send, if one is.

        Credentials that the caller gave explicitly win over a key from the environment.
        """
        from_environment = os.environ.get(API_KEY_VARIABLE) or None
        if self.api_key is not None and self.api_key != from_environment:
            return self.api_key
        if self.aws_access_key_id is not None or self.credentials_profile_name is not None:
            return None
        return self.api_key or from_environment

    def region(self) -> str | None:
        """Return the region without reading configuration files: the argument, then the environment."""
        return (
            self.region_name or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or None
        )


def without_password(url: str) -> str:
    """Return a URL without the password and the query in it, for whatever is shown, logged or raised."""
    return re.sub(r"(?<=://)[^/?#@]*@|(?<=\?)\S+", lambda part: "***@" if part[0][-1] == "@" else "***", url)


def is_loopback(url: str | None) -> bool:
    """Whether an address is of this machine."""
    return url is not None and urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")


def endpoint_override() -> str | None:
    """The endpoint that AWS's environment variables put in Bedrock's place, if they do."""
    return os.environ.get("AWS_ENDPOINT_URL_BEDROCK_RUNTIME") or os.environ.get("AWS_ENDPOINT_URL") or None


def missing_region() -> ValueError:
    """Return the error for a call that has no region."""
    return ValueError(
        "no AWS region is set. Give region_name=…, or set the environment variable AWS_REGION, "
        "or set `region` in the profile of ~/.aws/config"
    )
