"""What to do next, for each failure that has a usual remedy."""

from __future__ import annotations

import re

from llama_bedrock.errors import (
    BedrockAccessDeniedError,
    BedrockAuthenticationError,
    BedrockContextOverflowError,
    BedrockModelNotReadyError,
    BedrockNotFoundError,
    BedrockQuotaExceededError,
    BedrockResponseError,
    BedrockThrottlingError,
    BedrockUnavailableError,
    BedrockValidationError,
)

CREDENTIALS = (
    "give aws_access_key_id and aws_secret_access_key, credentials_profile_name or api_key, or set AWS up: "
    "environment variables, `aws configure`, `aws sso login`, the role of the machine"
)
CERTIFICATE = "for a proxy or endpoint with a certificate of its own, set AWS_CA_BUNDLE to its CA file"
REFUSED = "nothing listens at this address: check endpoint_url, and that a local endpoint is running"

_ON_DEMAND = re.compile(r"on-demand throughput isn.t supported", re.IGNORECASE)
_GEO_PREFIX = re.compile(r"^[a-z]{2,6}\.(?=meta\.)")


def dns(region: str | None) -> str:
    """Return what to do when the endpoint's name cannot be resolved."""
    return (
        f"check region_name={region!r} (does Bedrock exist there, is it spelt right?), endpoint_url and the "
        "network: in a VPC without internet access Bedrock needs an interface endpoint"
    )


def deadline(name: str) -> str:
    """Return which argument moves a deadline."""
    if name == "connect":
        return "check the network and proxies, or raise Timeout(connect=…)"
    if name == "first_token":
        return (
            "raise Timeout(first_token=…), or stream: "
            "an answer that is not streamed must be complete in this time"
        )
    return f"raise timeout=Timeout({name}=…) if the answer may take longer"


def for_response(
    cls: type[BedrockResponseError], message: str, model_id: str | None, region: str | None
) -> str | None:
    """Return the hint for an error answer, None where there is nothing to add to the service's words.

    Args:
        cls: The class the answer was mapped to.
        message: The service's own words.
        model_id: Model id or ARN that was called; None for operations that call no model.
        region: AWS region that was called.
    """
    if model_id is not None:
        if "marked by provider as Legacy" in message or "end of its life" in message:
            return "choose a model that is not Legacy (`llama-bedrock models`), or import its weights"
        if (arn_region := _arn_region(model_id)) and region and arn_region != region:
            return f"the ARN is of {arn_region}, the call went to {region}: set region_name={arn_region!r}"
    if issubclass(cls, BedrockAuthenticationError):
        return _authentication(message)
    if model_id is None:
        return None
    if issubclass(cls, BedrockValidationError) and not issubclass(cls, BedrockContextOverflowError):
        return _validation(message, model_id, region)
    if issubclass(cls, BedrockThrottlingError):
        return _throttled(cls, model_id)
    return _BY_CLASS.get(cls)


_BY_CLASS: dict[type[BedrockResponseError], str] = {
    BedrockAccessDeniedError: (
        "allow bedrock:InvokeModel and bedrock:InvokeModelWithResponseStream on this model in IAM (for an "
        "inference profile, on the profile and on the model in each of its regions), and check model access "
        "in the Bedrock console: https://console.aws.amazon.com/bedrock/home#/modelaccess"
    ),
    BedrockNotFoundError: (
        "check the model id and the region (`llama-bedrock models` lists where each is served); "
        "a model past its end of life is gone"
    ),
    BedrockContextOverflowError: "send less text, ask for fewer tokens, or use a model with a longer window",
    BedrockModelNotReadyError: (
        "an imported model that was idle takes up to 5 minutes to load; "
        "raise model_ready_timeout to wait longer"
    ),
    BedrockUnavailableError: (
        "no capacity for this model now: "
        "use an inference profile, fallback_regions=[…] or fallback_models=[…]"
    ),
}


def _authentication(message: str) -> str:
    if "expired" in message.lower():
        return "the credentials have expired: renew them (`aws sso login`, or a new session token or API key)"
    if "ignature" in message:
        return "check the secret key, and the clock of this machine: a signature is valid for five minutes"
    return "check which credentials are used: `aws sts get-caller-identity`, or the api_key"


def _validation(message: str, model_id: str, region: str | None) -> str | None:
    if _ON_DEMAND.search(message):
        profiles = _profiles(model_id, region)
        which = f"use {' or '.join(profiles)}" if profiles else "use the id or ARN of an inference profile"
        return f"this model is served through an inference profile only: {which}"
    if "model identifier is invalid" in message:
        return "check the model id and the region: `llama-bedrock models` lists both"
    return None


def _throttled(cls: type[BedrockResponseError], model_id: str) -> str:
    scope = "Cross-region" if _GEO_PREFIX.match(model_id) else "On-demand"
    quota = f"'{scope} model inference requests (or tokens) per minute' of this model in Service Quotas"
    if issubclass(cls, BedrockQuotaExceededError):
        return f"see {quota}"
    return (
        f"the quota is {quota}; a smaller max_tokens counts less against it, "
        "AdaptiveConcurrency keeps below it, fallback_regions=[…] goes around it"
    )


def _arn_region(model_id: str) -> str | None:
    parts = model_id.split(":")
    return parts[3] or None if len(parts) > 5 and parts[0] == "arn" else None


def _profiles(model_id: str, region: str | None) -> list[str]:
    """Return the ids of the inference profiles that serve the model, those of the region first."""
    from llama_bedrock.catalog import CATALOG

    info = CATALOG.get(_GEO_PREFIX.sub("", model_id))
    if info is None:
        return []
    here = [geo for geo, sources in info.profiles.items() if region in sources]
    return [f"{geo}.{info.model_id}" for geo in here or info.profiles]
