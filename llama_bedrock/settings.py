"""What the chat model and the completion model share: settings, model resolution, the request of a call."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from langchain_core.utils import secret_from_env
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from llama_bedrock.choices import ImportFormat, Latency, PromptFormat, SpecialTokens
from llama_bedrock.guardrails import Guardrails
from llama_bedrock.transport.connection import Timeout, TransportSettings

# What only a call needs is imported by the call: importing the chat model costs little more than LangChain's.
if TYPE_CHECKING:
    from llama_bedrock.catalog import ResolvedModel
    from llama_bedrock.fallbacks import Candidate
    from llama_bedrock.transport.aio import AsyncTransport
    from llama_bedrock.transport.request import InvokeRequest
    from llama_bedrock.transport.sync import SyncTransport


MODEL_PROVIDER = "llama_bedrock"

_CALL_SETTINGS = frozenset(
    {
        "model",
        "temperature",
        "top_p",
        "max_tokens",
        "guardrails",
        "latency",
        "service_tier",
        "request_metadata",
        "special_tokens",
    }
)
_CALL_ALIASES = {"max_gen_len": "max_tokens", "model_id": "model", "stop_sequences": "stop"}


@dataclass(frozen=True, slots=True)
class CallOptions:
    """The options of one call: the model's own, overridden by what the call was given."""

    model: ResolvedModel
    region: str | None
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: tuple[str, ...]
    guardrails: Guardrails | None
    latency: Latency | None
    service_tier: str | None
    request_metadata: Mapping[str, str] | None
    special_tokens: SpecialTokens


