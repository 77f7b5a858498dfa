"""boto3 clients, made when first needed and shared by equal settings.

A client brings boto3's credential chain, endpoint rules, proxies, CA bundles and signing; the async shell
takes all of these from the same client. Only this module, `signing` and `sync` use names of botocore that
begin with an underscore; each is years old, and tests/transport/test_clients.py fails when one changes.
"""

from __future__ import annotations

import json
import os
import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from llama_bedrock.transport.connection import (
    Timeout,
    TransportSettings,
    is_loopback,
    missing_region,
    without_password,
)
from llama_bedrock.transport.error_mapping import CallContext, check_json, forget_variables, json_object
from llama_bedrock.transport.exchange import earlier
from llama_bedrock.transport.retry import RetryPolicy
from llama_bedrock.version import __version__

RUNTIME = "bedrock-runtime"
# Services that a Bedrock API key opens; the others take AWS credentials only, says botocore's model (1.43).
_KEY_SERVICES = (RUNTIME, "bedrock")
DEFAULT_RETRIES = 4
# A service with one client a tenant needs a bound; an evicted client lives on in the transports that hold it.
_MAX_SHARED = 64

_lock = threading.RLock()
_clients: OrderedDict[object, Any] = OrderedDict()
_sessions: OrderedDict[object, Any] = OrderedDict()


def boto_client(settings: TransportSettings, service: str = RUNTIME) -> Any:
    """Return the boto3 client for a service; it may block on files and on the network.

    Raises:
        ValueError: No region is set, `client=` is of another service, or the API key would go unencrypted.
        BedrockCredentialsError: The profile does not exist, or its credentials cannot be loaded.
    """
    given = settings.client
    if given is not None:
        name = getattr(getattr(given, "meta", None), "service_model", None)
        if name is not None and name.service_name == service:
            return given
        if service == RUNTIME:
            kind = name.service_name if name is not None else type(given).__name__
            raise ValueError(
                f"client= is a {kind!r} client; give one made with boto3.client({RUNTIME!r}), or none"
            )
        settings = replace(settings, client=None, region_name=settings.region() or given.meta.region_name)
    # What has no part in making a client has none in finding one.
    own = replace(settings, limiter=None, max_retries=None, model_ready_timeout=0.0)
    with _lock:
        try:
            return _shared(_clients, (own, service, _environment()), lambda: _make_client(own, service))
        except Exception as error:
            forget_variables(error)
            raise


def region_of(settings: TransportSettings) -> str:
    """Return the region calls go to.

    Raises:
        ValueError: None is set.
    """
    if settings.client is not None:
        return str(settings.client.meta.region_name)
    region = settings.region()
    if region is None:
        with _lock:
            region = _session(settings).region_name
    if not region:
        raise missing_region()
    return str(region)


def policy_of(settings: TransportSettings, client: Any) -> RetryPolicy:
    """Return how calls through this client are retried."""
    limiter = settings.limiter
    return RetryPolicy(
        max_retries=_retries_of(settings, client),
        model_ready_timeout=settings.model_ready_timeout,
        throttle_patience=limiter.patience if limiter is not None else 0.0,
    )


def _retries_of(settings: TransportSettings, client: Any) -> int:
    # None on top of those of a client the caller brought.
    configured: Mapping[str, Any] = getattr(client.meta.config, "retries", None) or {}
    if settings.client is not None:
        own = configured.get("total_max_attempts", 1)
        return 0 if own > 1 or settings.max_retries is None else settings.max_retries
    if settings.max_retries is not None:
        return settings.max_retries
    given: Mapping[str, Any] = getattr(settings.config, "retries", None) or {}
    if "total_max_attempts" in given:
        return max(0, int(given["total_max_attempts"]) - 1)
    if "max_attempts" in given:
        return int(given["max_attempts"])
    total = os.environ.get("AWS_MAX_ATTEMPTS", "")
    return int(total) - 1 if total.isdigit() and int(total) > 0 else DEFAULT_RETRIES


def deadlines_of(settings: TransportSettings) -> Timeout:
    """Return the deadlines of a call; those in the caller's `Config` count where `timeout=` is not given."""
    timeout = settings.deadlines
    given: Mapping[str, Any] = getattr(settings.config, "_user_provided_options", None) or {}
    if timeout == Timeout():
        if "connect_timeout" in given:
            timeout = replace(timeout, connect=given["connect_timeout"])
        if "read_timeout" in given:
            timeout = replace(timeout, first_token=given["read_timeout"], idle=given["read_timeout"])
    return timeout


