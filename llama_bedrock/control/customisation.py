"""Fine-tuning and distillation: start a job, watch it, stop it, take the model that it made."""

from __future__ import annotations

import csv
import io
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any, TypeAlias

from llama_bedrock.argument_kinds import refuses_wrong_kinds, refuses_wrong_kinds_in_methods
from llama_bedrock.catalog import ModelInfo
from llama_bedrock.control.base_models import base_of, check_hyperparameters, refuse_closed
from llama_bedrock.control.control_plane import ControlPlane
from llama_bedrock.control.jobs import (
    check_name,
    check_role,
    control_request,
    failed,
    job_name,
    tag_list,
    wait_until,
)
from llama_bedrock.control.model_folder import read_object, split_uri
from llama_bedrock.control.s3_upload import upload_files
from llama_bedrock.control.training_data import CheckedTrainingData, TrainingData
from llama_bedrock.errors import BedrockNotFoundError
from llama_bedrock.imported_models import FORMAT_TAG
from llama_bedrock.prompts.formats import PromptFormat
from llama_bedrock.transport.steps import Steps, Work

_ENDED = frozenset({"Completed", "Failed", "Stopped"})
# Amazon Bedrock user guide, "Analyze the results of model customization".
_METRICS = "training_artifacts/step_wise_training_metrics.csv"
_STEPS = ("validationDetails", "dataProcessingDetails", "trainingDetails")

Training: TypeAlias = str | Path | TrainingData | CheckedTrainingData


@dataclass(frozen=True, slots=True)
class CustomisationProgress:
    """How a customisation stands.

    Attributes:
        status: ``"InProgress"``, ``"Completed"``, ``"Failed"``, ``"Stopping"`` or ``"Stopped"``.
        steps: State of ``validation``, ``dataProcessing`` and ``training``.
        training_loss: Of the whole training, once Bedrock tells it.
        validation_losses: One for each file of validation data.
        model_arn: The model that was made, once it is.
        message: Why it failed.
        seconds: Waited so far.
    """

    status: str
    steps: Mapping[str, str] = field(default_factory=dict)
    training_loss: float | None = None
    validation_losses: tuple[float, ...] = ()
    model_arn: str | None = None
    message: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class CustomModel:
    """A model that a customisation made; `deploy` or `provision` makes it callable.

    Attributes:
        arn: Its ARN.
        name: Its name.
        base_model: What it was made from.
        prompt_format: The generation whose prompt text it reads.
        job_arn: Of the job that made it.
        training_loss: Of the whole training.
        validation_losses: One for each file of validation data.
    """

    arn: str
    name: str
    base_model: str
    prompt_format: PromptFormat
    job_arn: str
    training_loss: float | None = None
    validation_losses: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingStep:
    """The loss after a step of training.

    Attributes:
        epoch: Number of the epoch.
        step: Number of the step.
        loss: The loss.
    """

    epoch: int
    step: int
    loss: float


