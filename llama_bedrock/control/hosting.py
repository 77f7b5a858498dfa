"""Custom models made callable: deployments, provisioned throughput, copies in other regions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llama_bedrock.argument_kinds import AtLeastOne, NotNegative, refuses_wrong_kinds
from llama_bedrock.catalog import CATALOG
from llama_bedrock.catalog.arn import parse_model_arn
from llama_bedrock.control.base_models import refuse_closed
from llama_bedrock.control.control_plane import ControlPlane
from llama_bedrock.control.customisation import CustomModel
from llama_bedrock.control.imports import import_job
from llama_bedrock.control.jobs import (
    check_name,
    check_role,
    control_request,
    failed,
    tag_list,
    wait_until,
)
from llama_bedrock.imported_models import FORMAT_TAG, format_of_model, read_tags
from llama_bedrock.prompts.formats import FORMATS, PromptFormat, format_of
from llama_bedrock.transport.steps import Steps

if TYPE_CHECKING:
    from llama_bedrock.chat_model import ChatLlamaBedrock

Commitment: TypeAlias = Literal["OneMonth", "SixMonths"]
_MONTHS: Mapping[str, int] = {"OneMonth": 1, "SixMonths": 6}
_HOURS_A_MONTH = 730  # as AWS counts them for estimates


@dataclass(frozen=True, slots=True)
class HostedLlama:
    """A model that can be called by an ARN of its own.

    Attributes:
        arn: What to call.
        name: Name of the deployment, the throughput or the copy.
        prompt_format: The generation whose prompt text it reads.
        model_arn: The model behind it.
        commitment_ends: When a throughput that was bought for a time ends.
    """

    arn: str
    name: str
    prompt_format: PromptFormat
    model_arn: str
    commitment_ends: datetime | None = None
    _plane: ControlPlane | None = field(default=None, repr=False, compare=False)

    def chat_model(self, **settings: Any) -> ChatLlamaBedrock:
        """A chat model that calls it; `settings` are those of `ChatLlamaBedrock`."""
        from llama_bedrock.chat_model import ChatLlamaBedrock

        reach = self._plane.runtime_settings() if self._plane is not None else {}
        return ChatLlamaBedrock(
            **{**reach, "model": self.arn, "prompt_format": self.prompt_format, **settings}
        )


@dataclass(frozen=True, slots=True)
class Purchase:
    """What provisioned throughput would cost, to be confirmed.

    Attributes:
        model: The model.
        region: Where.
        units: Model units.
        commitment: For how long it cannot be given up; None: it is billed by the hour until it is deleted.
        hourly: USD for an hour of a unit; None where nobody has said it.
        begins: The day of the purchase.
    """

    model: str
    region: str
    units: int
    commitment: Commitment | None
    hourly: float | None
    begins: date

    @property
    def ends(self) -> date | None:
        """The first day on which nothing is owed any more; None without a commitment."""
        if self.commitment is None:
            return None
        months = self.begins.month - 1 + _MONTHS[self.commitment]
        year, month = self.begins.year + months // 12, months % 12 + 1
        following = date(year + month // 12, month % 12 + 1, 1)
        return min(date(year, month, 1) + timedelta(self.begins.day - 1), following - timedelta(1))

    @property
    def total(self) -> float | None:
        """USD for the time of the commitment, or for a month without one."""
        months = _MONTHS[self.commitment] if self.commitment else 1
        return None if self.hourly is None else self.hourly * self.units * _HOURS_A_MONTH * months

    def __str__(self) -> str:
        what = f"{self.units} model unit{'' if self.units == 1 else 's'} for {self.model} in {self.region}"
        term = (
            f"committed until {self.ends}"
            if self.ends
            else "without commitment, billed by the hour until deleted"
        )
        if self.hourly is None:
            price = "price unknown: see Provisioned Throughput at https://aws.amazon.com/bedrock/pricing/"
        else:
            span = "in that time" if self.ends else "a month"
            price = f"{self.hourly:,.2f} USD an hour and unit, about {self.total:,.0f} USD {span}"
        return f"{what}, {term}; {price}"


@refuses_wrong_kinds
def deploy(model: str | CustomModel, name: str, **options: Any) -> HostedLlama:
    """Deploy a custom model for calls on demand, and wait until it can be called.

    Example:
        ```text
        deploy(customise(…), "support-llama", region_name="us-west-2").chat_model()
        ```

    Args:
        model: The custom model, or its ARN.
        name: Name of the deployment. One that is there already is returned, or waited for.
        options: Those of `HostingOptions`, and the settings of `ControlPlane`.

    Raises:
        ValueError: Bedrock deploys no such model, or an argument is none.
        JobFailedError: The deployment failed.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    chosen, plane = _options(name, options)
    return plane.run(_deploy(model, name, chosen, plane))


