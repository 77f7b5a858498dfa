"""Model customisation: jobs that read and check training data, write metrics, and give a custom model.

Nothing is trained: the losses are a curve of the number of steps, and the custom model answers with the
endpoint's engine.
"""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from llama_bedrock.catalog import CATALOG, ModelInfo
from llama_bedrock.local.control_plane.foundation_models import find_details
from llama_bedrock.local.control_plane.job_errors import JobFailed
from llama_bedrock.local.control_plane.model_imports import kms_arn
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import Record
from llama_bedrock.local.control_plane.storage import JobStorage, join_uri
from llama_bedrock.local.runtime.frames import invalid
from llama_bedrock.usage import estimate_tokens

JOB = "model-customization-job"
_MOST_RECORDS = 10_000  # user guide, "Prepare data for fine-tuning": training and validation together
_MOST_TOKENS = 16_000  # of one sample
_ENDED = frozenset({"Completed", "Failed", "Stopped"})

# User guide, "Meta Llama … model customization hyperparameters": least, most, default.
_HYPERPARAMETERS: Mapping[str, tuple[float, float, str]] = {
    "epochCount": (1, 10, "5"),
    "batchSize": (1, 1, "1"),
    "learningRate": (5e-6, 0.1, "0.0001"),
}


def create_model_customization_job(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateModelCustomizationJob``."""
    params, plane = request.params, request.plane
    request.check_role(params["roleArn"])
    kind = params.get("customizationType", "FINE_TUNING")
    base, info = _base_model(request, kind)
    _check_source(request, info, kind)
    hyperparameters = _hyperparameters(params.get("hyperParameters") or {})
    request.check_free(JOB, params["jobName"])
    request.check_free("custom-model", params["customModelName"])
    now = plane.now()
    members = {
        **request.given(
            "jobName", "roleArn", "clientRequestToken", "trainingDataConfig", "outputDataConfig", "vpcConfig",
            "customizationConfig",
        ),
        "outputModelName": params["customModelName"],
        "customModelName": params["customModelName"],
        "baseModelArn": base["modelArn"],
        "customizationType": kind,
        "hyperParameters": hyperparameters,
        "validationDataConfig": params.get("validationDataConfig") or {"validators": []},
        "outputModelKmsKeyArn": kms_arn(request, "customModelKmsKeyId"),
        "status": "InProgress",
        "statusDetails": {
            "validationDetails": {"status": "InProgress", "creationTime": now, "lastModifiedTime": now},
            "dataProcessingDetails": {"status": "NotStarted"},
            "trainingDetails": {"status": "NotStarted"},
        },
    }  # fmt: skip
    tags = params.get("jobTags", ())
    record = request.create(JOB, params["jobName"], members, resource=base["modelId"], tags=tags)
    record.hidden["tags"] = params.get("customModelTags", [])
    plane.store.save(record)
    plane.run(record)
    return record.data


def stop_model_customization_job(request: PlaneRequest) -> None:
    """Serve ``StopModelCustomizationJob``."""
    request.stop_job(JOB, _ENDED)


def _base_model(request: PlaneRequest, kind: str) -> tuple[dict[str, Any], ModelInfo]:
    """What is customised.

    Raises:
        ServiceError: It cannot be, not in that way, or no longer.
    """
    identifier = request.params["baseModelIdentifier"]
    earlier = request.plane.store.find("custom-model", request.region, identifier)
    details = find_details(request, identifier if earlier is None else earlier.data["baseModelArn"])
    info = CATALOG.get(details["modelId"].removesuffix(":128k"))
    if info is not None and info.fine_tuning_id and details["modelId"] == info.model_id:
        details = find_details(request, info.fine_tuning_id)
    if info is None or kind not in details["customizationsSupported"]:
        raise invalid(f"The model {details['modelId']} does not support {kind} in {request.region}.")
    if details["modelLifecycle"]["status"] == "LEGACY":
        raise invalid(f"The model {details['modelId']} is Legacy: it takes no new customization jobs.")
    return details, info


def _check_source(request: PlaneRequest, info: ModelInfo, kind: str) -> None:
    """Nothing, if the training data and the teacher fit the kind of customisation."""
    params = request.params
    source = params["trainingDataConfig"]
    if ("s3Uri" in source) == ("invocationLogsConfig" in source):
        raise invalid("trainingDataConfig must have either s3Uri or invocationLogsConfig.")
    teacher = (
        (params.get("customizationConfig") or {}).get("distillationConfig", {}).get("teacherModelConfig")
    )
    if kind != "DISTILLATION":
        if teacher is not None or "invocationLogsConfig" in source:
            raise invalid("A teacher and invocation logs belong to customizationType DISTILLATION.")
        return
    if teacher is None:
        raise invalid("customizationConfig.distillationConfig must name the teacher.")
    name = teacher["teacherModelIdentifier"].rpartition("/")[2]
    base = name if name in CATALOG else name.partition(".")[2]
    if base not in info.distillation_teachers:
        raise invalid(
            f"{name} cannot teach {info.model_id}; its teachers are {', '.join(info.distillation_teachers)}."
        )


def _hyperparameters(given: Mapping[str, str]) -> dict[str, str]:
    """All of them, with their defaults.

    Raises:
        ServiceError: One is unknown or out of range.
    """
    for name, text in given.items():
        if name not in _HYPERPARAMETERS:
            raise invalid(f"Invalid hyperparameter {name}; this model has {', '.join(_HYPERPARAMETERS)}.")
        least, most, _ = _HYPERPARAMETERS[name]
        try:
            value = float(text) if name == "learningRate" else int(text)
        except ValueError:
            raise invalid(f"The hyperparameter {name} must be a number, not {text!r}.") from None
        if not least <= value <= most:
            raise invalid(f"The hyperparameter {name} must be between {least:g} and {most:g}, not {text}.")
    return {name: given.get(name, default) for name, (_, _, default) in _HYPERPARAMETERS.items()}


async def run_customization(plane: LocalPlane, job: Record) -> None:
    """Run a job from validation to the custom model.

    Raises:
        JobFailed: Its data cannot be used.
        JobStopped: It was asked to stop.
    """
    storage = plane.storage(job.region)
    await plane.pause(job)
    try:
        training, validation = await plane.in_thread(_count_records, job, storage)
    except JobFailed:
        _phase(plane, job, "validationDetails", "Failed")
        raise
    _phase(plane, job, "validationDetails", "Completed")
    for phase in ("dataProcessingDetails", "trainingDetails"):
        _phase(plane, job, phase, "InProgress")
        await plane.pause(job)
        _phase(plane, job, phase, "Completed")
    epochs = int(job.data["hyperParameters"]["epochCount"])
    losses = [_loss(step) for step in range(1, training * epochs + 1)]
    await plane.in_thread(_write_metrics, job, storage, losses, training, validation)
    metrics = {
        "trainingMetrics": {"trainingLoss": losses[-1]},
        "validationMetrics": [{"validationLoss": round(losses[-1] * 1.1, 6)} for _ in validation],
    }
    model = _make_model(plane, job, metrics)
    plane.change(
        job,
        status="Completed",
        endTime=plane.now(),
        outputModelArn=model.arn,
        customModelArn=model.arn,
        **metrics,
    )


def _make_model(plane: LocalPlane, job: Record, metrics: Mapping[str, Any]) -> Record:
    base = job.data["baseModelArn"].rpartition("/")[2]
    names = (
        "baseModelArn", "customizationType", "hyperParameters", "trainingDataConfig", "validationDataConfig",
        "outputDataConfig", "customizationConfig",
    )  # fmt: skip
    members = {
        **{name: job.data[name] for name in names if name in job.data},
        "modelName": job.data["outputModelName"],
        "jobName": job.name,
        "jobArn": job.arn,
        "baseModelName": base.partition(":")[0],
        "foundationModelArn": job.data["baseModelArn"],
        "modelKmsKeyArn": job.data.get("outputModelKmsKeyArn"),
        "modelStatus": "Active",
        "ownerAccountId": plane.account.account_id,
        **metrics,
    }
    name = members["modelName"]
    made = plane.make("custom-model", name, members, region=job.region, arn_member="modelArn", resource=base)
    made.tags = {tag["key"]: tag["value"] for tag in job.hidden.get("tags", ())}
    plane.store.save(made)
    return made


def _phase(plane: LocalPlane, job: Record, phase: str, status: str) -> None:
    """Set the status of one phase of a job."""
    details, now = dict(job.data["statusDetails"]), plane.now()
    details[phase] = {"creationTime": now, **details[phase], "status": status, "lastModifiedTime": now}
    plane.change(job, statusDetails=details)


def _count_records(job: Record, storage: JobStorage) -> tuple[int, list[int]]:
    """The number of samples to train with, and of each validation set, all of them checked."""
    name = job.data["baseModelArn"].rpartition("/")[2].removesuffix(":128k")
    info = CATALOG[name]
    source = job.data["trainingDataConfig"]
    if "invocationLogsConfig" in source:
        training = _count_logs(storage, source["invocationLogsConfig"])
    else:
        training = _count_samples(storage, source["s3Uri"], info, job.data["customizationType"])
    validation = [
        _count_samples(storage, validator["s3Uri"], info, "FINE_TUNING")
        for validator in job.data["validationDataConfig"]["validators"]
    ]
    if training + sum(validation) > _MOST_RECORDS:
        raise JobFailed(
            f"The data has {training + sum(validation)} records; at most {_MOST_RECORDS} are allowed."
        )
    return training, validation


def _count_samples(storage: JobStorage, uri: str, info: ModelInfo, kind: str) -> int:
    count = 0
    for count, line in enumerate(storage.lines(uri), 1):
        wrong = _what_is_wrong(line, info, kind)
        if wrong:
            raise JobFailed(f"Invalid training data: line {count} of {uri}: {wrong}.")
    if not count:
        raise JobFailed(f"Invalid training data: {uri} has no records.")
    return count


def _what_is_wrong(line: bytes, info: ModelInfo, kind: str) -> str | None:
    """Why a line is no sample for a model; None if it is one."""
    try:
        sample = json.loads(line)
    except (ValueError, RecursionError):
        return "it is not valid JSON"
    if not isinstance(sample, dict):
        return "it is not a JSON object"
    if info.fine_tuning_format != "bedrock-conversation-2024" and kind != "DISTILLATION":
        wrong = next((k for k in ("prompt", "completion") if not isinstance(sample.get(k), str)), None)
        texts = [str(sample.get(key, "")) for key in ("prompt", "completion")]
        if wrong is None and estimate_tokens("".join(texts)) > _MOST_TOKENS:
            return f"it has more than {_MOST_TOKENS} tokens"
        return None if wrong is None else f"{wrong} is missing or is not a string"
    if sample.get("schemaVersion") != "bedrock-conversation-2024":
        return 'schemaVersion must be "bedrock-conversation-2024"'
    messages = sample.get("messages")
    if not isinstance(messages, list) or not messages:
        return "messages is missing or empty"
    for number, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") != ("user", "assistant")[number % 2]:
            return f"messages[{number}] must have the role {('user', 'assistant')[number % 2]}"
        content = message.get("content")
        if not isinstance(content, list) or not content or not all(isinstance(b, dict) for b in content):
            return f"messages[{number}].content must be a list of blocks"
    if kind != "DISTILLATION" and messages[-1]["role"] != "assistant":
        return "the last message must be the assistant's"
    return (
        f"it has more than {_MOST_TOKENS} tokens" if estimate_tokens(line.decode()) > _MOST_TOKENS else None
    )


def _count_logs(storage: JobStorage, config: Mapping[str, Any]) -> int:
    """The invocations in logs that pass the filters."""
    uri, filters = config["invocationLogSource"]["s3Uri"], config.get("requestMetadataFilters") or {}
    files = [name for name, _ in storage.objects(uri) if name.endswith(".json.gz") and "/data/" not in name]
    count = sum(
        _passes(record.get("requestMetadata") or {}, filters) and "errorCode" not in record
        for name in files
        for record in _logged(storage, name)
    )
    if not count:
        raise JobFailed(f"No invocation logs at {uri} pass the filters.")
    return count


def _logged(storage: JobStorage, uri: str) -> Iterator[dict[str, Any]]:
    for line in gzip.decompress(storage.read(uri)).splitlines():
        record = json.loads(line)
        if record.get("schemaType") == "ModelInvocationLog":
            yield record


def _passes(metadata: Mapping[str, str], filters: Mapping[str, Any]) -> bool:
    """True if the metadata of a request pass the filters of a distillation."""
    results = []
    for name, value in filters.items():
        if name == "equals":
            results.append(all(metadata.get(key) == item for key, item in value.items()))
        elif name == "notEquals":
            results.append(all(metadata.get(key) != item for key, item in value.items()))
        else:
            joined = all if name == "andAll" else any
            results.append(joined(_passes(metadata, one) for one in value))
    return all(results)


def _loss(step: int) -> float:
    return round(0.4 + 1.6 * math.exp(-step / 200), 6)


def _write_metrics(
    job: Record, storage: JobStorage, losses: list[float], per_epoch: int, validation: list[int]
) -> None:
    """The files that Bedrock writes (user guide, "Analyze the results of a model customization job")."""
    folder = join_uri(job.data["outputDataConfig"]["s3Uri"], f"{JOB}-{job.id}")
    rows = [
        f"{step},{(step - 1) // per_epoch},{loss},{round(math.exp(loss), 6)}"
        for step, loss in enumerate(losses, 1)
    ]
    head = "step_number,epoch_number,training_loss,perplexity"
    path = join_uri(folder, "training_artifacts", "step_wise_training_metrics.csv")
    storage.write(path, "\n".join([head, *rows, ""]).encode())
    if validation:
        final = round(losses[-1] * 1.1, 6)
        epoch = (len(losses) - 1) // per_epoch
        text = (
            "step_number,epoch_number,validation_loss,validation_perplexity\n"
            f"{len(losses)},{epoch},{final},{round(math.exp(final), 6)}\n"
        )
        where = (
            "validation_artifacts",
            "post_fine_tuning_validation",
            "validation",
            "validation_metrics.csv",
        )
        storage.write(join_uri(folder, *where), text.encode())
