"""What every client of Bedrock Knowledge Bases needs to know: region, endpoint, credentials, deadlines."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Self

from langchain_core.utils import secret_from_env
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator

from llama_bedrock.transport.connection import Timeout, TransportSettings

if TYPE_CHECKING:
    from llama_bedrock.transport.aio import AsyncTransport
    from llama_bedrock.transport.sync import SyncTransport

RUNTIME_SERVICE = "bedrock-agent-runtime"

STRICT = ConfigDict(arbitrary_types_allowed=True, extra="forbid")
"""Unknown arguments are mistakes. Classes with a LangChain base repeat it: that base ignores them."""

_KNOWLEDGE_BASE_ID = re.compile(
    r"[0-9a-zA-Z]{10}|arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}:[0-9]{12}:knowledge-base/[0-9a-zA-Z]{10}"
)


class KnowledgeBaseConnection(BaseModel):
    """Connection settings, named as in `ChatLlamaBedrock`.

    Args:
        knowledge_base_id: The 10 letters and digits of a knowledge base's id, or its ARN.
        region_name: AWS region; else ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
        endpoint_url: Another endpoint, such as a VPC endpoint or the local one; else
            ``AWS_ENDPOINT_URL_BEDROCK_AGENT_RUNTIME``.
        credentials_profile_name: Profile of the AWS configuration files.
        aws_access_key_id: Static credentials, with `aws_secret_access_key` (and `aws_session_token`).
        aws_secret_access_key: See `aws_access_key_id`.
        aws_session_token: Of temporary credentials.
        api_key: Bedrock API key; else ``AWS_BEARER_TOKEN_BEDROCK``.
        config: A botocore `Config`.
        client: A boto3 client for ``bedrock-agent-runtime`` of your own.
        timeout: Seconds for the whole call, or a `Timeout`.
        max_retries: Retries of one call.
    """

    model_config = STRICT

    knowledge_base_id: str
    region_name: str | None = None
    endpoint_url: str | None = None
    credentials_profile_name: str | None = None
    aws_access_key_id: SecretStr | None = Field(default=None)
    aws_secret_access_key: SecretStr | None = Field(default=None)
    aws_session_token: SecretStr | None = Field(default=None)
    api_key: SecretStr | None = Field(
        default_factory=secret_from_env("AWS_BEARER_TOKEN_BEDROCK", default=None)
    )
    config: Any = Field(default=None, exclude=True)
    client: Any = Field(default=None, exclude=True)
    timeout: Timeout | float | None = None
    max_retries: int | None = Field(default=None, ge=0)

    _sync: SyncTransport | None = PrivateAttr(default=None)
    _async: AsyncTransport | None = PrivateAttr(default=None)

    @field_validator("knowledge_base_id")
    @classmethod
    def _check_id(cls, value: str) -> str:
        if not _KNOWLEDGE_BASE_ID.fullmatch(value):
            raise ValueError(
                f"knowledge_base_id={value!r} is neither an id of 10 letters and digits nor the ARN of a "
                "knowledge base; the Bedrock console shows it under Knowledge Bases"
            )
        return value

    def sync_transport(self) -> SyncTransport:
        """The transport for synchronous calls, made when first needed."""
        if self._sync is None:
            from llama_bedrock.transport.sync import SyncTransport

            self._sync = SyncTransport(self._settings())
        return self._sync

    def async_transport(self) -> AsyncTransport:
        """The transport for asynchronous calls, made when first needed."""
        if self._async is None:
            from llama_bedrock.transport.aio import AsyncTransport

            self._async = AsyncTransport(self._settings())
        return self._async

    async def aclose(self) -> None:
        """Close the running event loop's connections; they are also closed when the loop ends."""
        if self._async is not None:
            await self._async.aclose()

    def region(self) -> str:
        """The region that calls go to.

        Raises:
            ValueError: None is set.
        """
        from llama_bedrock.transport.clients import region_of

        return region_of(self._settings())

    def __getstate__(self) -> dict[Any, Any]:
        # Connections stay where they are; the copy makes its own.
        state = super().__getstate__()
        private = state.get("__pydantic_private__") or {}
        return {**state, "__pydantic_private__": {**private, "_sync": None, "_async": None}}

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        bare = self.__copy__()
        bare._sync = bare._async = None
        return super(KnowledgeBaseConnection, bare).__deepcopy__(memo)

    def _settings(self) -> TransportSettings:
        return TransportSettings(
            region_name=self.region_name,
            endpoint_url=self.endpoint_url,
            credentials_profile_name=self.credentials_profile_name,
            aws_access_key_id=_plain(self.aws_access_key_id),
            aws_secret_access_key=_plain(self.aws_secret_access_key),
            aws_session_token=_plain(self.aws_session_token),
            api_key=_plain(self.api_key),
            config=self.config,
            client=self.client,
            timeout=self.timeout,
            max_retries=self.max_retries,
        )


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