class BedrockLlama(BaseModel):
    """Settings of a Llama on Amazon Bedrock.

    Args:
        model: Model id (``meta.llama3-3-70b-instruct-v1:0``), geo profile id (``us.meta…``) or any Bedrock
            ARN. Alias: `model_id`.
        prompt_format: Prompt format of the model, needed only where an ARN hides the family.
        import_format: Body format of an imported model; Bedrock chooses by the fields of the body.
        region_name: AWS region; else the ARN's, ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
        endpoint_url: Another endpoint, such as a VPC endpoint or the local one.
        credentials_profile_name: Profile of the AWS configuration files.
        aws_access_key_id: With `aws_secret_access_key`, static credentials; else boto3's credential chain.
        aws_secret_access_key: See `aws_access_key_id`.
        aws_session_token: Session token of temporary credentials.
        api_key: Bedrock API key (bearer token) of this instance, default ``AWS_BEARER_TOKEN_BEDROCK``. It is
            never put into the environment.
        client: A boto3 ``bedrock-runtime`` client of your own, for synchronous calls.
        config: A botocore ``Config`` of your own.
        temperature: 0 to 1; the service's default is 0.5.
        top_p: 0 to 1; the service's default is 0.9.
        max_tokens: Most tokens to generate; the service's default is 512. Alias: `max_gen_len`.
        stop: Strings that end the answer; applied here, because Llama on Bedrock has no stop field.
        timeout: Seconds for the whole call, or a `Timeout` with a bound for each phase.
        max_retries: Most retries of a call that failed in a way worth repeating. Default: what `config` or
            the AWS configuration says, else 4.
        model_ready_timeout: Seconds to keep trying while an imported model is being loaded.
        max_connections: Most connections of a pool, one pool per event loop and one for all threads.
        guardrails: A Bedrock guardrail, as `Guardrails` or a dict of its fields.
        trace: Ask for the guardrail's assessment; short for ``guardrails={"trace": …}``.
        latency: ``"optimized"`` asks for latency-optimised inference where the model has it.
        service_tier: Service tier header; Llama is served in the default tier only.
        request_metadata: Key-value pairs for Bedrock's invocation logs.
        special_tokens: What to do with Llama control tokens in untrusted text: ``"escape"``, ``"error"`` or
            ``"allow"``.
        fallback_models: Models to ask, in order, when this one is throttled or has no capacity.
        fallback_regions: Regions to ask, in order, in the same cases, before another model is tried.
        limiter: Concurrency limiter that adapts to throttling; share one among models of one quota.
    """

    model_config = ConfigDict(
        arbitrary_types_allowed=True,
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,  # pydantic builds validators with the first instance: imports stay cheap
    )

    model: str = Field(validation_alias=AliasChoices("model", "model_id"))
    prompt_format: PromptFormat | None = None
    import_format: ImportFormat = "bedrock"

    region_name: str | None = None
    endpoint_url: str | None = None
    credentials_profile_name: str | None = None
    aws_access_key_id: SecretStr | None = None
    aws_secret_access_key: SecretStr | None = None
    aws_session_token: SecretStr | None = None
    api_key: SecretStr | None = Field(
        default_factory=secret_from_env("AWS_BEARER_TOKEN_BEDROCK", default=None)
    )
    client: Any = Field(default=None, exclude=True)
    config: Any = Field(default=None, exclude=True)

    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("max_tokens", "max_gen_len")
    )
    stop: list[str] | str | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    timeout: float | Timeout | None = None
    max_retries: int | None = Field(default=None, ge=0)
    model_ready_timeout: float = Field(default=300.0, ge=0)
    max_connections: int = Field(default=1000, ge=1)

    guardrails: Guardrails | dict[str, Any] | None = None
    trace: bool | None = None
    latency: Latency | None = None
    service_tier: str | None = None
    request_metadata: dict[str, str] | None = None
    special_tokens: SpecialTokens = "escape"
    fallback_models: list[str] = Field(default_factory=list)
    fallback_regions: list[str] = Field(default_factory=list)
    limiter: Any = Field(default=None, exclude=True)

    _resolved: dict[str, ResolvedModel] = PrivateAttr(default_factory=dict)
    _sync: dict[str | None, SyncTransport] = PrivateAttr(default_factory=dict)
    _async: dict[str | None, AsyncTransport] = PrivateAttr(default_factory=dict)

    def model_post_init(self, context: Any, /) -> None:
        """Hand on to LangChain's own hook, which pydantic's for private attributes would replace."""
        super().model_post_init(context)

    @field_validator("guardrails", mode="plain")
    @classmethod
    def _read_guardrails(cls, value: Any) -> Guardrails | None:
        return Guardrails.from_value(value)

    @model_validator(mode="after")
    def _check_llama_settings(self) -> Self:
        """Refuse what no call could succeed with, as early as it can be known without AWS settings."""
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError(
                "aws_access_key_id and aws_secret_access_key belong together: give both or neither"
            )
        from llama_bedrock.catalog import warn_lifecycle

        if isinstance(self.stop, str):
            self.stop = [self.stop]
        resolved = self.resolve(region=self.region_name)
        for region in self.fallback_regions:
            for model in (None, *self.fallback_models):
                self.resolve(model, region)
        warn_lifecycle(resolved)
        self._warn_long_output(self.max_tokens, resolved)
        return self

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Environment variables that hold the secrets; serialised models name them instead of the values."""
        return {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
            "api_key": "AWS_BEARER_TOKEN_BEDROCK",
        }

    def call_options(
        self, stop: Sequence[str] | None, overrides: Mapping[str, Any], region: str | None = None
    ) -> CallOptions:
        """Merge the model's settings with those of one call.

        Args:
            stop: The call's stop strings; None for the model's own.
            overrides: Settings given with the call, by constructor name or alias.
            region: Region the call goes to; None leaves the model id as it is.

        Raises:
            TypeError: A setting is unknown; nothing is dropped silently.
            ValueError: A value is out of range, or the model is unknown.
        """
        given = {_CALL_ALIASES.get(key, key): value for key, value in overrides.items() if value is not None}
        given_stop = given.pop("stop", None) if stop is None else stop
        unknown = sorted(set(given) - _CALL_SETTINGS)
        if unknown:
            raise TypeError(
                f"{', '.join(unknown)}: no setting of Llama on Bedrock; "
                f"a call takes {', '.join(sorted(_CALL_SETTINGS | {'stop'}))}"
            )
        resolved = self.resolve(given.get("model"), region)
        max_tokens = given.get("max_tokens", self.max_tokens)
        if "max_tokens" in given:
            self._warn_long_output(max_tokens, resolved)
        guardrails = Guardrails.from_value(given.get("guardrails", self.guardrails))
        if guardrails is not None and guardrails.trace is None and self.trace is not None:
            guardrails = replace(guardrails, trace="ENABLED" if self.trace else "DISABLED")
        stops = self.stop if given_stop is None else given_stop
        return CallOptions(
            model=resolved,
            region=region,
            temperature=_in_range("temperature", given.get("temperature", self.temperature), 0, 1),
            top_p=_in_range("top_p", given.get("top_p", self.top_p), 0, 1),
            max_tokens=_in_range("max_tokens", max_tokens, 1, None),
            stop=(stops,) if isinstance(stops, str) else tuple(stops or ()),
            guardrails=guardrails,
            latency=given.get("latency", self.latency),
            service_tier=given.get("service_tier", self.service_tier),
            request_metadata=given.get("request_metadata", self.request_metadata),
            special_tokens=given.get("special_tokens", self.special_tokens),
        )

    def options_for(
        self, candidate: Candidate, stop: Sequence[str] | None, overrides: Mapping[str, Any]
    ) -> CallOptions:
        """Merge the settings of one call: the model's own, the call's, and the candidate's."""
        given = {key: value for key, value in overrides.items() if key != "stream"}
        if candidate.model is not None:
            given["model"] = candidate.model
        return self.call_options(stop, given, self.region(candidate))

    def identifying_settings(self) -> dict[str, Any]:
        """Return the settings that change what the model answers, for caches and traces."""
        names = ("model", "prompt_format", "temperature", "top_p", "max_tokens", "stop", "special_tokens")
        return {name: getattr(self, name) for name in names}

    def resolve(self, model: str | None = None, region: str | None = None) -> ResolvedModel:
        """Return what the catalogue knows of the model, and the id to call in the region."""
        from llama_bedrock.catalog import resolve_model

        model = model or self.model
        key = f"{region} {model}"
        if key not in self._resolved:
            own_format = self.prompt_format if model == self.model or model.startswith("arn:") else None
            self._resolved[key] = resolve_model(model, region, prompt_format=own_format)
        return self._resolved[key]

    def invoke_request(self, body: dict[str, Any], options: CallOptions, suffix: str | None) -> InvokeRequest:
        """Build the request of a body; `suffix` is that of the guardrail tags in its prompt."""
        from llama_bedrock.transport.request import InvokeRequest

        guardrails = options.guardrails
        if guardrails is not None and (config := guardrails.body_config(suffix)):
            body["amazon-bedrock-guardrailConfig"] = config
        return InvokeRequest(
            model_id=options.model.model_id,
            body=body,
            guardrail_id=guardrails.id if guardrails else None,
            guardrail_version=guardrails.version if guardrails else None,
            trace=guardrails.trace if guardrails else None,
            latency=options.latency,
            service_tier=options.service_tier,
            request_metadata=options.request_metadata,
            import_format=self.import_format,
        )

    def candidates(self, model: str | None = None) -> Iterator[Candidate]:
        """Yield who may take a call: the model itself, then each fallback."""
        from llama_bedrock.fallbacks import candidates

        return candidates(model, self.fallback_models, self.fallback_regions)

    def region(self, candidate: Candidate) -> str:
        """Return the region a candidate is called in.

        Raises:
            ValueError: No region is set.
        """
        model = candidate.model or self.model
        of_arn = self.resolve(model).region if model.startswith("arn:") else None
        return candidate.region or of_arn or self.sync_transport(None).region

    def settings(self, region: str | None) -> TransportSettings:
        """Return the transport's settings for a region."""
        return TransportSettings(
            region_name=region or self.region_name,
            endpoint_url=self.endpoint_url,
            credentials_profile_name=self.credentials_profile_name,
            aws_access_key_id=_plain(self.aws_access_key_id),
            aws_secret_access_key=_plain(self.aws_secret_access_key),
            aws_session_token=_plain(self.aws_session_token),
            api_key=_plain(self.api_key),
            config=self.config,
            client=self.client if region in (None, self._client_region) else None,
            timeout=self.timeout,
            max_retries=self.max_retries,
            max_connections=self.max_connections,
            model_ready_timeout=self.model_ready_timeout,
            limiter=self.limiter,
        )

    @property
    def _client_region(self) -> str | None:
        return None if self.client is None else str(self.client.meta.region_name)

    def sync_transport(self, region: str | None) -> SyncTransport:
        """Return the transport for synchronous calls, made when first needed."""
        if region not in self._sync:
            from llama_bedrock.transport.sync import SyncTransport

            self._sync[region] = SyncTransport(self.settings(region))
        return self._sync[region]

    def async_transport(self, region: str | None) -> AsyncTransport:
        """Return the transport for asynchronous calls, made when first needed."""
        if region not in self._async:
            from llama_bedrock.transport.aio import AsyncTransport

            self._async[region] = AsyncTransport(self.settings(region))
        return self._async[region]

    async def aclose(self) -> None:
        """Close this event loop's connections; the model stays usable and opens new ones."""
        for transport in self._async.values():
            await transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def _warn_long_output(self, max_tokens: int | None, resolved: ResolvedModel) -> None:
        limit = resolved.max_output_tokens
        if max_tokens is not None and limit is not None and max_tokens > limit:
            warnings.warn(
                f"max_tokens={max_tokens} is above the {limit} output tokens that {resolved.requested} is "
                "documented to allow; Bedrock may refuse the call",
                stacklevel=2,
            )


def _in_range(name: str, value: Any, low: float, high: float | None) -> Any:
    if value is None or (value >= low and (high is None or value <= high)):
        return value
    bounds = f"at least {low}" if high is None else f"{low} to {high}"
    raise ValueError(f"{name}={value!r}: Llama on Bedrock takes {bounds}")


def _plain(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