@refuses_wrong_kinds
async def adeploy(model: str | CustomModel, name: str, **options: Any) -> HostedLlama:
    """`deploy` without blocking the event loop."""
    chosen, plane = _options(name, options)
    return await plane.arun(_deploy(model, name, chosen, plane))


@refuses_wrong_kinds
def provision(
    model: str | CustomModel,
    name: str,
    *,
    units: AtLeastOne = 1,
    commitment: Commitment | None = None,
    confirm: Callable[[Purchase], bool],
    hourly: NotNegative | None = None,
    **options: Any,
) -> HostedLlama:
    """Buy throughput for a model, once the purchase is confirmed, and wait until it can be called.

    Args:
        model: A custom model, or the ARN or id of one that Bedrock sells throughput for.
        name: Name of the throughput. One that is there already is returned, and nothing is bought.
        units: Model units.
        commitment: For how long it cannot be given up.
        confirm: Is given the `Purchase`, with price and end of the commitment; nothing is bought unless it
            returns True.
        hourly: USD for an hour of a unit, from AWS's price list; the catalogue has none.
        options: Those of `HostingOptions`, and the settings of `ControlPlane`.

    Raises:
        ValueError: It was not confirmed, the base model is Legacy, or an argument is none.
        JobFailedError: Bedrock could not provide it.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    chosen, plane = _options(name, options)
    return plane.run(_provision(model, name, _terms(units, commitment, hourly), confirm, chosen, plane))


@refuses_wrong_kinds
async def aprovision(
    model: str | CustomModel,
    name: str,
    *,
    units: AtLeastOne = 1,
    commitment: Commitment | None = None,
    confirm: Callable[[Purchase], bool],
    hourly: NotNegative | None = None,
    **options: Any,
) -> HostedLlama:
    """`provision` without blocking the event loop; `confirm` is called in it."""
    chosen, plane = _options(name, options)
    return await plane.arun(
        _provision(model, name, _terms(units, commitment, hourly), confirm, chosen, plane)
    )


@refuses_wrong_kinds
def copy_model(model: str, name: str, to_region: str, **options: Any) -> HostedLlama:
    """Bring a model to another region.

    A custom model is copied by Bedrock. Bedrock copies no imported model: that is imported again, from the
    files and with the role of the first time, which `role_arn` can replace.

    Args:
        model: ARN of the model.
        name: Its name there.
        to_region: The other region.
        options: Those of `HostingOptions`, `role_arn`, and the settings of `ControlPlane`.

    Raises:
        ValueError: It is no model of the account's own, or is in that region already.
        JobFailedError: The copy failed.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    steps, plane = _copying(model, name, to_region, options)
    return plane.run(steps)


