"""Custom Model Import: from the files of a model to its first answer."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from llama_bedrock.argument_kinds import refuses_wrong_kinds
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
from llama_bedrock.control.model_check import IMPORT_REGIONS, ModelFiles, check_folder
from llama_bedrock.control.model_folder import S3Folder, open_folder, split_uri
from llama_bedrock.control.s3_upload import UploadProgress, upload_files
from llama_bedrock.errors import BedrockNotFoundError
from llama_bedrock.imported_models import FORMAT_TAG, read_tags
from llama_bedrock.prompts.formats import FORMATS, PromptFormat, format_of
from llama_bedrock.transport.steps import Steps, Work

if TYPE_CHECKING:
    from llama_bedrock.chat_model import ChatLlamaBedrock

_TEMPLATE_TAG = "llama-bedrock:chat-template"
_CONTEXT_TAG = "llama-bedrock:context-length"
_READY_SECONDS = 900.0  # AWS says five minutes; the first copy of a large model can take longer
_QUESTION = "Say hello."

ImportPhase: TypeAlias = Literal["check", "upload", "import", "first call"]


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import has come.

    Attributes:
        phase: ``"check"``, ``"upload"``, ``"import"`` (Bedrock's job runs) or ``"first call"``.
        done: Bytes in S3 so far while it uploads.
        total: Bytes of the files.
        status: Of the job, such as ``"InProgress"``; of the upload the file.
        seconds: Spent in Bedrock's job so far.
    """

    phase: ImportPhase
    done: int = 0
    total: int = 0
    status: str = ""
    seconds: float = 0.0


OnProgress: TypeAlias = Callable[[ImportProgress], None]


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model in Custom Model Import.

    Attributes:
        arn: What to call it by.
        name: Its name.
        prompt_format: The generation whose prompt text it reads.
        architecture: What Bedrock took it for.
        instruct_supported: Whether Converse takes it.
        units: Custom model units of a copy, which its price counts; None where Bedrock does not say.
        units_version: Their version, which the price list names.
        source: Where its files are.
        job_arn: Of the job that imported it.
        new: False if it was there already.
        first_answer: What it said when it was first called; None without that call.
        ready_seconds: How long the first call took, with the wake-up.
    """

    arn: str
    name: str
    prompt_format: PromptFormat
    architecture: str = ""
    instruct_supported: bool = False
    units: int | None = None
    units_version: str | None = None
    source: str = ""
    job_arn: str | None = None
    new: bool = True
    first_answer: str | None = None
    ready_seconds: float | None = None
    _plane: ControlPlane | None = field(default=None, repr=False, compare=False)

    def chat_model(self, **settings: Any) -> ChatLlamaBedrock:
        """A chat model that calls it; `settings` are those of `ChatLlamaBedrock`."""
        from llama_bedrock.chat_model import ChatLlamaBedrock

        reach = self._plane.runtime_settings() if self._plane is not None else {}
        own = {"model": self.arn, "prompt_format": self.prompt_format}
        return ChatLlamaBedrock(**{**reach, **own, **settings})


@refuses_wrong_kinds
def import_model(source: str | Path, name: str, role_arn: str, **options: Any) -> ImportedModel:
    """Import a model: check its files, upload them if they are here, run the job, make a first call.

    Example:
        ```text
        model = import_model("my-llama", "my-llama", role_arn, s3_uri="s3://bucket/my-llama")
        model.chat_model().invoke("Hello")
        ```

    What was done stays done: after a crash or a kill the same call goes on with the parts that are not in S3,
    waits for the job that runs, or returns the model that is there.

    Args:
        source: The model's folder, or ``s3://bucket/prefix`` where its files are.
        name: Name of the imported model.
        role_arn: The role with which Bedrock reads the bucket.
        options: Those of `ImportOptions`, and the settings of `ControlPlane`.

    Raises:
        ValueError: A file or an argument would make the import fail, or another model has the name.
        JobFailedError: Bedrock's job failed; the message is Bedrock's own.
        LlamaBedrockError: A call failed, after retries where they make sense.
    """
    plan, plane = _plan(source, name, role_arn, options)
    return plane.run(_import(plan, plane))


@refuses_wrong_kinds
async def aimport_model(source: str | Path, name: str, role_arn: str, **options: Any) -> ImportedModel:
    """`import_model` without blocking the event loop; cancelled, it stops sending, but not Bedrock's job."""
    plan, plane = _plan(source, name, role_arn, options)
    try:
        return await plane.arun(_import(plan, plane))
    finally:
        await plane.aclose()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """What can be said of an import.

    Args:
        s3_uri: Where to upload a folder to; needed for one.
        prompt_format: The generation whose prompts the model reads, where the files do not tell.
        tags: Tags of the imported model, beside those that say its prompt format.
        kms_key_id: Key that Bedrock encrypts the model with.
        vpc_config: ``{"subnetIds": […], "securityGroupIds": […]}`` of the job.
        first_call: Make a first call, which wakes the model up.
        seconds: How long to wait for the job; None for as long as it takes.
        progress: Called with an `ImportProgress` as it goes on.
        part_mb: Megabytes of a part of a large file; a resumed upload must use the same.
    """

    s3_uri: str | None = None
    prompt_format: PromptFormat | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    kms_key_id: str | None = None
    vpc_config: Mapping[str, Any] | None = None
    first_call: bool = True
    seconds: float | None = None
    progress: OnProgress | None = None
    part_mb: int = 32


