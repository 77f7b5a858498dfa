"""What models and knowledge bases are configured with, and what follows from it: the connection, and the
options of each call.
"""

from __future__ import annotations

import math
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from numbers import Integral, Real
from operator import is_
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self, get_args

from langchain_core.runnables import RunnableConfig
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

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.catalog import ResolvedModel, resolve_model, warn_lifecycle
from llama_bedrock.catalog.arn import parse_model_arn
from llama_bedrock.choices import ContextCheck, ImportFormat, Latency, ServiceTier, SpecialTokens
from llama_bedrock.errors import BedrockContextOverflowError
from llama_bedrock.guardrails import Guardrails
from llama_bedrock.prompts.formats import PromptFormat
from llama_bedrock.token_counter import ServiceCounts, encoder_of
from llama_bedrock.tokens import estimate_tokens
from llama_bedrock.transport.connection import (
    Timeout,
    TransportSettings,
    endpoint_override,
    is_loopback,
    without_password,
)
from llama_bedrock.transport.request import RequestOption, write_metadata
from llama_bedrock.unknown_arguments import MODEL_HINTS, STRICT, Named, StrictArguments, named, refuse_unknown

# What only a call needs is imported by the call: importing the chat model costs little more than LangChain's.
if TYPE_CHECKING:
    from llama_bedrock.fallbacks import Candidate
    from llama_bedrock.transport.aio import AsyncTransport
    from llama_bedrock.transport.steps import Transports
    from llama_bedrock.transport.sync import SyncTransport

    Secret = SecretStr | str | None
else:
    Secret = SecretStr | None

MODEL_PROVIDER = "llama_bedrock"

_MOST_PER_BYTE = 0.7  # tokens of what is cut finest: random letters, scripts of southern India
_SURE = 0.8  # an estimate is hardly ever more than a quarter too high

_SAMPLING = {"model", "temperature", "top_p", "max_tokens", "stop", "guardrails", "special_tokens"}
_CALL_ALIASES = {"max_gen_len": "max_tokens", "model_id": "model", "stop_sequences": "stop"}
# LangChain's own, which every model is given: the last two only name a schema in traces.
_LANGCHAIN_ARGUMENTS = {"stream", "ls_structured_output_format", "structured_output_format"}
CALL_ENDS_BY = "_ends_by"
"""What `Spread` tells a target with a call: the monotonic time by which it must be over."""

# Settings that change how a call is made, but not what is answered.
_NO_PART_IN_THE_ANSWER = frozenset({
    "name", "cache", "verbose", "callbacks", "tags", "metadata", "custom_get_token_ids", "rate_limiter",
    "disable_streaming", "profile", "aws_access_key_id", "aws_secret_access_key", "aws_session_token",
    "api_key", "client", "config", "timeout", "max_retries", "model_ready_timeout", "max_connections",
    "max_response_mb", "limiter", "streaming", "request_metadata", "tokenizer", "context_check",
})  # fmt: skip


class _Derived:
    """What follows from a model's settings as they are, and from a region: made once, for many calls.

    Args:
        fields: The settings that it follows from.
        transport: Those of the transport.
    """

    __slots__ = ("_fields", "asynchronous", "options", "sync", "transport")

    def __init__(self, fields: tuple[Any, ...], transport: TransportSettings) -> None:
        self._fields = fields
        self.transport = transport
        self.sync: SyncTransport | None = None
        self.asynchronous: AsyncTransport | None = None
        self.options: CallOptions | None = None

    def follows_from(self, fields: tuple[Any, ...]) -> bool:
        """Whether each setting is the very object that it was."""
        return len(self._fields) == len(fields) and all(map(is_, self._fields, fields))


class _Transports:
    """The transports of one model, each with the settings it was made from.

    A setting that changes leads to another transport, and a copy of a model begins with none: no key and no
    connection is ever shared.
    """

    def __init__(self) -> None:
        self._sync: dict[TransportSettings, SyncTransport] = {}
        self._async: dict[TransportSettings, AsyncTransport] = {}
        self._latest: dict[str | None, _Derived] = {}

    def derived(
        self, region: str | None, fields: tuple[Any, ...], make: Callable[[str | None], TransportSettings]
    ) -> _Derived:
        """Return what follows for the region, made anew when a field is another object than before."""
        known = self._latest.get(region)
        if known is None or not known.follows_from(fields):
            known = self._latest[region] = _Derived(fields, make(region))
        return known

    def of_sync(self, settings: TransportSettings) -> SyncTransport:
        if settings not in self._sync:
            from llama_bedrock.transport.sync import SyncTransport

            self._sync[settings] = SyncTransport(settings)
        return self._sync[settings]

    def of_async(self, settings: TransportSettings) -> AsyncTransport:
        if settings not in self._async:
            from llama_bedrock.transport.aio import AsyncTransport

            self._async[settings] = AsyncTransport(settings)
        return self._async[settings]

    async def aclose(self) -> None:
        for transport in list(self._async.values()):
            await transport.aclose()