@refuses_wrong_kinds
async def acopy_model(model: str, name: str, to_region: str, **options: Any) -> HostedLlama:
    """`copy_model` without blocking the event loop."""
    steps, plane = _copying(model, name, to_region, options)
    return await plane.arun(steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class HostingOptions:
    """What can be said of a deployment, a throughput or a copy.

    Args:
        prompt_format: The generation whose prompts the model reads, where its ARN and tags do not tell.
        tags: Tags, beside the one that says the prompt format.
        seconds: How long to wait; None for as long as it takes.
        progress: Called with the status each time Bedrock is asked.
        role_arn: For the copy of an imported model: the role that reads its files.
    """

    prompt_format: PromptFormat | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    progress: Callable[[str], None] | None = None
    role_arn: str | None = None

    def tell(self, state: Mapping[str, Any], seconds: float) -> None:
        """Pass on a status."""
        if self.progress is not None:
            self.progress(str(state["status"]))


def _options(name: str, options: Mapping[str, Any]) -> tuple[HostingOptions, ControlPlane]:
    own = {key: value for key, value in options.items() if key in HostingOptions.__dataclass_fields__}
    chosen = HostingOptions(**own)
    check_name("name", name)
    tag_list(chosen.tags)
    if chosen.prompt_format is not None:
        format_of(chosen.prompt_format)
    if chosen.role_arn is not None:
        check_role(chosen.role_arn)
    return chosen, ControlPlane(**{key: value for key, value in options.items() if key not in own})


def _terms(units: int, commitment: Commitment | None, hourly: float | None) -> dict[str, Any]:
    if isinstance(units, bool) or units < 1:
        raise ValueError(f"units={units!r}: 1 or more")
    if commitment is not None and commitment not in _MONTHS:
        raise ValueError(f"commitment={commitment!r}: {', '.join(_MONTHS)}, or None for none")
    if hourly is not None and not hourly > 0:
        raise ValueError(f"hourly={hourly!r}: USD for an hour of a unit")
    return {"units": units, "commitment": commitment, "hourly": hourly}


def _format(model: str | CustomModel, arn: str, options: HostingOptions) -> Steps[PromptFormat]:
    if options.prompt_format is not None:
        return options.prompt_format
    if isinstance(model, CustomModel):
        return model.prompt_format
    found = yield from format_of_model(arn)
    if found is None:
        known = ", ".join(FORMATS)
        raise ValueError(
            f"nothing tells which Llama {arn} was made from: give prompt_format=…, one of {known}"
        )
    return found


def _deploy(
    model: str | CustomModel, name: str, options: HostingOptions, plane: ControlPlane
) -> Steps[HostedLlama]:
    arn = model.arn if isinstance(model, CustomModel) else model
    parsed = parse_model_arn(arn)
    if parsed.kind != "custom-model":
        raise ValueError(
            f"{arn} is a {parsed.kind}, and only custom models are deployed: it can be called as it is"
        )
    base = CATALOG.get(parsed.named_model)
    if base is not None and plane.region not in base.deployment_regions:
        where = f"only in {', '.join(base.deployment_regions)}" if base.deployment_regions else "nowhere"
        raise ValueError(
            f"Bedrock deploys models made from {base.name} {where}: buy throughput for it with provision(…)"
        )
    prompt_format = yield from _format(model, arn, options)
    found = yield from _listed(
        "list_custom_model_deployments", "modelDeploymentSummaries", "customModelDeploymentName", name
    )
    if found is not None and found["modelArn"] != arn:
        raise ValueError(
            f"the deployment {name!r} is of {found['modelArn']}: choose another name, or delete it"
        )
    if found is None:
        tags = tag_list({FORMAT_TAG: prompt_format, **options.tags})
        found = yield control_request(
            "create_custom_model_deployment", modelDeploymentName=name, modelArn=arn, tags=tags
        )
    deployment = found["customModelDeploymentArn"]
    request = control_request("get_custom_model_deployment", customModelDeploymentIdentifier=deployment)
    state = yield from wait_until(
        request, lambda s: s["status"] != "Creating", seconds=options.seconds, tell=options.tell
    )
    if state["status"] != "Active":
        raise failed(f"the deployment {name!r}", state)
    return HostedLlama(deployment, name, prompt_format, arn, _plane=plane)


def _listed(operation: str, member: str, key: str, name: str) -> Steps[dict[str, Any] | None]:
    """What has this name, and has not failed."""
    page = yield control_request(operation, nameContains=name, maxResults=100)
    items: list[dict[str, Any]] = page.get(member) or []
    return next((item for item in items if item.get(key) == name and item.get("status") != "Failed"), None)


def _provision(
    model: str | CustomModel,
    name: str,
    terms: Mapping[str, Any],
    confirm: Callable[[Purchase], bool],
    options: HostingOptions,
    plane: ControlPlane,
) -> Steps[HostedLlama]:
    wanted = model.arn if isinstance(model, CustomModel) else model
    base = next(
        (info for info in CATALOG.values() if wanted in (info.model_id, info.provisioned_id)),
        CATALOG.get(parse_model_arn(wanted).named_model) if wanted.startswith("arn:") else None,
    )
    if base is not None and wanted == base.model_id and base.provisioned_id is not None:
        wanted = base.provisioned_id
    prompt_format = base.generation if base is not None else (yield from _format(model, wanted, options))
    arn = yield from _throughput_of(name)
    if arn is None:
        if base is not None:
            yield from refuse_closed(base, f"provisioned throughput for {base.model_id}")
        purchase = Purchase(model=wanted, region=plane.region, begins=datetime.now(UTC).date(), **terms)
        if confirm(purchase) is not True:
            raise ValueError(f"not confirmed, and nothing was bought: {purchase}")
        bought = yield control_request(
            "create_provisioned_model_throughput",
            modelUnits=purchase.units,
            provisionedModelName=name,
            modelId=wanted,
            commitmentDuration=purchase.commitment,
            tags=tag_list({FORMAT_TAG: prompt_format, **options.tags}),
        )
        arn = bought["provisionedModelArn"]
    request = control_request("get_provisioned_model_throughput", provisionedModelId=arn)
    state = yield from wait_until(
        request,
        lambda s: s["status"] not in ("Creating", "Updating"),
        seconds=options.seconds,
        tell=options.tell,
    )
    if state["status"] != "InService":
        raise failed(f"the throughput {name!r}", state)
    ends = state.get("commitmentExpirationTime")
    return HostedLlama(arn, name, prompt_format, state["modelArn"], ends, _plane=plane)


def _throughput_of(name: str) -> Steps[str | None]:
    found = yield from _listed(
        "list_provisioned_model_throughputs", "provisionedModelSummaries", "provisionedModelName", name
    )
    return None if found is None else str(found["provisionedModelArn"])


def _copying(
    model: str, name: str, to_region: str, options: Mapping[str, Any]
) -> tuple[Steps[HostedLlama], ControlPlane]:
    arn = parse_model_arn(model)
    chosen, plane = _options(name, {"region_name": arn.region, **options})
    if arn.kind not in ("custom-model", "imported-model"):
        raise ValueError(
            f"{model} is a {arn.kind}; custom and imported models can be brought to another region"
        )
    if arn.region == to_region:
        raise ValueError(f"{model} is in {to_region} already")
    there = plane.in_region(to_region)
    if arn.kind == "custom-model":
        return _copy(model, name, chosen, there), there
    return _import_again(model, name, chosen, plane, there), plane


def _copy(model: str, name: str, options: HostingOptions, plane: ControlPlane) -> Steps[HostedLlama]:
    """Bedrock copies into the region that is asked."""
    prompt_format = yield from _format(model, model, options)
    tags = tag_list({FORMAT_TAG: prompt_format, **options.tags})
    job = yield control_request(
        "create_model_copy_job", sourceModelArn=model, targetModelName=name, targetModelTags=tags
    )
    request = control_request("get_model_copy_job", jobArn=job["jobArn"])
    state = yield from wait_until(
        request, lambda s: s["status"] != "InProgress", seconds=options.seconds, tell=options.tell
    )
    if state["status"] != "Completed":
        raise failed(f"the copy of {model}", state)
    return HostedLlama(state["targetModelArn"], name, prompt_format, state["targetModelArn"], _plane=plane)


def _import_again(
    model: str, name: str, options: HostingOptions, plane: ControlPlane, there: ControlPlane
) -> Steps[HostedLlama]:
    found = yield control_request("get_imported_model", modelIdentifier=model)
    tags = yield from read_tags(model)
    prompt_format = options.prompt_format or tags.get(FORMAT_TAG)
    if prompt_format is None:
        prompt_format = yield from _format(model, model, options)
    role = options.role_arn
    if role is None:
        job = yield control_request("get_model_import_job", jobIdentifier=found["jobArn"])
        role = job["roleArn"]
    own = {key: value for key, value in tags.items() if not key.startswith("aws:")}
    steps = import_job(
        name,
        role,
        found["modelDataSource"]["s3DataSource"]["s3Uri"],
        {**own, FORMAT_TAG: prompt_format, **options.tags},
        seconds=options.seconds,
        tell=options.tell,
    )
    job = yield there.part(steps)
    return HostedLlama(job["importedModelArn"], name, prompt_format, job["importedModelArn"], _plane=there)