@dataclass(frozen=True, slots=True)
class _Plan:
    source: str
    name: str
    role_arn: str
    options: ImportOptions

    @property
    def local(self) -> bool:
        return not self.source.startswith("s3:")

    @property
    def uri(self) -> str:
        return (self.options.s3_uri or self.source).rstrip("/")

    def tell(self, phase: ImportPhase, **progress: Any) -> None:
        if self.options.progress is not None:
            self.options.progress(ImportProgress(phase, **progress))


def _plan(
    source: str | Path, name: str, role_arn: str, options: Mapping[str, Any]
) -> tuple[_Plan, ControlPlane]:
    own = {key: value for key, value in options.items() if key in ImportOptions.__dataclass_fields__}
    plane = ControlPlane(**{key: value for key, value in options.items() if key not in own})
    plan = _Plan(str(source), check_name("name", name), check_role(role_arn), ImportOptions(**own))
    if plan.options.prompt_format is not None:
        format_of(plan.options.prompt_format)
    if plan.local and plan.options.s3_uri is None:
        raise ValueError(f"{source} is on this machine: give s3_uri=, where Bedrock is to read it from")
    if not plan.local and plan.options.s3_uri is not None:
        raise ValueError(
            "s3_uri is where a folder is uploaded to, and the model is in S3 already: leave it out"
        )
    split_uri(plan.uri)
    tag_list(plan.options.tags)
    if plane.region not in IMPORT_REGIONS:
        warnings.warn(
            f"Custom Model Import is not in {plane.region} by AWS's list of October 2026; it is in "
            f"{', '.join(IMPORT_REGIONS)}",
            stacklevel=4,
        )
    return plan, plane


def _import(plan: _Plan, plane: ControlPlane) -> Steps[ImportedModel]:
    plan.tell("check")
    files: ModelFiles = yield Work(lambda _: check_folder(open_folder(plan.source, plane.s3)))
    files.raise_for_errors()
    prompt_format = _format(plan, files)
    there = yield from _find(plan)
    sent = yield Work(lambda stop: _upload(plan, plane, files, stop))
    if there is not None and sent:
        raise ValueError(
            f"the files at {plan.uri} have changed since {plan.name!r} was imported from them: import them "
            "under another name, or delete that model first"
        )
    tags = {FORMAT_TAG: prompt_format, _TEMPLATE_TAG: files.template, **plan.options.tags}
    if files.context_length:
        tags[_CONTEXT_TAG] = str(files.context_length)
    job: Mapping[str, Any] = {}
    if there is None:
        job = yield from _run_job(plan, tags)
        there = yield control_request("get_imported_model", modelIdentifier=job["importedModelArn"])
    elif FORMAT_TAG not in (yield from read_tags(there["modelArn"])):
        yield control_request("tag_resource", resourceARN=there["modelArn"], tags=tag_list(tags))
    model = _imported(there, prompt_format, plane, new=bool(job))
    return (yield from _first_call(plan, model)) if plan.options.first_call else model


def _format(plan: _Plan, files: ModelFiles) -> PromptFormat:
    given, found = plan.options.prompt_format, files.prompt_format
    if given is None and found is None:
        said = "\n".join(map(str, files.findings))
        raise ValueError(
            f"the files of {plan.source} do not tell which Llama's prompts it reads: give prompt_format=…, "
            f"one of {', '.join(FORMATS)}" + (f"\n{said}" if said else "")
        )
    if given is not None and found is not None and FORMATS[given].header != FORMATS[found].header:
        raise ValueError(
            f"prompt_format={given!r}, but {plan.source} is a model of {found}, which reads other prompts"
        )
    return given or found or ""


