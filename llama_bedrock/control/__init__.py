"""What Bedrock's control plane does for us: imported, customised, deployed and provisioned models."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_bedrock.control.control_plane import ControlPlane
    from llama_bedrock.control.findings import Finding
    from llama_bedrock.control.imports import ImportedModel, ImportProgress, aimport_model, import_model
    from llama_bedrock.control.jobs import JobFailedError
    from llama_bedrock.control.live_batch import BatchProgress, abatch_file
    from llama_bedrock.control.model_check import ModelFiles, acheck_model_files, check_model_files

# Each name is imported when it is first used.
_HOME = {
    "BatchProgress": "live_batch",
    "abatch_file": "live_batch",
    "ControlPlane": "control_plane",
    "Finding": "findings",
    "ImportProgress": "imports",
    "ImportedModel": "imports",
    "JobFailedError": "jobs",
    "ModelFiles": "model_check",
    "acheck_model_files": "model_check",
    "aimport_model": "imports",
    "check_model_files": "model_check",
    "import_model": "imports",
}

__all__ = [
    "BatchProgress",
    "ControlPlane",
    "Finding",
    "ImportProgress",
    "ImportedModel",
    "JobFailedError",
    "ModelFiles",
    "abatch_file",
    "acheck_model_files",
    "aimport_model",
    "check_model_files",
    "import_model",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
