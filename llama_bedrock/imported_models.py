"""What an imported, deployed or provisioned Llama was made from, by its tags or by what is behind it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from llama_bedrock.catalog import PROMPT_FORMATS, PromptFormat, resolve_model
from llama_bedrock.catalog.arn import ModelArn, parse_model_arn
from llama_bedrock.errors import BedrockNotFoundError
from llama_bedrock.transport.connection import is_loopback
from llama_bedrock.transport.steps import Request, Steps

CONTROL_SERVICE = "bedrock"
FORMAT_TAG = "llama-bedrock:prompt-format"
"""The tag that holds the prompt format of a model whose ARN does not tell it."""


@dataclass(frozen=True, slots=True)
class HostedModel:
    """A model that an ARN hides.

    Attributes:
        arn: What to call.
        prompt_format: The generation whose prompt text it reads.
        tags: All tags of the model.
    """

    arn: str
    prompt_format: PromptFormat
    tags: Mapping[str, str]


def control_endpoint(runtime_url: str | None) -> str | None:
    """The endpoint of `bedrock` that belongs to one of `bedrock-runtime`: the same on this machine.

    AWS has one host for each of the two services, so another address gives none.
    """
    return runtime_url if is_loopback(runtime_url) else None


def find_hosted_model(name_or_arn: str, prompt_format: PromptFormat | None = None) -> Steps[HostedModel]:
    """Find out what to call for a model of the account's own.

    Args:
        name_or_arn: The name of an imported model, or the ARN of an imported, deployed or provisioned one.
        prompt_format: Its generation, where the caller knows it.

    Raises:
        ValueError: There is no such model, or nothing tells its generation.
        LlamaBedrockError: A call failed.
    """
    arn = name_or_arn
    if not name_or_arn.startswith("arn:"):
        arn = yield from _arn_of_name(name_or_arn)
    parsed = parse_model_arn(arn)
    if not parsed.hides_model:
        return HostedModel(arn, resolve_model(arn, prompt_format=prompt_format).prompt_format, {})
    if prompt_format is not None:
        return HostedModel(arn, prompt_format, {})
    tags = yield from read_tags(arn)
    found = tags.get(FORMAT_TAG) or (yield from _format_behind(parsed))
    if found not in PROMPT_FORMATS:
        says = f"its tag {FORMAT_TAG} is {found!r}" if found else f"it has no tag {FORMAT_TAG}"
        raise ValueError(
            f"{arn} does not say which Llama it is: {says}. Give prompt_format=…, one of "
            f"{', '.join(PROMPT_FORMATS)}; import_model sets the tag"
        )
    return HostedModel(arn, found, tags)


def read_tags(arn: str) -> Steps[dict[str, str]]:
    """The tags of a resource of Bedrock."""
    answer = yield Request(CONTROL_SERVICE, "list_tags_for_resource", {"resourceARN": arn})
    return {tag["key"]: tag["value"] for tag in answer.get("tags") or ()}


def _arn_of_name(name: str) -> Steps[str]:
    try:
        found = yield Request(CONTROL_SERVICE, "get_imported_model", {"modelIdentifier": name})
    except BedrockNotFoundError:
        page = yield Request(CONTROL_SERVICE, "list_imported_models", {"maxResults": 20})
        names = ", ".join(item["modelName"] for item in page.get("modelSummaries") or ())
        there = f"there are: {names}" if names else "there is none"
        raise ValueError(f"no imported model is named {name!r} in this account and region; {there}") from None
    return str(found["modelArn"])


def _format_behind(arn: ModelArn) -> Steps[str | None]:
    """The generation of the model that a deployment or a throughput serves."""
    if arn.kind == "custom-model-deployment":
        found = yield Request(
            CONTROL_SERVICE, "get_custom_model_deployment", {"customModelDeploymentIdentifier": arn.text}
        )
        behind = str(found["modelArn"])
    elif arn.kind == "provisioned-model":
        found = yield Request(
            CONTROL_SERVICE, "get_provisioned_model_throughput", {"provisionedModelId": arn.text}
        )
        behind = str(found.get("modelArn") or found["foundationModelArn"])
    else:
        return None
    return (yield from format_of_model(behind))


def format_of_model(arn: str) -> Steps[str | None]:
    """The generation of a custom or foundation model, by the base that its ARN names, or by its tags."""
    if parse_model_arn(arn).hides_model:
        return (yield from read_tags(arn)).get(FORMAT_TAG)
    return resolve_model(arn).prompt_format