def _make_client(settings: TransportSettings, service: str) -> Any:
    from botocore.config import Config

    region = region_of(settings)
    token = settings.bearer_token if service in _KEY_SERVICES else None
    config = _config(settings)
    if token is not None:
        from botocore import UNSIGNED

        config = config.merge(Config(signature_version=UNSIGNED))
    elif _signed_by_choice(settings):
        config = config.merge(Config(signature_version="v4"))
    try:
        client = _session(settings).client(
            service,
            region_name=region,
            endpoint_url=settings.endpoint_url,
            config=config,
            aws_access_key_id=settings.aws_access_key_id,
            aws_secret_access_key=settings.aws_secret_access_key,
            aws_session_token=settings.aws_session_token,
        )
    except Exception as error:
        mapped = CallContext(f"creating the {service} client", region=region).from_exception(error)
        if mapped is None and type(error) is ValueError:  # botocore's shows the whole endpoint
            raise ValueError(without_password(str(error))) from None
        if mapped is None:
            raise
        raise mapped from error
    if "json" in client.meta.service_model.resolved_protocol:
        client.meta.events.register(f"before-parse.{service}", _refuse_damaged_json)
    if token is not None:
        _refuse_plain_http(client.meta.endpoint_url)
        client.meta.events.register(f"before-sign.{service}", _BearerToken(token))
    return client


def _signed_by_choice(settings: TransportSettings) -> bool:
    """Whether to insist on signatures: botocore would let a bearer token of the environment win otherwise."""
    explicit = settings.aws_access_key_id is not None or settings.credentials_profile_name is not None
    return explicit and getattr(settings.config, "signature_version", None) is None


class _BearerToken:
    """Signs with an API key of this client alone.

    botocore knows a key from the environment only, where it would be every client's, and refuses loopback
    addresses.
    """

    def __init__(self, token: str) -> None:
        self._value = f"Bearer {token}"

    def __call__(self, request: Any, **_: Any) -> None:
        if "Authorization" in request.headers:
            del request.headers["Authorization"]
        request.headers["Authorization"] = self._value


def _refuse_damaged_json(response_dict: dict[str, Any], **_: Any) -> None:
    """Stop botocore from reading a cut body as an answer without members, or failing over an error's body."""
    body = response_dict["body"]
    if not isinstance(body, bytes):
        return
    if response_dict["status_code"] < 300:
        check_json(body)
    elif json_object(body) is None:  # botocore takes this for the message, but not where it is nested deeply
        response_dict["body"] = json.dumps({"message": body[:500].decode("utf-8", "replace")}).encode()


def _refuse_plain_http(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(url):
        raise ValueError(f"the API key would go to {without_password(url)} unencrypted: use https")


def _config(settings: TransportSettings) -> Any:
    from botocore.config import Config

    timeout = deadlines_of(settings)
    given = settings.config
    extra = f"llama-bedrock/{__version__}"
    if getattr(given, "user_agent_extra", None):
        extra = f"{given.user_agent_extra} {extra}"
    config = Config(max_pool_connections=settings.max_connections, tcp_keepalive=True)
    if given is not None:
        config = config.merge(given)
    return config.merge(
        Config(
            user_agent_extra=extra,
            connect_timeout=earlier(timeout.connect, timeout.total),
            read_timeout=earlier(timeout.first_token, timeout.total),
            retries={"total_max_attempts": 1, "mode": "standard"},  # retry.py retries
        )
    )


def _session(settings: TransportSettings) -> Any:
    """Return the boto3 session, so that clients of several services find credentials once."""
    profile = settings.credentials_profile_name

    def make() -> Any:
        import boto3

        try:
            return boto3.Session(profile_name=profile)
        except Exception as error:
            mapped = CallContext("reading the AWS configuration").from_exception(error)
            if mapped is None:
                raise
            raise mapped from error

    return _shared(_sessions, (profile, _environment()), make)


def _shared(cache: OrderedDict[object, Any], key: object, make: Any) -> Any:
    if key in cache:
        cache.move_to_end(key)
        return cache[key]
    made = cache[key] = make()
    while len(cache) > _MAX_SHARED:
        cache.popitem(last=False)
    return made


def _environment() -> tuple[tuple[str, str], ...]:
    """The environment variables botocore reads: a client made under others is not the same client."""
    return tuple(
        sorted(
            item
            for item in os.environ.items()
            if item[0].startswith("AWS_") or item[0].upper() in _OTHER_VARIABLES
        )
    )


_OTHER_VARIABLES = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE", "HOME"})
