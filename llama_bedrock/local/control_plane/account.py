"""The AWS account that a local endpoint stands for: what it may use, its quotas, the pace of its jobs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.catalog import CATALOG
from llama_bedrock.catalog.model_info import Lifecycle

Access = Literal["AVAILABLE", "PENDING", "NOT_AVAILABLE", "ERROR"]


def utc_now() -> datetime:
    """The time of the machine."""
    return datetime.now(UTC)


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class ModelState:
    """What the account has of one foundation model.

    Attributes:
        lifecycle: State of the model; None is the catalogue's on the day of the account's clock. It also
            decides what InvokeModel answers; without it, models past their end are still served here.
        access: Status of the agreement; unless it is ``"AVAILABLE"``, calls are refused.
        authorized: False if the account may not use the model.
        entitled: False if the account has no entitlement.
        legacy_access: False if the model is Legacy and the account has not used it lately.
    """

    lifecycle: Lifecycle | None = None
    access: Access = "AVAILABLE"
    authorized: bool = True
    entitled: bool = True
    legacy_access: bool = True


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class Account:
    """The account behind a local endpoint.

    Attributes:
        account_id: 12 digits.
        user: Name of the IAM user that every caller is.
        region: Region of callers whose request does not name one (bearer keys).
        pace: Seconds that a job, deployment or purchase stays in each state before it goes on.
        wake_seconds: Seconds of ``ModelNotReadyException`` after the first call of an imported model.
        idle_seconds: Seconds without calls after which an imported model sleeps again; None is never.
        clock: The time, with a zone: of jobs, of the lifecycle of models, of signatures.
        models: `ModelState` by model id; what is not named is available.
        quotas: Values of Service Quotas by name, or by how names begin (so for every model).
        roles: ARNs of the roles that Bedrock can assume; None is every role of this account.
        denied_actions: IAM actions, such as ``"bedrock:ListFoundationModels"``, that the user lacks.
        s3_endpoint_url: Where jobs read and write; None is ``AWS_ENDPOINT_URL_S3``, else boto3's own.

    Raises:
        ValueError: A value is out of range, or names no model.
    """

    account_id: str = "123456789012"
    user: str = "local"
    region: str = "us-west-2"
    pace: float = 0.5
    wake_seconds: float = 1.0
    idle_seconds: float | None = None
    clock: Callable[[], datetime] = utc_now
    models: Mapping[str, ModelState] = field(default_factory=dict)
    quotas: Mapping[str, float] = field(default_factory=dict)
    roles: Collection[str] | None = None
    denied_actions: Collection[str] = ()
    s3_endpoint_url: str | None = None

    def __post_init__(self) -> None:
        if len(self.account_id) != 12 or not self.account_id.isdecimal():
            raise ValueError(f"account_id has 12 digits, not {self.account_id!r}")
        for name in ("pace", "wake_seconds", "idle_seconds"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} is in seconds and cannot be negative, not {value}")
        for name in self.models:
            if name not in CATALOG:
                raise ValueError(
                    f"models: {name!r} is no model id of the catalogue, such as {next(iter(CATALOG))}"
                )

    @property
    def user_arn(self) -> str:
        """ARN of the caller."""
        return f"arn:aws:iam::{self.account_id}:user/{self.user}"

    def model_state(self, model_id: str) -> ModelState:
        """What the account has of a foundation model."""
        return self.models.get(model_id, ModelState())

    def lifecycle(self, model_id: str) -> Lifecycle:
        """The state of a foundation model on the day of the clock."""
        return self.model_state(model_id).lifecycle or CATALOG[model_id].lifecycle_on(self.clock().date())
