"""Warnings about models that are Legacy or past their end of life: shown once, never a refusal."""

from __future__ import annotations

import sys
import warnings
from datetime import UTC, datetime
from functools import cache

from llama_bedrock.catalog.model_info import ModelInfo
from llama_bedrock.catalog.models_file import CATALOG
from llama_bedrock.catalog.resolve import ResolvedModel

_LIBRARIES = ("llama_bedrock", "pydantic", "langchain_core", "langchain")


class LlamaLifecycleWarning(UserWarning):
    """The model is Legacy on Bedrock, or has reached its end of life there."""


def warn_lifecycle(resolved: ResolvedModel) -> None:
    """Warn once per model and process that the model is leaving Bedrock or has left it.

    Legacy and end of life: https://docs.aws.amazon.com/bedrock/latest/userguide/model-lifecycle.html
    An ARN that hides its model (imported, provisioned, …) gives no warning.
    """
    if resolved.info is not None:
        _warn_once(resolved.info.model_id)


@cache
def _warn_once(model_id: str) -> None:
    message = lifecycle_message(CATALOG[model_id])
    if message is not None:
        warnings.warn(message, LlamaLifecycleWarning, stacklevel=_callers_level())


def lifecycle_message(info: ModelInfo) -> str | None:
    """What to know about the end of a model and where to go next; None for an active model."""
    state = info.lifecycle_on(datetime.now(UTC).date())
    if state == "active":
        return None
    if state == "legacy":
        until = (
            f"its end of life is {info.end_of_life}"
            if info.end_of_life
            else "its end of life is not announced"
        )
        what = (
            f"is Legacy on Bedrock: {until}; new accounts get no access, and one that does not call it for "
            "15 days can lose access"
        )
    else:
        since = f"reached its end of life on {info.end_of_life}" if info.end_of_life else "has left Bedrock"
        what = f"{since}: expect calls to fail"
    return f"{info.name} ({info.model_id}) {what}. {_way_out(info)}"


def _way_out(info: ModelInfo) -> str:
    today = datetime.now(UTC).date()
    target = CATALOG.get(info.move_to or "")
    usable = target is not None and target.lifecycle_on(today) != "ended"
    nearby = (
        f"Move to {info.move_to} (until {target.end_of_life}), or for good: " if target and usable else ""
    )
    if info.import_obstacle is not None:
        return (
            f"{nearby}{'import' if nearby else 'Import'} another Llama with Custom Model Import (of this "
            f"one: {info.import_obstacle}), or serve these weights with SageMaker and call the endpoint's "
            f"ARN with prompt_format={info.generation!r}; the prompts stay the same."
        )
    return (
        f"{nearby}{'import' if nearby else 'Import'} the weights with Custom Model Import and call the "
        f"imported-model ARN with prompt_format={info.generation!r}; the prompts stay the same."
    )


def _callers_level() -> int:
    """Stack level of the first frame outside the libraries between us and the user's line."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").split(".")[0] in _LIBRARIES:
        frame, level = frame.f_back, level + 1
    return level
