"""The models that can be customised: which is meant, what its jobs take, and whether it still takes any."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from llama_bedrock.catalog import CATALOG, ModelInfo, resolve_model
from llama_bedrock.control.jobs import control_request
from llama_bedrock.errors import BedrockAccessDeniedError, BedrockNotFoundError
from llama_bedrock.transport.steps import Steps


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """A number that training takes.

    Attributes:
        minimum: The least.
        maximum: The most.
        default: What the service takes where nothing is given.
        whole: Whether it is a whole number.
    """

    minimum: Decimal
    maximum: Decimal
    default: Decimal
    whole: bool = True


# Of Llama 3.1 and 3.2: cm-hp-meta-llama31 and -llama32 of the user guide; 3.3 has no page, taken as the same.
HYPERPARAMETERS: Mapping[str, HyperParameter] = {
    "epochCount": HyperParameter(Decimal(1), Decimal(10), Decimal(5)),
    "batchSize": HyperParameter(Decimal(1), Decimal(1), Decimal(1)),
    "learningRate": HyperParameter(Decimal("0.000005"), Decimal("0.1"), Decimal("0.0001"), whole=False),
}


def base_of(model: str) -> ModelInfo:
    """The model that is meant as the base of a customisation, by id, by customisation id or by ARN.

    Raises:
        ValueError: It is unknown, or was never customised on Bedrock.
    """
    named = model.rpartition("/")[2] if model.startswith("arn:") else model
    own = [info for info in CATALOG.values() if named in (info.fine_tuning_id, info.provisioned_id)]
    info = own[0] if own else resolve_model(model).info
    if info is None or info.fine_tuning_format is None or info.fine_tuning_id is None:
        known = ", ".join(known.model_id for known in CATALOG.values() if known.fine_tuning_format)
        raise ValueError(f"Bedrock does not customise {model!r}; it customised {known}")
    return info


def check_hyperparameters(given: Mapping[str, Any] | None) -> dict[str, str]:
    """Hyperparameters as the API takes them, which is as texts.

    Raises:
        ValueError: One is unknown, no number, or out of Bedrock's bounds.
    """
    return {name: _checked(name, value) for name, value in (given or {}).items()}


def _checked(name: str, value: Any) -> str:
    known = HYPERPARAMETERS.get(name)
    if known is None:
        raise ValueError(f"{name!r} is no hyperparameter of a Llama; they are {', '.join(HYPERPARAMETERS)}")
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        number = Decimal("NaN")
    bounds = f"{known.minimum.normalize():f} to {known.maximum.normalize():f}"
    if isinstance(value, bool) or not number.is_finite() or (known.whole and number != int(number)):
        raise ValueError(f"{name}={value!r}: a {'whole ' if known.whole else ''}number from {bounds}")
    if not known.minimum <= number <= known.maximum:
        raise ValueError(f"{name}={value!r}: Bedrock takes {bounds}")
    return str(int(number)) if known.whole else f"{number.normalize():f}"


def lifecycle_message_for(info: ModelInfo) -> str | None:
    """Why the catalogue expects that a model takes no new job; None for an active one."""
    state = info.lifecycle_on(datetime.now(UTC).date())
    return None if state == "active" else _closed(info, state)


def refuse_closed(info: ModelInfo, what: str) -> Steps[None]:
    """Refuse a job that the service would refuse after the upload, because of the model's state there.

    Raises:
        ValueError: The model is Legacy or gone.
    """
    try:
        answer = yield control_request("get_foundation_model", modelIdentifier=info.model_id)
    except BedrockNotFoundError:
        raise ValueError(f"{what} cannot start: {_closed(info, 'ended')}") from None
    except BedrockAccessDeniedError:  # the role may train, but not look: the catalogue answers
        message = lifecycle_message_for(info)
    else:
        legacy = answer["modelDetails"].get("modelLifecycle", {}).get("status") == "LEGACY"
        message = _closed(info, "legacy") if legacy else None
    if message is not None:
        raise ValueError(f"{what} cannot start, and nothing was uploaded: {message}")


def _closed(info: ModelInfo, state: str) -> str:
    why = (
        "is Legacy, for which Bedrock starts no new jobs and sells no throughput"
        if state == "legacy"
        else "is gone"
    )
    return (
        f"{info.model_id} {why}. Train the open weights elsewhere with the same data, and import them with "
        "import_model (docs/migrating.md)"
    )