def _environments_key() -> SecretStr | None:
    key = os.environ.get("AWS_BEARER_TOKEN_BEDROCK", "").strip()
    return SecretStr(key) if key else None


class BedrockConnection(StrictArguments):
    """How to reach Bedrock, named as in langchain-aws.

    Args:
        region_name: AWS region; else the ARN's, ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the profile's.
        endpoint_url: Another endpoint, such as a VPC endpoint or the local one.
        credentials_profile_name: Profile of the AWS configuration files.
        aws_access_key_id: With `aws_secret_access_key`, static credentials; else boto3's credential chain.
        aws_secret_access_key: See `aws_access_key_id`.
        aws_session_token: Session token of temporary credentials.
        api_key: Bedrock API key (bearer token) of this instance, default ``AWS_BEARER_TOKEN_BEDROCK``. It is
            never put into the environment.
        client: A boto3 client of your own, for synchronous calls: ``bedrock-runtime`` for models,
            ``bedrock-agent-runtime`` for knowledge bases.
        config: A botocore ``Config`` of your own.
        timeout: Seconds for the whole call, or a `Timeout` with a bound for each phase.
        max_retries: Most retries of a call that failed in a way worth repeating. Default: what `config` or
            the AWS configuration says, else 4.
        max_response_mb: Megabytes of the longest answer that is read; default 64.
    """

    region_name: Named | None = None
    endpoint_url: Named | None = None
    credentials_profile_name: Named | None = None
    aws_access_key_id: Secret = None
    aws_secret_access_key: Secret = None
    aws_session_token: Secret = None
    api_key: Secret = Field(default_factory=_environments_key)
    client: Any = Field(default=None, exclude=True)
    config: Any = Field(default=None, exclude=True)
    timeout: Annotated[float, Field(gt=0)] | Timeout | None = None
    max_retries: int | None = Field(default=None, ge=0)
    max_response_mb: float = Field(default=64.0, gt=0)

    _own: ClassVar[tuple[str, ...]] = ("_transports",)
    _transports: _Transports = PrivateAttr(default_factory=_Transports)

    def model_post_init(self, context: Any, /) -> None:
        """Hand on to LangChain's own hook, which pydantic's for private attributes would replace."""
        super().model_post_init(context)

    @field_validator("aws_access_key_id", "aws_secret_access_key", "aws_session_token", "api_key")
    @classmethod
    def _check_secret(cls, value: SecretStr | None) -> SecretStr | None:
        """An empty key is that of an unset variable: the environment's would sign in its place."""
        if value is not None:
            named(value.get_secret_value(), "the key")
        return value

    @model_validator(mode="after")
    def _check_credentials(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError(
                "aws_access_key_id and aws_secret_access_key belong together: give both or neither"
            )
        return self

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # Clients cannot be copied, and a limiter bounds all that share a quota.
        kept = (self.client, self.config, getattr(self, "limiter", None))
        return super().__deepcopy__({**(memo or {}), **{id(value): value for value in kept}})

    @classmethod
    def _hints(cls) -> Mapping[str, str]:
        return MODEL_HINTS

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        for name, value in super().__repr_args__():
            yield name, without_password(value) if name == "endpoint_url" and value else value

    async def aclose(self) -> None:
        """Close this event loop's connections; later calls open new ones."""
        await self._transports.aclose()

    def _derived(self, region: str | None = None) -> _Derived:
        """Return what follows from the settings as they are, for a region or for that of the settings."""
        transports: _Transports = _private(self)["_transports"]
        return transports.derived(region, tuple(self.__dict__.values()), self._make_transport_settings)

    def _transport_settings(self, region: str | None = None) -> TransportSettings:
        return self._derived(region).transport

    def _make_transport_settings(self, region: str | None) -> TransportSettings:
        client = self.client
        if client is not None and not hasattr(client, "meta"):
            raise ValueError(f"client={client!r}: a boto3 client of bedrock-runtime is needed")
        if self.config is not None and not hasattr(self.config, "merge"):
            raise ValueError(f"config={self.config!r}: a botocore.config.Config is needed")
        if client is not None and region not in (None, str(client.meta.region_name)):
            client = None
        return TransportSettings(
            region_name=region or self.region_name,
            endpoint_url=self.endpoint_url,
            credentials_profile_name=self.credentials_profile_name,
            aws_access_key_id=_plain(self.aws_access_key_id),
            aws_secret_access_key=_plain(self.aws_secret_access_key),
            aws_session_token=_plain(self.aws_session_token),
            api_key=_plain(self.api_key),
            config=self.config,
            client=client,
            timeout=self.timeout,
            max_retries=self.max_retries,
            max_response_mb=self.max_response_mb,
        )

    def _sync_transport(self, region: str | None = None) -> SyncTransport:
        derived = self._derived(region)
        if derived.sync is None:
            derived.sync = self._transports.of_sync(derived.transport)
        return derived.sync

    def _async_transport(self, region: str | None = None) -> AsyncTransport:
        derived = self._derived(region)
        if derived.asynchronous is None:
            derived.asynchronous = self._transports.of_async(derived.transport)
        return derived.asynchronous


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
    special_tokens: SpecialTokens
    request_options: Mapping[RequestOption, str]
    ends_by: float | None = None


class BedrockLlama(BedrockConnection):
    """Settings of a Llama on Amazon Bedrock.

    Args:
        model: Model id (``meta.llama3-3-70b-instruct-v1:0``), geo profile id (``us.meta…``) or any Bedrock
            ARN. Alias: `model_id`.
        prompt_format: Prompt format of the model, needed only where an ARN hides the family.
        import_format: Body format of an imported model; Bedrock chooses by the fields of the body.
        temperature: 0 to 1; the service's default is 0.5.
        top_p: 0 to 1; the service's default is 0.9.
        max_tokens: Most tokens to generate; the service's default is 512. Alias: `max_gen_len`.
        stop: Strings that end the answer; applied here, because Llama on Bedrock has no stop field.
        model_ready_timeout: Seconds to keep trying while an imported model is being loaded.
        max_connections: Most connections of a pool, one pool per event loop and one for all threads.
        guardrails: A Bedrock guardrail, as `Guardrails` or a dict of its fields.
        trace: Ask for the guardrail's assessment; short for ``guardrails={"trace": …}``.
        latency: ``"optimized"`` asks for latency-optimised inference where the model has it.
        service_tier: Service tier header; Llama is served in the default tier only.
        request_metadata: Key-value pairs for Bedrock's invocation logs.
        special_tokens: What to do with Llama control tokens in untrusted text: ``"escape"``, ``"error"`` or
            ``"allow"``.
        tokenizer: Counts tokens exactly instead of by estimate: a `tokenizers` or tiktoken object, a function
            from text to token ids, or the path of Meta's ``tokenizer.model`` or of a ``tokenizer.json``.
        context_check: What to do before a call whose prompt is surely longer than the model's window:
            ``"raise"`` `ContextOverflowError`, ``"warn"``, or ``"off"``.
        fallback_models: Models to ask, in order, when this one is throttled or has no capacity.
        fallback_regions: Regions to ask, in order, in the same cases, before another model is tried.
        limiter: Concurrency limiter that adapts to throttling; share one among models of one quota.
    """

    model_config = ConfigDict(**STRICT, defer_build=True)  # validators are built with the first instance

    if TYPE_CHECKING:  # type checkers cannot see aliases
        model: str = ""
        model_id: str = ""
        max_gen_len: int | None = None
        stop_sequences: list[str] | str | None = None
    else:
        model: str = Field(validation_alias=AliasChoices("model", "model_id"))
    prompt_format: PromptFormat | None = None
    import_format: ImportFormat = "bedrock"

    temperature: float | None = Field(default=None, ge=0, le=1)
    top_p: float | None = Field(default=None, ge=0, le=1)
    max_tokens: int | None = Field(
        default=None, ge=1, validation_alias=AliasChoices("max_tokens", "max_gen_len")
    )
    stop: list[str] | str | None = Field(
        default=None, validation_alias=AliasChoices("stop", "stop_sequences")
    )
    model_ready_timeout: float = Field(default=300.0, ge=0)
    max_connections: int = Field(default=1000, ge=1)

    guardrails: Guardrails | dict[str, Any] | None = None
    trace: bool | None = None
    latency: Annotated[
        Latency | None,
        RequestOption(
            "X-Amzn-Bedrock-PerformanceConfig-Latency", "performanceConfigLatency", get_args(Latency)
        ),
    ] = None
    service_tier: Annotated[
        ServiceTier | None,
        RequestOption("X-Amzn-Bedrock-Service-Tier", "serviceTier", get_args(ServiceTier)),
    ] = None
    request_metadata: Annotated[
        dict[str, str] | None,
        RequestOption("X-Amzn-Bedrock-Request-Metadata", "requestMetadata", write=write_metadata),
    ] = None
    special_tokens: SpecialTokens = "escape"
    tokenizer: Any = Field(default=None, exclude=True)
    context_check: ContextCheck = "raise"
    fallback_models: list[Named] = Field(default_factory=list)
    fallback_regions: list[Named] = Field(default_factory=list)
    limiter: Any = Field(default=None, exclude=True)

    _resolved: dict[tuple[str | None, ...], ResolvedModel] = PrivateAttr(default_factory=dict)
    _counts: ServiceCounts = PrivateAttr(default_factory=ServiceCounts)

    @field_validator("guardrails", mode="plain")
    @classmethod
    def _read_guardrails(cls, value: Any) -> Guardrails | None:
        return Guardrails.from_value(value)

    @field_validator("tokenizer", mode="after")
    @classmethod
    def _check_tokenizer(cls, value: Any) -> Any:
        if value is not None:
            encoder_of(value)
        return value

    @field_validator("stop", mode="after")
    @classmethod
    def _list_stop(cls, value: list[str] | str | None) -> list[str] | None:
        return None if value is None else list(stop_strings(value))

    @field_validator("limiter", mode="after")
    @classmethod
    def _check_limiter(cls, value: Any) -> Any:
        return _limiter(value)

    @model_validator(mode="after")
    def _check_model(self) -> Self:
        """Refuse what no call could succeed with, as early as it can be known without AWS settings."""
        resolved = self.resolve(region=self.region_name)
        for region in (self.region_name, *self.fallback_regions):
            for model in (None, *self.fallback_models):
                self.resolve(model, region)
        if not is_loopback(self.endpoint_url or endpoint_override()):  # nothing of Bedrock is called there
            warn_lifecycle(resolved)
        self._warn_long_output(self.max_tokens, resolved)
        return self

    def __setattr__(self, name: str, value: Any) -> None:
        # LangChain keeps the profile, and what traces show, as they were when the model was made.
        of_model = name in ("model", "model_id", "prompt_format") and "profile" in self.__dict__
        derived = of_model and self.__dict__["profile"] == self._profile()
        super().__setattr__(name, value)
        self.__dict__.pop("_serialized", None)
        if derived:
            super().__setattr__("profile", self._profile())

    def _profile(self) -> Any:
        return None

    @property
    def lc_secrets(self) -> dict[str, str]:
        """Environment variables that hold the secrets; serialised models name them instead of the values."""
        return {
            "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
            "aws_session_token": "AWS_SESSION_TOKEN",
            "api_key": "AWS_BEARER_TOKEN_BEDROCK",
        }

    @classmethod
    @refuses_wrong_kinds
    def from_imported(
        cls, arn_or_name: str, *, control_endpoint_url: str | None = None, **settings: Any
    ) -> Self:
        """Return the model of an imported, deployed or provisioned Llama, whose ARN hides what it is.

        The prompt format is read from the tag that `llama_bedrock.control.import_model` and `deploy` set, or
        from the model behind a deployment or a throughput.

        Args:
            arn_or_name: Its ARN, or the name of an imported model.
            control_endpoint_url: Another endpoint for the service ``bedrock``; on this machine `endpoint_url`
                serves both.
            settings: Those of the class. With `prompt_format` an ARN needs no call.

        Raises:
            ValueError: There is no such model, or nothing tells its prompt format.
            LlamaBedrockError: A call failed, after retries where they make sense.
        """
        from llama_bedrock.imported_models import find_hosted_model
        from llama_bedrock.transport.steps import drive

        transports = _control_transports(arn_or_name, control_endpoint_url, settings)
        found = drive(find_hosted_model(arn_or_name, settings.get("prompt_format")), transports)
        return cls(**{**settings, "model": found.arn, "prompt_format": found.prompt_format})

    @classmethod
    @refuses_wrong_kinds
    async def afrom_imported(
        cls, arn_or_name: str, *, control_endpoint_url: str | None = None, **settings: Any
    ) -> Self:
        """`from_imported` from an event loop, which is not blocked."""
        from llama_bedrock.imported_models import find_hosted_model
        from llama_bedrock.transport.steps import adrive

        transports = _control_transports(arn_or_name, control_endpoint_url, settings)
        found = await adrive(find_hosted_model(arn_or_name, settings.get("prompt_format")), transports)
        return cls(**{**settings, "model": found.arn, "prompt_format": found.prompt_format})

    def bind(self, **kwargs: Any) -> Any:
        """Return the model with arguments of its calls bound.

        Raises:
            UnknownArgumentError: A call takes no such argument.
        """
        self._refuse_unknown_in_call(kwargs)
        return super().bind(**kwargs)  # type: ignore[misc]  # of the LangChain base beside this one

    def with_config(self, config: RunnableConfig | None = None, **kwargs: Any) -> Any:
        """Return the model with a config of LangChain's bound, such as tags and callbacks.

        Raises:
            UnknownArgumentError: A config has no such entry, which LangChain would drop in silence.
        """
        known = {*RunnableConfig.__annotations__, *(config or ())}
        settings = type(self).model_fields.keys() | self._call_arguments()
        bind = dict.fromkeys(settings, "with_config takes LangChain's config only: use bind(…)")
        refuse_unknown("with_config", kwargs, known, {**self._hints(), **bind})
        return super().with_config(config, **kwargs)  # type: ignore[misc]  # of the LangChain base

    def _refuse_unknown_in_call(self, given: Mapping[str, Any]) -> None:
        refuse_unknown(f"a call of {type(self).__name__}", given, self._call_arguments(), self._hints())

    @classmethod
    @cache
    def _call_arguments(cls) -> frozenset[str]:
        """Return what a call takes, aliases included."""
        return frozenset({*_SAMPLING, *_CALL_ALIASES, *cls._request_options(), *_LANGCHAIN_ARGUMENTS})

    @classmethod
    @cache
    def _request_options(cls) -> dict[str, RequestOption]:
        """Return the settings that travel beside the body: those whose field says how."""
        return {
            name: option
            for name, info in cls.model_fields.items()
            for option in info.metadata
            if isinstance(option, RequestOption)
        }

    def _call_options(
        self, stop: Sequence[str] | None, overrides: Mapping[str, Any], region: str | None = None
    ) -> CallOptions:
        """Merge the model's settings with those of one call.

        Args:
            stop: The call's stop strings; None for the model's own.
            overrides: Settings given with the call, by constructor name or alias.
            region: Region the call goes to; None leaves the model id as it is.

        Raises:
            UnknownArgumentError: A setting is unknown; nothing is dropped silently.
            ValueError: A value is out of range, or the model is unknown.
        """
        derived = self._derived(region)
        # Where nothing but the model says it, and says it with what cannot change in place.
        fixed = stop is None and not overrides and self.guardrails is None and self.request_metadata is None
        if fixed and (known := derived.options) and known.stop == stop_strings(self.stop):
            return known
        options = self._merge_options(stop, overrides, region)
        if fixed:
            derived.options = options
        return options

    def _merge_options(
        self, stop: Sequence[str] | None, overrides: Mapping[str, Any], region: str | None
    ) -> CallOptions:
        self._refuse_unknown_in_call(overrides)
        given: dict[str, Any] = {} if stop is None else {"stop": stop}
        for key, value in overrides.items():
            if value is not None and given.setdefault(name := _CALL_ALIASES.get(key, key), value) != value:
                raise ValueError(f"{key} and {name} are one setting: give one of them")
        settings = {name: getattr(self, name) for name in (*_SAMPLING, *self._request_options())} | given
        resolved = self.resolve(settings["model"], region)
        if "max_tokens" in given:
            self._warn_long_output(given["max_tokens"], resolved)
        guardrails = Guardrails.from_value(settings["guardrails"])
        if guardrails is not None and guardrails.trace is None and self.trace is not None:
            guardrails = replace(guardrails, trace="ENABLED" if self.trace else "DISABLED")
        for choice, value, known in (
            ("special_tokens", settings["special_tokens"], get_args(SpecialTokens)),
            ("context_check", self.context_check, get_args(ContextCheck)),
        ):
            if value not in known:
                raise ValueError(f"{choice}={value!r}: one of {', '.join(known)}")
        options = {
            option: option.encode(name, settings[name])
            for name, option in self._request_options().items()
            if settings[name] is not None
        }
        return CallOptions(
            model=resolved,
            region=region,
            temperature=_in_range("temperature", settings["temperature"], 0, 1),
            top_p=_in_range("top_p", settings["top_p"], 0, 1),
            max_tokens=_in_range("max_tokens", settings["max_tokens"], 1, None),
            stop=stop_strings(settings["stop"]),
            guardrails=guardrails,
            special_tokens=settings["special_tokens"],
            request_options=options | (guardrails.request_options() if guardrails else {}),
        )

    def _options_for(
        self, candidate: Candidate, stop: Sequence[str] | None, overrides: Mapping[str, Any]
    ) -> CallOptions:
        """Merge the settings of one call: the model's own, the call's, and the candidate's."""
        given = {k: v for k, v in overrides.items() if k not in _LANGCHAIN_ARGUMENTS and k != CALL_ENDS_BY}
        if candidate.model is not None:
            given["model"] = candidate.model
            given.pop("model_id", None)
        options = self._call_options(stop, given, self._region(candidate))
        return options if candidate.ends_by is None else replace(options, ends_by=candidate.ends_by)

    @classmethod
    @cache
    def _answer_fields(cls) -> tuple[str, ...]:
        return tuple(name for name in cls.model_fields if name not in _NO_PART_IN_THE_ANSWER)

    def _answer_settings(self) -> dict[str, Any]:
        """Return the settings that change what is answered, for caches and traces."""
        values = self.__dict__
        settings = {name: values[name] for name in self._answer_fields()}
        settings["stop_sequences"] = settings.pop("stop")  # LangChain puts the call's own under "stop"
        guardrails = Guardrails.from_value(self.guardrails)
        settings["guardrails"] = None if guardrails is None else asdict(guardrails)
        connection = self._transport_settings()
        meta = getattr(self.client, "meta", None)
        settings["region_name"] = getattr(meta, "region_name", None) or connection.region()
        settings["endpoint_url"] = getattr(meta, "endpoint_url", None) or self.endpoint_url
        if settings["endpoint_url"]:
            settings["endpoint_url"] = without_password(settings["endpoint_url"])
        return settings

    def resolve(self, model: str | None = None, region: str | None = None) -> ResolvedModel:
        """Return what the catalogue knows of the model, and the id to call in the region.

        Args:
            model: Model id or ARN; None for that of the settings.
            region: AWS region; None leaves the id as it is.

        Raises:
            TypeError: The model is no text.
            ValueError: As `resolve_model`.
        """
        model = self.model if model is None else model
        given: object = model
        if not isinstance(given, str):  # assigned, or given with a call
            return resolve_model(model, region)
        own_format = self.prompt_format if model == self.model or model.startswith("arn:") else None
        key, known = (model, region, own_format), _private(self)["_resolved"]
        resolved: ResolvedModel | None = known.get(key)
        if resolved is None:
            resolved = known[key] = resolve_model(model, region, prompt_format=own_format)
        return resolved

    def _candidates(
        self, given: Mapping[str, Any] | None = None, run_manager: Any = None
    ) -> Iterator[Candidate]:
        """Yield who may take a call: the model itself, then each fallback, all within its total time."""
        from llama_bedrock.fallbacks import candidates

        given = given or {}
        if None not in (both := [given.get("model"), given.get("model_id")]) and both[0] != both[1]:
            raise ValueError("model and model_id are one setting: give one of them")
        total = self.timeout.total if isinstance(self.timeout, Timeout) else self.timeout
        # A queue before a limiter is of the caller's own making: there, each candidate has its own time.
        ends_by = None if total is None or self.limiter is not None else time.monotonic() + total
        return candidates(
            given.get("model"),
            self.fallback_models,
            self.fallback_regions,
            run_manager,
            given.get(CALL_ENDS_BY, ends_by),
        )

    def _region(self, candidate: Candidate) -> str:
        """Return the region a candidate is called in.

        Raises:
            ValueError: No region is set.
        """
        model = self.model if candidate.model is None else candidate.model
        of_arn = self.resolve(model).region if str(model).startswith("arn:") else None
        return candidate.region or of_arn or self._sync_transport().region

    def _make_transport_settings(self, region: str | None) -> TransportSettings:
        return replace(
            super()._make_transport_settings(region),
            max_connections=self.max_connections,
            model_ready_timeout=self.model_ready_timeout,
            limiter=_limiter(self.limiter),
        )

    def _count_tokens(self, text: str, model: str | None = None) -> int:
        """Count the tokens of a text by `tokenizer`, else estimate them."""
        if self.tokenizer is not None:
            return len(encoder_of(self.tokenizer)(text))
        return math.ceil(
            estimate_tokens(text) * self._counts.correction(self.model if model is None else model)
        )

    def _check_context(self, text: str, options: CallOptions) -> None:
        """Refuse a prompt that the model's window cannot hold, before it is sent.

        Raises:
            BedrockContextOverflowError: It is longer, by `tokenizer` or beyond the error of the estimate.
        """
        model, window = options.model, options.model.max_input_tokens
        how = "warn" if self.context_check == "raise" and model.info is None else self.context_check
        most = len(text.encode("utf-8", "surrogatepass")) * (_MOST_PER_BYTE if self.tokenizer is None else 1)
        if how == "off" or most <= window:
            return
        tokens = self._count_tokens(text, model.requested)
        if tokens * (1.0 if self.tokenizer is not None else _SURE) <= window:
            return
        about = "" if self.tokenizer is not None else "about "
        message = f"the prompt has {about}{tokens:,} tokens, more than the {window:,} of the model's window"
        if how == "warn":
            hidden = "" if model.info else "; the window is the smallest of its generation"
            warnings.warn(f"{message} ({model.requested}){hidden}", stacklevel=2)
            return
        error = BedrockContextOverflowError(
            message,
            model_id=model.model_id,
            region=options.region,
            hint='send less text, or use a model with a longer window; context_check="warn" sends it anyway',
        )
        error.message, error.args = message, (message,)  # the service has said nothing
        error.limit, error.requested = window, tokens
        raise error

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


def stop_strings(stops: Sequence[str] | str | None) -> tuple[str, ...]:
    """The texts that `stop=` means.

    Raises:
        ValueError: It is neither a text nor a list of texts, or one is empty.
    """
    if stops is None or (isinstance(stops, list | tuple) and not stops):
        return ()
    listed = (stops,) if isinstance(stops, str) else tuple(stops) if isinstance(stops, Iterable) else ("",)
    if not all(isinstance(stop, str) and stop for stop in listed):
        raise ValueError(f"stop={stops!r}: a text, or a list of texts, none of them empty")
    return listed


def _in_range(name: str, value: Any, low: float, high: float | None) -> Any:
    if value is None:
        return None
    kind: type[Any] = Integral if name == "max_tokens" else Real
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(
            f"{name}={value!r}: {'a whole number' if kind is Integral else 'a number'} is needed"
        )
    if value >= low and (high is None or value <= high):
        return value
    bounds = f"at least {low}" if high is None else f"{low} to {high}"
    raise ValueError(f"{name}={value!r}: Llama on Bedrock takes {bounds}")


def _limiter(value: Any) -> Any:
    if value is not None and not hasattr(value, "acquire_async"):
        raise ValueError(f"limiter={value!r}: an AdaptiveConcurrency (or a RayLimiter) is needed")
    return value


def _control_transports(model: str, endpoint_url: str | None, settings: Mapping[str, Any]) -> Transports:
    """Return how the service that knows a model is reached, given the settings for calling it."""
    from llama_bedrock.imported_models import control_endpoint
    from llama_bedrock.transport.steps import Transports

    names = BedrockConnection.model_fields.keys() - {"client", "endpoint_url"}
    given = {name: settings[name] for name in names & settings.keys()}
    if given.get("region_name") is None and model.startswith("arn:"):
        given["region_name"] = parse_model_arn(model).region
    connection = BedrockConnection(
        endpoint_url=endpoint_url or control_endpoint(settings.get("endpoint_url")), **given
    )
    return Transports(lambda _: connection._sync_transport(), lambda _: connection._async_transport())


def _private(model: BaseModel) -> dict[str, Any]:
    """Return a model's private attributes; asked for by name, each costs pydantic a microsecond."""
    found = model.__pydantic_private__
    assert found is not None
    return found


def _plain(secret: SecretStr | str | None) -> str | None:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else secret
