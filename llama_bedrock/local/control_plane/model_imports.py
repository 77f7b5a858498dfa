"""Custom Model Import: jobs that read a model's files, the models they give, and copies of models."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from llama_bedrock.local.control_plane.job_errors import JobFailed
from llama_bedrock.local.control_plane.plane import LocalPlane, PlaneRequest
from llama_bedrock.local.control_plane.records import Record, not_found
from llama_bedrock.local.control_plane.service_quotas import IMPORTED_MODELS
from llama_bedrock.local.control_plane.storage import JobStorage
from llama_bedrock.local.runtime.frames import ServiceError

JOB = "model-import-job"
MODEL = "imported-model"

# User guide, "Import a customized model into Amazon Bedrock"; the names are those of config.json.
_ARCHITECTURES = frozenset(
    {
        "GPTBigCodeForCausalLM",
        "GptOssForCausalLM",
        "Llama4ForConditionalGeneration",
        "LlamaForCausalLM",
        "MistralForCausalLM",
        "MixtralForCausalLM",
        "MllamaForConditionalGeneration",
        "Qwen2ForCausalLM",
        "Qwen2VLForConditionalGeneration",
        "Qwen2_5_VLForConditionalGeneration",
        "Qwen3ForCausalLM",
        "Qwen3MoeForCausalLM",
        "T5ForConditionalGeneration",
    }
)
_DTYPES = frozenset({"BF16", "F16", "F32"})
_HEADER_BYTES = 100_000_000  # the safetensors format's own limit
_SMALL_MODEL_BYTES = 20 << 30  # Llama 3.1 8B takes 2 units, 70B takes 8 (user guide, "Calculate the cost")


def create_model_import_job(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateModelImportJob``."""
    params, plane = request.params, request.plane
    request.check_role(params["roleArn"])
    request.check_free(JOB, params["jobName"])
    request.check_free(MODEL, params["importedModelName"])
    most = request.limit(IMPORTED_MODELS)
    if most is not None and len(plane.store.all(MODEL, request.region)) >= most:
        raise ServiceError(
            "ServiceQuotaExceededException",
            f"The account has reached its quota of {most:g} imported models.",
            details={"resourceName": IMPORTED_MODELS},
        )
    members = request.given("jobName", "importedModelName", "roleArn", "modelDataSource", "vpcConfig")
    members |= {"status": "InProgress", "importedModelKmsKeyArn": kms_arn(request, "importedModelKmsKeyId")}
    record = request.create(JOB, params["jobName"], members, tags=params.get("jobTags", ()))
    record.hidden["tags"] = params.get("importedModelTags", [])
    plane.store.save(record)
    plane.run(record)
    return record.data


def delete_imported_model(request: PlaneRequest) -> None:
    """Serve ``DeleteImportedModel``."""
    request.plane.store.delete(request.find(MODEL, request.params["modelIdentifier"]))


async def run_import(plane: LocalPlane, job: Record) -> None:
    """Read and check the files of a model, and make the imported model of them.

    Raises:
        JobFailed: The files are no model that can be imported.
    """
    await plane.pause(job)
    uri = job.data["modelDataSource"]["s3DataSource"]["s3Uri"]
    found = await plane.in_thread(_read_model, plane.storage(job.region), uri)
    members = {
        "modelName": job.data["importedModelName"],
        "jobName": job.name,
        "jobArn": job.arn,
        "modelDataSource": job.data["modelDataSource"],
        "modelKmsKeyArn": job.data.get("importedModelKmsKeyArn"),
        **found,
    }
    model = plane.make(MODEL, members["modelName"], members, region=job.region, arn_member="modelArn")
    model.tags = {tag["key"]: tag["value"] for tag in job.hidden.get("tags", ())}
    plane.store.save(model)
    plane.change(job, status="Completed", importedModelArn=model.arn, endTime=plane.now())