@refuses_wrong_kinds_in_methods()
class CustomisationJob:
    """A customisation that was started, here or elsewhere.

    Args:
        arn: ARN or name of the job.
        plane: How to reach Bedrock; or settings of `ControlPlane`.
    """

    def __init__(self, arn: str, plane: ControlPlane | None = None, **connection: Any) -> None:
        self.arn = arn
        self._plane = plane or ControlPlane(**connection)

    def status(self) -> CustomisationProgress:
        """How it stands.

        Raises:
            LlamaBedrockError: The call failed, after retries where they make sense.
        """
        return self._plane.run(self._status())

    async def astatus(self) -> CustomisationProgress:
        """`status` without blocking the event loop."""
        return await self._plane.arun(self._status())

    def stop(self) -> None:
        """Have Bedrock stop it; what was trained is lost."""
        self._plane.run(self._stop())

    async def astop(self) -> None:
        """`stop` without blocking the event loop."""
        await self._plane.arun(self._stop())

    def result(
        self, *, seconds: float | None = None, progress: Callable[[CustomisationProgress], None] | None = None
    ) -> CustomModel:
        """Wait until it has ended; return the model.

        Args:
            seconds: How long to wait; None for as long as it takes.
            progress: Called each time Bedrock is asked.

        Raises:
            JobFailedError: It failed or was stopped; the message is Bedrock's own.
            BedrockTimeoutError: The time is over; the job goes on.
        """
        return self._plane.run(self._result(seconds, progress))

    async def aresult(
        self, *, seconds: float | None = None, progress: Callable[[CustomisationProgress], None] | None = None
    ) -> CustomModel:
        """`result` without blocking the event loop."""
        return await self._plane.arun(self._result(seconds, progress))

    def losses(self) -> list[TrainingStep]:
        """The losses of each step, from the metrics that Bedrock writes to S3; empty before it has.

        Raises:
            LlamaBedrockError: A call failed, after retries where they make sense.
        """
        return self._plane.run(self._losses())

    async def alosses(self) -> list[TrainingStep]:
        """`losses` without blocking the event loop."""
        return await self._plane.arun(self._losses())

    def _losses(self) -> Steps[list[TrainingStep]]:
        job = yield control_request("get_model_customization_job", jobIdentifier=self.arn)
        bucket, prefix = split_uri(job["outputDataConfig"]["s3Uri"])
        name = f"model-customization-job-{job['jobArn'].rpartition('/')[2]}/{_METRICS}"
        key = f"{prefix}/{name}" if prefix else name
        try:
            data: bytes = yield Work(lambda _: read_object(self._plane.s3(), bucket, key))
        except BedrockNotFoundError:
            return []
        rows = csv.DictReader(io.StringIO(data.decode("utf-8-sig")))
        return [
            TrainingStep(int(row["epoch_number"]), int(row["step_number"]), float(row["training_loss"]))
            for row in rows
        ]

    def _status(self) -> Steps[CustomisationProgress]:
        return _read((yield control_request("get_model_customization_job", jobIdentifier=self.arn)), 0.0)

    def _stop(self) -> Steps[None]:
        yield control_request("stop_model_customization_job", jobIdentifier=self.arn)

    def _result(
        self, seconds: float | None, progress: Callable[[CustomisationProgress], None] | None
    ) -> Steps[CustomModel]:
        def tell(state: dict[str, Any], waited: float) -> None:
            if progress is not None:
                progress(_read(state, waited))

        request = control_request("get_model_customization_job", jobIdentifier=self.arn)
        job = yield from wait_until(request, lambda s: s["status"] in _ENDED, seconds=seconds, tell=tell)
        if job["status"] != "Completed":
            raise failed(f"the customisation {job['jobName']!r}", job)
        found, base = _read(job, 0.0), base_of(job["baseModelArn"])
        return CustomModel(
            arn=job["outputModelArn"],
            name=job["outputModelName"],
            base_model=base.model_id,
            prompt_format=base.generation,
            job_arn=job["jobArn"],
            training_loss=found.training_loss,
            validation_losses=found.validation_losses,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomisationOptions:
    """What can be said of a customisation.

    Args:
        s3_uri: Where training data of this machine is uploaded to. Default: ``training`` below `output_uri`.
        validation: Data that is not trained with, as `training`.
        hyperparameters: ``epochCount``, ``batchSize`` and ``learningRate``, as numbers or texts.
        tags: Tags of the model.
        kms_key_id: Key that Bedrock encrypts the model with.
        vpc_config: ``{"subnetIds": […], "securityGroupIds": […]}`` of the job.
    """

    s3_uri: str | None = None
    validation: Training | None = None
    hyperparameters: Mapping[str, Any] | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key_id: str | None = None
    vpc_config: Mapping[str, Any] | None = None


@refuses_wrong_kinds
@dataclass(frozen=True, slots=True)
class InvocationLogs:
    """Prompts that the account has sent, out of Bedrock's invocation logs, to distil from.

    Args:
        s3_uri: Where the logs are.
        request_metadata: Take only calls with all of these; what `ChatLlamaBedrock(request_metadata=…)` sent.
        use_responses: Train with the answers in the logs, instead of asking the teacher again.
    """

    s3_uri: str
    request_metadata: Mapping[str, str] = field(default_factory=dict)
    use_responses: bool = False

    def config(self) -> dict[str, Any]:
        """As the API takes it.

        Raises:
            ValueError: The address is none, or there are more than 16 conditions.
        """
        split_uri(self.s3_uri)
        conditions = [{"equals": {key: value}} for key, value in self.request_metadata.items()]
        if len(conditions) > 16:
            raise ValueError(f"{len(conditions)} conditions on request metadata: Bedrock takes up to 16")
        filters: dict[str, Any] = {}
        if conditions:
            filters["requestMetadataFilters"] = (
                conditions[0] if len(conditions) == 1 else {"andAll": conditions}
            )
        source = {"invocationLogSource": {"s3Uri": self.s3_uri}}
        return {"invocationLogsConfig": {**source, "usePromptResponse": self.use_responses, **filters}}


@refuses_wrong_kinds
def customise(
    base_model: str,
    name: str,
    training: Training,
    role_arn: str,
    output_uri: str,
    *,
    seconds: float | None = None,
    progress: Callable[[CustomisationProgress], None] | None = None,
    **options: Any,
) -> CustomModel:
    """Fine-tune a model and wait for it; `start_customisation` does not wait.

    Args:
        base_model: The model to train.
        name: Name of the new model.
        training: `TrainingData`, the path of JSON lines, or their address in S3. What is here is checked and
            uploaded.
        role_arn: The role with which Bedrock reads and writes S3.
        output_uri: ``s3://bucket/prefix`` where Bedrock writes its metrics.
        seconds: How long to wait; None for as long as it takes.
        progress: Called each time Bedrock is asked.
        options: Those of `CustomisationOptions`, and the settings of `ControlPlane`.

    Raises:
        ValueError: The model takes no new jobs, or data or an argument would make the job fail; nothing was
            uploaded then.
        JobFailedError: The job failed or was stopped.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    job = start_customisation(base_model, name, training, role_arn, output_uri, **options)
    return job.result(seconds=seconds, progress=progress)


@refuses_wrong_kinds
async def acustomise(
    base_model: str,
    name: str,
    training: Training,
    role_arn: str,
    output_uri: str,
    *,
    seconds: float | None = None,
    progress: Callable[[CustomisationProgress], None] | None = None,
    **options: Any,
) -> CustomModel:
    """`customise` without blocking the event loop. Cancelled, it no longer waits; the job goes on."""
    job = await astart_customisation(base_model, name, training, role_arn, output_uri, **options)
    return await job.aresult(seconds=seconds, progress=progress)


@refuses_wrong_kinds
def start_customisation(
    base_model: str, name: str, training: Training, role_arn: str, output_uri: str, **options: Any
) -> CustomisationJob:
    """Check and upload the data and start a fine-tuning job; arguments as for `customise`."""
    start, plane = _prepare(base_model, name, training, role_arn, output_uri, options)
    return CustomisationJob(plane.run(start.steps(plane, {"customizationType": "FINE_TUNING"})), plane)


@refuses_wrong_kinds
async def astart_customisation(
    base_model: str, name: str, training: Training, role_arn: str, output_uri: str, **options: Any
) -> CustomisationJob:
    """`start_customisation` without blocking the event loop."""
    start, plane = _prepare(base_model, name, training, role_arn, output_uri, options)
    return CustomisationJob(await plane.arun(start.steps(plane, {"customizationType": "FINE_TUNING"})), plane)


@refuses_wrong_kinds
def start_distillation(
    student: str,
    teacher: str,
    name: str,
    prompts: Training | InvocationLogs,
    role_arn: str,
    output_uri: str,
    *,
    max_response_tokens: int | None = None,
    **options: Any,
) -> CustomisationJob:
    """Start a job that has a larger model teach a smaller one.

    Args:
        student: The model to train.
        teacher: The model that answers the prompts.
        name: Name of the new model.
        prompts: `InvocationLogs` of real traffic, or data as for `customise`, where answers may be missing.
        role_arn: The role with which Bedrock reads and writes S3.
        output_uri: ``s3://bucket/prefix`` where Bedrock writes its metrics.
        max_response_tokens: Most tokens of an answer of the teacher.
        options: Those of `CustomisationOptions`, and the settings of `ControlPlane`.

    Raises:
        ValueError: Bedrock does not distil from this teacher to this student, or as for `customise`.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    start, plane = _prepare(student, name, prompts, role_arn, output_uri, options)
    return CustomisationJob(
        plane.run(start.steps(plane, start.taught_by(teacher, max_response_tokens))), plane
    )


@refuses_wrong_kinds
async def astart_distillation(
    student: str,
    teacher: str,
    name: str,
    prompts: Training | InvocationLogs,
    role_arn: str,
    output_uri: str,
    *,
    max_response_tokens: int | None = None,
    **options: Any,
) -> CustomisationJob:
    """`start_distillation` without blocking the event loop."""
    start, plane = _prepare(student, name, prompts, role_arn, output_uri, options)
    steps = start.steps(plane, start.taught_by(teacher, max_response_tokens))
    return CustomisationJob(await plane.arun(steps), plane)


@dataclass(frozen=True, slots=True)
class _Start:
    """Everything that a job is started with, checked as far as that needs no call."""

    base: ModelInfo
    name: str
    training: Training | InvocationLogs
    role_arn: str
    output_uri: str
    options: CustomisationOptions

    def taught_by(self, teacher: str, max_tokens: int | None) -> dict[str, Any]:
        """The part of a request that makes it a distillation."""
        named = teacher.rpartition("/")[2]
        if not any(named in (known, f"us.{known}") for known in self.base.distillation_teachers):
            known = ", ".join(self.base.distillation_teachers) or "none"
            raise ValueError(
                f"Bedrock distils no {teacher!r} into {self.base.model_id}; its teachers are {known}"
            )
        length = {} if max_tokens is None else {"maxResponseLengthForInference": max_tokens}
        config = {"teacherModelConfig": {"teacherModelIdentifier": teacher, **length}}
        return {"customizationType": "DISTILLATION", "customizationConfig": {"distillationConfig": config}}

    def _check(self, data: Training, prompts_only: bool) -> Work:
        return Work(lambda _: _checked(data, self.base, prompts_only))

    def steps(self, plane: ControlPlane, kind: Mapping[str, Any]) -> Steps[str]:
        """Check, upload, start; returns the ARN of the job."""
        region, known = plane.region, self.base.fine_tuning_regions
        if region not in known:
            raise ValueError(f"{self.base.model_id} is customised in {', '.join(known)}, not in {region}")
        yield from refuse_closed(self.base, f"the customisation of {self.base.model_id}")
        distils = kind["customizationType"] == "DISTILLATION"
        for data in (self.training, self.options.validation):  # all of it before any of it is uploaded
            if not isinstance(data, (InvocationLogs, type(None))):
                yield self._check(data, distils)
        if isinstance(self.training, InvocationLogs):
            source = self.training.config()
        else:
            source = {"s3Uri": (yield self._upload(self.training, "train", plane, distils))}
        more: dict[str, Any] = {}
        if self.options.validation is not None:
            uri = yield self._upload(self.options.validation, "validation", plane, distils)
            more["validationDataConfig"] = {"validators": [{"s3Uri": uri}]}
        started = yield control_request(
            "create_model_customization_job",
            jobName=job_name(self.name),
            customModelName=self.name,
            roleArn=self.role_arn,
            baseModelIdentifier=self.base.fine_tuning_id,
            trainingDataConfig=source,
            outputDataConfig={"s3Uri": self.output_uri},
            hyperParameters=check_hyperparameters(self.options.hyperparameters) or None,
            customModelTags=tag_list({FORMAT_TAG: self.base.generation, **self.options.tags}),
            customModelKmsKeyId=self.options.kms_key_id,
            vpcConfig=self.options.vpc_config,
            **kind,
            **more,
        )
        return str(started["jobArn"])

    def _upload(self, data: Training, name: str, plane: ControlPlane, prompts_only: bool) -> Work:
        def run(stop: Event) -> str:
            if isinstance(data, str) and data.startswith("s3:"):
                return data
            checked = _checked(data, self.base, prompts_only)
            assert checked is not None
            with tempfile.TemporaryDirectory() as folder:
                path = checked.write(Path(folder) / "data.jsonl")
                place = (self.options.s3_uri or f"{self.output_uri.rstrip('/')}/training").rstrip("/")
                upload_files(plane.s3(), {f"{self.name}-{name}.jsonl": path}, place, stop=stop)
            return f"{place}/{self.name}-{name}.jsonl"

        return Work(run)


def _prepare(
    base_model: str,
    name: str,
    training: Training | InvocationLogs,
    role_arn: str,
    output_uri: str,
    options: Mapping[str, Any],
) -> tuple[_Start, ControlPlane]:
    own = {key: value for key, value in options.items() if key in CustomisationOptions.__dataclass_fields__}
    plane = ControlPlane(**{key: value for key, value in options.items() if key not in own})
    chosen = CustomisationOptions(**own)
    check_hyperparameters(chosen.hyperparameters)
    tag_list(chosen.tags)
    for uri in (output_uri, chosen.s3_uri, training):
        if isinstance(uri, str) and (uri is not training or uri.startswith("s3:")):
            split_uri(uri)
    if isinstance(training, InvocationLogs):
        training.config()
    base = base_of(base_model)
    start = _Start(base, check_name("name", name), training, check_role(role_arn), output_uri, chosen)
    return start, plane


def _checked(data: Training, base: ModelInfo, prompts_only: bool) -> CheckedTrainingData | None:
    """Data of this machine, checked for the base model; None for what is in S3 already."""
    if isinstance(data, (str, Path)):
        if str(data).startswith("s3:"):
            return None
        data = TrainingData.from_jsonl(data)
    checked = (
        data
        if isinstance(data, CheckedTrainingData)
        else data.check(base.model_id, prompts_only=prompts_only)
    )
    if checked.base is not base:
        raise ValueError(f"the data were checked for {checked.base.model_id}, not for {base.model_id}")
    checked.raise_for_errors()
    return checked


def _read(job: Mapping[str, Any], seconds: float) -> CustomisationProgress:
    details = job.get("statusDetails") or {}
    return CustomisationProgress(
        status=job["status"],
        steps={name.removesuffix("Details"): details[name]["status"] for name in _STEPS if details.get(name)},
        training_loss=(job.get("trainingMetrics") or {}).get("trainingLoss"),
        validation_losses=tuple(item["validationLoss"] for item in job.get("validationMetrics") or ()),
        model_arn=job.get("outputModelArn"),
        message=job.get("failureMessage") or "",
        seconds=seconds,
    )