def _find(plan: _Plan) -> Steps[dict[str, Any] | None]:
    """The model of this name, if there is one."""
    try:
        found: dict[str, Any] = yield control_request("get_imported_model", modelIdentifier=plan.name)
    except BedrockNotFoundError:
        return None
    source = found.get("modelDataSource", {}).get("s3DataSource", {}).get("s3Uri", "").rstrip("/")
    if source and source != plan.uri:
        raise ValueError(
            f"{plan.name!r} is the name of a model that was imported from {source}: choose another name, or "
            f"delete it ({found['modelArn']})"
        )
    return found


def _upload(plan: _Plan, plane: ControlPlane, files: ModelFiles, stop: Event) -> int:
    if not plan.local:
        return 0
    s3 = plane.s3()
    others = [
        name
        for name in S3Folder(plan.uri, s3).sizes
        if name.endswith(".safetensors") and name not in files.upload
    ]
    if others:
        raise ValueError(
            f"{plan.uri} holds other weights too, such as {others[0]}: upload to an empty prefix"
        )

    def tell(now: UploadProgress) -> None:
        plan.tell("upload", done=now.done, total=now.total, status=now.file)

    paths = {name: Path(plan.source) / name for name in files.upload}
    part_bytes = plan.options.part_mb * 1024 * 1024
    return upload_files(s3, paths, plan.uri, progress=tell, part_bytes=part_bytes, stop=stop)


def _run_job(plan: _Plan, tags: Mapping[str, str]) -> Steps[dict[str, Any]]:
    def tell(state: Mapping[str, Any], seconds: float) -> None:
        plan.tell("import", status=str(state.get("status")), seconds=seconds)

    return import_job(
        plan.name,
        plan.role_arn,
        f"{plan.uri}/",
        tags,
        seconds=plan.options.seconds,
        tell=tell,
        importedModelKmsKeyId=plan.options.kms_key_id,
        vpcConfig=plan.options.vpc_config,
    )


def import_job(
    name: str,
    role_arn: str,
    uri: str,
    tags: Mapping[str, str],
    *,
    seconds: float | None,
    tell: Callable[[Mapping[str, Any], float], None],
    **more: Any,
) -> Steps[dict[str, Any]]:
    """Run the job that imports a model, or join the one that runs already; wait for its end.

    Args:
        name: Name of the imported model.
        role_arn: The role that reads its files.
        uri: Where they are.
        tags: Tags of the model.
        seconds: How long to wait; None for as long as it takes.
        tell: Called with each state of the job and the seconds waited.
        more: Further arguments of the request.
    """
    listed = yield control_request("list_model_import_jobs", statusEquals="InProgress", maxResults=100)
    summaries = listed.get("modelImportJobSummaries") or ()
    running = [job["jobArn"] for job in summaries if job.get("importedModelName") == name]
    if not running:
        token = job_name(name)
        started = yield control_request(
            "create_model_import_job",
            jobName=token,
            importedModelName=name,
            roleArn=role_arn,
            modelDataSource={"s3DataSource": {"s3Uri": uri}},
            importedModelTags=tag_list(tags),
            clientRequestToken=token,  # a retry of a request that arrived starts no second job
            **more,
        )
        running = [started["jobArn"]]
    request = control_request("get_model_import_job", jobIdentifier=running[0])
    job = yield from wait_until(request, lambda s: s["status"] != "InProgress", seconds=seconds, tell=tell)
    if job["status"] != "Completed":
        hint = "what was uploaded is kept: mend what it says, and call again"
        raise failed(f"the import of {name!r}", job, hint=hint)
    return job


def _imported(
    found: Mapping[str, Any], prompt_format: PromptFormat, plane: ControlPlane, *, new: bool
) -> ImportedModel:
    units = found.get("customModelUnits") or {}
    return ImportedModel(
        arn=found["modelArn"],
        name=found["modelName"],
        prompt_format=prompt_format,
        architecture=found.get("modelArchitecture") or "",
        instruct_supported=bool(found.get("instructSupported")),
        units=units.get("customModelUnitsPerModelCopy"),
        units_version=units.get("customModelUnitsVersion"),
        source=found.get("modelDataSource", {}).get("s3DataSource", {}).get("s3Uri", ""),
        job_arn=found.get("jobArn"),
        new=new,
        _plane=plane,
    )


def _first_call(plan: _Plan, model: ImportedModel) -> Steps[ImportedModel]:
    from dataclasses import replace

    plan.tell("first call")
    llm = model.chat_model(max_tokens=16, model_ready_timeout=_READY_SECONDS)
    started = time.monotonic()
    answer = yield Work(lambda _: llm.invoke(_QUESTION), lambda: _ainvoke(llm))
    return replace(model, first_answer=answer.text, ready_seconds=time.monotonic() - started)


async def _ainvoke(llm: ChatLlamaBedrock) -> Any:
    async with llm:
        return await llm.ainvoke(_QUESTION)