def _read_model(storage: JobStorage, uri: str) -> dict[str, Any]:
    """What GetImportedModel says of the files under a URI."""
    sizes = {name.rpartition("/")[2]: (name, size) for name, size in storage.objects(uri)}
    if not sizes:
        raise JobFailed(f"No files were found at {uri}.")
    missing = [name for name in ("config.json", "tokenizer_config.json") if name not in sizes]
    if not {"tokenizer.json", "tokenizer.model"} & set(sizes):
        missing.append("tokenizer.json or tokenizer.model")
    shards = sorted(name for name in sizes if name.endswith(".safetensors"))
    if not shards:
        missing.append("*.safetensors (weights in other formats, such as *.bin, are not imported)")
    if missing:
        raise JobFailed(f"Required files are missing at {uri}: {', '.join(missing)}.")
    config = _read_json(storage, sizes["config.json"][0])
    architecture = next(iter(config.get("architectures") or ["none"]))
    if architecture not in _ARCHITECTURES:
        raise JobFailed(f"The model architecture {architecture} is not supported by Custom Model Import.")
    if "model.safetensors.index.json" in sizes:
        index = _read_json(storage, sizes["model.safetensors.index.json"][0])
        absent = sorted(set(index.get("weight_map", {}).values()) - set(shards))
        if absent:
            raise JobFailed(f"The index of the weights names files that are missing: {', '.join(absent)}.")
    for name in shards:
        _check_shard(storage, *sizes[name])
    tokenizer = _read_json(storage, sizes["tokenizer_config.json"][0])
    total = sum(sizes[name][1] for name in shards)
    return {
        "modelArchitecture": architecture,
        "instructSupported": "chat_template" in tokenizer or "chat_template.jinja" in sizes,
        "customModelUnits": {
            "customModelUnitsPerModelCopy": 2 if total <= _SMALL_MODEL_BYTES else 8,
            "customModelUnitsVersion": "v1.0",
        },
    }


def _read_json(storage: JobStorage, uri: str) -> Mapping[str, Any]:
    try:
        found = json.loads(storage.read(uri))
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise JobFailed(f"{uri} is not a JSON object.")
    return found


def _check_shard(storage: JobStorage, uri: str, size: int) -> None:
    """Read the header of a safetensors file and compare it with the file's size.

    Raises:
        JobFailed: It is damaged, or of a type that is not imported.
    """
    length = int.from_bytes(storage.read(uri, 0, 7), "little") if size > 8 else 0
    try:
        if not 0 < length <= min(size - 8, _HEADER_BYTES):
            raise ValueError
        header = json.loads(storage.read(uri, 8, 7 + length))
        tensors = [entry for name, entry in header.items() if name != "__metadata__"]
        ends = max((entry["data_offsets"][1] for entry in tensors), default=0)
        if 8 + length + ends != size:
            raise JobFailed(f"{uri} has {size} bytes, its header says {8 + length + ends}.")
        types = sorted({entry["dtype"] for entry in tensors} - _DTYPES)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError):
        raise JobFailed(f"{uri} is not a safetensors file.") from None
    if types:
        raise JobFailed(f"{uri} has weights of type {', '.join(types)}; FP32, FP16 and BF16 are supported.")


def kms_arn(request: PlaneRequest, parameter: str) -> str | None:
    """The ARN of the key that a parameter names, by id, alias or ARN; None without it."""
    key = request.params.get(parameter)
    if key is None or (key.startswith("arn:") and ":key/" in key):
        return key
    # An alias stands for a key whose id only KMS knows.
    unique = key if len(key) == 36 and "/" not in key else "00000000-0000-0000-0000-000000000000"
    return f"arn:aws:kms:{request.region}:{request.plane.account.account_id}:key/{unique}"


COPY = "model-copy-job"


def create_model_copy_job(request: PlaneRequest) -> dict[str, Any]:
    """Serve ``CreateModelCopyJob``: called in the target's region, of a custom model."""
    params, plane = request.params, request.plane
    source = plane.store.get(params["sourceModelArn"])
    if source is None or source.kind != "custom-model":
        raise not_found(f"The source model {params['sourceModelArn']} could not be found.")
    name = params["targetModelName"]
    request.check_free("custom-model", name)
    base = source.arn.split("/")[1]
    target = plane.arn(request.region, f"custom-model/{base}/{plane.unique()}")
    members = {
        "status": "InProgress",
        "targetModelArn": target,
        "targetModelName": name,
        "sourceAccountId": source.arn.split(":")[4],
        "sourceModelArn": source.arn,
        "sourceModelName": source.name,
        "targetModelKmsKeyArn": kms_arn(request, "modelKmsKeyId"),
        "targetModelTags": params.get("targetModelTags"),
    }
    record = request.create(COPY, name, members)
    plane.run(record)
    return record.data


async def run_copy(plane: LocalPlane, job: Record) -> None:
    """Make the copy of a model.

    Raises:
        JobFailed: The source is gone.
    """
    await plane.pause(job)
    source = plane.store.get(job.data["sourceModelArn"])
    if source is None:
        raise JobFailed("The source model was deleted.")
    now = plane.now()
    members = {
        **source.data,
        "modelName": job.name,
        "modelArn": job.data["targetModelArn"],
        "creationTime": now,
    }
    tags = {tag["key"]: tag["value"] for tag in job.data.get("targetModelTags", ())}
    copy = Record(
        "custom-model", job.data["targetModelArn"], job.name, now, {**members, "modelStatus": "Active"}, tags
    )
    plane.store.save(copy)
    plane.change(job, status="Completed")
