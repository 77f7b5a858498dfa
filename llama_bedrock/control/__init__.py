"""What Bedrock's control plane does for us: imported, customised, deployed and provisioned models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.control.batch_job import BatchJob, BatchStatus
    from llama_bedrock.control.batch_records import BatchResult, RecordNotRunError
    from llama_bedrock.control.control_plane import ControlPlane
    from llama_bedrock.control.customisation import (
        CustomisationJob,
        CustomisationProgress,
        CustomModel,
        InvocationLogs,
        TrainingStep,
        acustomise,
        astart_customisation,
        astart_distillation,
        customise,
        start_customisation,
        start_distillation,
    )
    from llama_bedrock.control.findings import Finding
    from llama_bedrock.control.hosting import (
        HostedLlama,
        Purchase,
        acopy_model,
        adeploy,
        aprovision,
        copy_model,
        deploy,
        provision,
    )
    from llama_bedrock.control.imports import ImportedModel, ImportProgress, aimport_model, import_model
    from llama_bedrock.control.jobs import JobFailedError
    from llama_bedrock.control.live_batch import BatchProgress, abatch_file
    from llama_bedrock.control.migration import MigrationPlan, ModelUse, plan_migration
    from llama_bedrock.control.model_check import ModelFiles, acheck_model_files, check_model_files
    from llama_bedrock.control.ray_data import EmbeddingMapper, LlamaMapper, RayLimiter
    from llama_bedrock.control.synthesis import (
        SyntheticQuestion,
        SyntheticQuestions,
        asynthesize_questions,
        synthesize_questions,
    )
    from llama_bedrock.control.training_data import CheckedTrainingData, TrainingData

# Each name is imported when it is first used.
_HOME = {
    "EmbeddingMapper": "ray_data",
    "LlamaMapper": "ray_data",
    "RayLimiter": "ray_data",
    "BatchJob": "batch_job",
    "BatchResult": "batch_records",
    "BatchStatus": "batch_job",
    "RecordNotRunError": "batch_records",
    "BatchProgress": "live_batch",
    "CheckedTrainingData": "training_data",
    "ControlPlane": "control_plane",
    "CustomModel": "customisation",
    "CustomisationJob": "customisation",
    "CustomisationProgress": "customisation",
    "Finding": "findings",
    "HostedLlama": "hosting",
    "ImportProgress": "imports",
    "ImportedModel": "imports",
    "InvocationLogs": "customisation",
    "JobFailedError": "jobs",
    "MigrationPlan": "migration",
    "ModelFiles": "model_check",
    "ModelUse": "migration",
    "Purchase": "hosting",
    "SyntheticQuestion": "synthesis",
    "SyntheticQuestions": "synthesis",
    "TrainingData": "training_data",
    "TrainingStep": "customisation",
    "abatch_file": "live_batch",
    "acheck_model_files": "model_check",
    "acopy_model": "hosting",
    "acustomise": "customisation",
    "adeploy": "hosting",
    "aimport_model": "imports",
    "aprovision": "hosting",
    "astart_customisation": "customisation",
    "astart_distillation": "customisation",
    "asynthesize_questions": "synthesis",
    "check_model_files": "model_check",
    "copy_model": "hosting",
    "customise": "customisation",
    "deploy": "hosting",
    "import_model": "imports",
    "plan_migration": "migration",
    "provision": "hosting",
    "start_customisation": "customisation",
    "start_distillation": "customisation",
    "synthesize_questions": "synthesis",
}

__all__ = [
    "BatchJob",
    "BatchProgress",
    "BatchResult",
    "BatchStatus",
    "CheckedTrainingData",
    "ControlPlane",
    "CustomModel",
    "CustomisationJob",
    "CustomisationProgress",
    "EmbeddingMapper",
    "Finding",
    "HostedLlama",
    "ImportProgress",
    "ImportedModel",
    "InvocationLogs",
    "JobFailedError",
    "LlamaMapper",
    "MigrationPlan",
    "ModelFiles",
    "ModelUse",
    "Purchase",
    "RayLimiter",
    "RecordNotRunError",
    "SyntheticQuestion",
    "SyntheticQuestions",
    "TrainingData",
    "TrainingStep",
    "abatch_file",
    "acheck_model_files",
    "acopy_model",
    "acustomise",
    "adeploy",
    "aimport_model",
    "aprovision",
    "astart_customisation",
    "astart_distillation",
    "asynthesize_questions",
    "check_model_files",
    "copy_model",
    "customise",
    "deploy",
    "import_model",
    "plan_migration",
    "provision",
    "start_customisation",
    "start_distillation",
    "synthesize_questions",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
