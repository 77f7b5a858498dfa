"""Service Quotas of Bedrock: names as the console has them, values of AWS's defaults or the account's own.

AWS publishes no list of the codes: those here are made from the names, so clients have to match by name, as
they must on AWS.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import cut_page
from llama_bedrock.local.runtime.frames import ServiceError

_SERVICE = "bedrock"
MIN_RECORDS = "Minimum number of records per batch inference job for "
JOB_RECORDS = "Records per batch inference job for "
FILE_RECORDS = "Records per input file per batch inference job for "
FILE_GB = "Batch inference input file size (in GB) for "
JOB_GB = "Batch inference job size (in GB) for "
IMPORTED_MODELS = "Imported models per account"

# Defaults of the user guide, "Quotas for Amazon Bedrock"; adjustable, and raised for most accounts.
BATCH_QUOTAS = {MIN_RECORDS: 100, JOB_RECORDS: 50_000, FILE_RECORDS: 50_000, FILE_GB: 1, JOB_GB: 5}
_DAY_TOKENS = "Model invocation max tokens per day for "
_REQUESTS, _TOKENS = 800, 600_000
_ACCOUNT = {
    IMPORTED_MODELS: 3,
    "Inference profiles per account": 1_000,
    "Model units no-commitment Provisioned Throughputs across base models": 2,
}


def list_service_quotas(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListServiceQuotas``."""
    return _list(request, _quotas(request.plane, request.region))


def list_aws_default_service_quotas(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``ListAWSDefaultServiceQuotas``."""
    return _list(request, _quotas(request.plane, request.region, defaults=True))


def get_service_quota(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``GetServiceQuota``."""
    _check_service(request)
    for quota in _quotas(request.plane, request.region):
        if quota["QuotaCode"] == request.params["QuotaCode"]:
            return {"Quota": quota}
    raise ServiceError(
        "NoSuchResourceException",
        "The request failed because the specified quota does not exist.",
        status=400,
    )


def quota_value(plane: LocalPlane, region: str, name: str) -> float | None:
    """The value of a quota of the account."""
    return next((q["Value"] for q in _quotas(plane, region) if q["QuotaName"] == name), None)


def _list(request: PlaneRequest, quotas: list[dict[str, Any]]) -> dict[str, Any]:
    _check_service(request)
    if (code := request.params.get("QuotaCode")) is not None:
        quotas = [quota for quota in quotas if quota["QuotaCode"] == code]
    size = request.params.get("MaxResults") or 100
    try:
        page, token = cut_page(quotas, request.params, lambda one: one["QuotaCode"], size)
    except ServiceError:
        raise ServiceError(
            "InvalidPaginationTokenException", "Invalid input was provided.", status=400
        ) from None
    return {"Quotas": page, "NextToken": token}


def _check_service(request: PlaneRequest) -> None:
    if request.params["ServiceCode"] != _SERVICE:
        raise ServiceError("NoSuchResourceException", "The service does not exist here.", status=400)


def _quotas(plane: LocalPlane, region: str, *, defaults: bool = False) -> list[dict[str, Any]]:
    chosen = {} if defaults else plane.account.quotas
    found = []
    for name, value in _values(plane, region, defaults=defaults):
        begun = max((key for key in chosen if name.startswith(key)), key=len, default=None)
        code = f"L-{hashlib.sha256(name.encode()).hexdigest()[:8].upper()}"
        found.append(
            {
                "ServiceCode": _SERVICE,
                "ServiceName": "Amazon Bedrock",
                "QuotaArn": f"arn:aws:servicequotas:{region}:{plane.account.account_id}:{_SERVICE}/{code}",
                "QuotaCode": code,
                "QuotaName": name,
                "Value": float(value if begun is None else chosen[begun]),
                "Unit": "None",
                "Adjustable": not name.startswith(_DAY_TOKENS),
                "GlobalQuota": False,
            }
        )
    return found


def _values(plane: LocalPlane, region: str, *, defaults: bool) -> Iterator[tuple[str, float]]:
    """Name and value of every quota, before what the account sets."""
    meter = None if defaults else plane.state.quotas
    a_minute = 1.0 if meter is None else 60 / meter.quotas.minute
    requests = (meter and meter.quotas.requests_per_minute) or _REQUESTS
    tokens = (meter and meter.quotas.tokens_per_minute) or _TOKENS
    for info in CATALOG.values():
        for kind in _kinds(info, region):
            yield f"{kind} model inference requests per minute for Meta {info.name}", requests * a_minute
            yield f"{kind} model inference tokens per minute for Meta {info.name}", tokens * a_minute
        if _kinds(info, region):
            yield f"{_DAY_TOKENS}Meta {info.name}", tokens * a_minute * 60 * 24
        if region in info.batch_regions or region in info.batch_profile_regions:
            for name, value in BATCH_QUOTAS.items():
                yield name + info.name, value
    yield from _ACCOUNT.items()


def _kinds(info: ModelInfo, region: str) -> list[str]:
    through_profile = any(region in sources for sources in info.profiles.values())
    return ["On-demand"] * (region in info.direct_regions) + ["Cross-region"] * through_profile
