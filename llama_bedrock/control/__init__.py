"""What Bedrock's control plane does for us: imported, customised, deployed and provisioned models."""

from __future__ import annotations

from typing import TYPE_CHECKING

from llama_bedrock._lazy_names import lazy_names

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
_HOMES = {
    ".batch_job": ["BatchJob", "BatchStatus"],
    ".batch_records": ["BatchResult", "RecordNotRunError"],
    ".control_plane": ["ControlPlane"],
    ".customisation": [
        "CustomModel",
        "CustomisationJob",
        "CustomisationProgress",
        "InvocationLogs",
        "TrainingStep",
        "acustomise",
        "astart_customisation",
        "astart_distillation",
        "customise",
        "start_customisation",
        "start_distillation",
    ],
    ".findings": ["Finding"],
    ".hosting": [
        "HostedLlama",
        "Purchase",
        "acopy_model",
        "adeploy",
        "aprovision",
        "copy_model",
        "deploy",
        "provision",
    ],
    ".imports": ["ImportProgress", "ImportedModel", "aimport_model", "import_model"],
    ".jobs": ["JobFailedError"],
    ".live_batch": ["BatchProgress", "abatch_file"],
    ".migration": ["MigrationPlan", "ModelUse", "plan_migration"],
    ".model_check": ["ModelFiles", "acheck_model_files", "check_model_files"],
    ".ray_data": ["EmbeddingMapper", "LlamaMapper", "RayLimiter"],
    ".synthesis": [
        "SyntheticQuestion",
        "SyntheticQuestions",
        "asynthesize_questions",
        "synthesize_questions",
    ],
    ".training_data": ["CheckedTrainingData", "TrainingData"],
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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
