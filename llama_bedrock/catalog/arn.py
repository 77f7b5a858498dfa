"""Amazon resource names that can stand where a model id is expected."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REGION = r"[a-z]{2,4}(?:-[a-z]+)+-\d{1,2}"
_ARN = re.compile(
    rf"arn:(?P<partition>aws(?:-[a-z-]+)?):(?P<service>bedrock|sagemaker):(?P<region>{_REGION}):"
    r"(?P<account>\d{12})?:(?P<kind>[a-z-]+)/(?P<resource>[A-Za-z0-9][A-Za-z0-9.:/_-]*)"
)
_EXPECTED = "arn:aws:bedrock:<region>:<account>:<kind>/<id>"

OPAQUE_KINDS = frozenset(
    {
        "application-inference-profile",
        "provisioned-model",
        "imported-model",
        "custom-model-deployment",
        "endpoint",
    }
)
"""Kinds whose ARN does not say which Llama stands behind it."""

_NAMING_KINDS = frozenset({"foundation-model", "inference-profile", "custom-model"})

_REFUSED = {
    **dict.fromkeys(
        ("prompt-router", "default-prompt-router"),
        "a prompt router chooses between models with different prompt formats, and Bedrock routes no Llama; "
        "pass one of the models behind it",
    ),
    "prompt": (
        "it names a stored prompt of Prompt Management; "
        "pass the model and build the prompt with a LangChain template"
    ),
}


@dataclass(frozen=True, slots=True)
class ModelArn:
    """The parts of an ARN that names something a prompt can be sent to.

    Attributes:
        text: The ARN as given.
        account: AWS account id; None for a foundation model.
        kind: Resource type, such as ``"imported-model"``; ``"endpoint"`` for a SageMaker endpoint.
        resource: What follows the type, such as a model id or an opaque id.
    """

    text: str
    partition: str
    region: str
    account: str | None
    kind: str
    resource: str

    @property
    def hides_model(self) -> bool:
        """True if the ARN alone does not tell which model it is."""
        return self.kind in OPAQUE_KINDS or (
            self.kind == "custom-model" and self.resource.startswith("imported/")
        )

    @property
    def named_model(self) -> str:
        """The model or profile id in an ARN that does not hide it, without ``:128k`` and the like."""
        return re.sub(r":\d+k$", "", self.resource.split("/")[0])


def partition_of(region: str) -> str:
    """The AWS partition of a region: ``aws``, ``aws-cn`` or ``aws-us-gov``."""
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws-cn" if region.startswith("cn-") else "aws"


def parse_model_arn(text: str) -> ModelArn:
    """Take an ARN apart.

    Raises:
        ValueError: It is no ARN, its partition and region contradict each other, or it names something that
            no Llama prompt can be sent to.
    """
    match = _ARN.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not the ARN of a Bedrock model; expected {_EXPECTED}")
    partition, service, region, account, kind, resource = match.groups()
    if partition in ("aws", "aws-us-gov", "aws-cn") and partition != partition_of(region):
        raise ValueError(f"{text!r}: region {region} is in partition {partition_of(region)}, not {partition}")
    if kind in _REFUSED:
        raise ValueError(f"{text!r} cannot be used: {_REFUSED[kind]}")
    if (kind == "endpoint") != (service == "sagemaker") or kind not in OPAQUE_KINDS | _NAMING_KINDS:
        known = ", ".join(sorted((OPAQUE_KINDS | _NAMING_KINDS) - {"endpoint"}))
        raise ValueError(
            f"{text!r} names a {service} {kind}, not a model; Bedrock's kinds are {known}, "
            "and a Marketplace model is called by its SageMaker endpoint ARN"
        )
    if (account is None) != (kind == "foundation-model"):
        wanted = "no account id" if kind == "foundation-model" else "a 12-digit account id"
        raise ValueError(f"{text!r}: the ARN of a {kind} has {wanted}")
    return ModelArn(text, partition, region, account, kind, resource)
