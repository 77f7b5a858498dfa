"""Which model ids the local endpoint knows, where they may be called, and what they accept."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from llama_bedrock.catalog import CATALOG, PromptFormat
from llama_bedrock.local.runtime.frames import invalid

if TYPE_CHECKING:
    from llama_bedrock.catalog import ModelInfo

_ARN = re.compile(
    r"arn:aws(?:-[a-z-]+)?:bedrock:(?P<region>[a-z0-9-]{1,20}):(?P<account>\d{12})?:"
    r"(?P<kind>[a-z-]+)/(?P<name>[a-zA-Z0-9.:/-]+)"
)

# ARN kinds that name a model of the account: family and limits are not in the ARN.
_OPAQUE_KINDS = frozenset(
    {
        "application-inference-profile",
        "custom-model",
        "custom-model-deployment",
        "default-prompt-router",
        "imported-model",
        "prompt-router",
        "provisioned-model",
    }
)

# Llama 2 and 3 refuse more in the schema of the body, later ones in the model: their error texts differ.
_SCHEMA_MAX_GEN_LEN = 2048
_OPAQUE_CONTEXT_WINDOW = 131_072
_OPAQUE_MAX_GEN_LEN = 8192

_INVALID_IDENTIFIER = "The provided model identifier is invalid."


@dataclass(frozen=True, slots=True)
class ModelTarget:
    """The model of a request and its limits.

    Attributes:
        model_id: As the caller wrote it.
        info: The catalogue's facts; None for an ARN that hides the family.
        imported: True if all three body formats of Custom Model Import are accepted.
    """

    model_id: str
    info: ModelInfo | None
    imported: bool = False

    @property
    def prompt_format(self) -> PromptFormat | None:
        """The Llama generation; None if unknown."""
        return None if self.info is None else self.info.generation

    @property
    def accepts_images(self) -> bool:
        """True if ``images`` is allowed in the body."""
        return self.info is None or any(m.lower() == "image" for m in self.info.input_modalities)

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and answer together."""
        if self.info is None:
            return _OPAQUE_CONTEXT_WINDOW
        return self.info.enforced_context_window or self.info.context_window

    @property
    def max_gen_len(self) -> int:
        """The highest ``max_gen_len`` that is accepted."""
        if self.info is None:
            return _OPAQUE_MAX_GEN_LEN
        if self.limited_by_schema:
            return _SCHEMA_MAX_GEN_LEN
        return self.info.card_max_output_tokens or self.info.max_output_tokens

    @property
    def limited_by_schema(self) -> bool:
        """True if a ``max_gen_len`` too high is a violation of the body's schema."""
        return self.prompt_format in ("llama2", "llama3")


def find_model(model_id: str, region: str | None) -> ModelTarget:
    """The model that a path names.

    Args:
        model_id: Model id, geo profile id or ARN, decoded.
        region: The caller's region, from the signature; None skips the checks that need it.

    Raises:
        ServiceError: ``ValidationException`` with Bedrock's text.
    """
    arn = _ARN.fullmatch(model_id)
    if arn is not None:
        if region is not None and arn["region"] != region:
            raise invalid(_INVALID_IDENTIFIER)
        if arn["kind"] in _OPAQUE_KINDS:
            return ModelTarget(model_id, None, imported=arn["kind"] == "imported-model")
        if arn["kind"] not in ("foundation-model", "inference-profile"):
            raise invalid(_INVALID_IDENTIFIER)
    name = model_id if arn is None else arn["name"]
    if name in CATALOG:
        info = CATALOG[name]
        _check_on_demand(info, model_id, region)
        return ModelTarget(model_id, info)
    geo, _, base = name.partition(".")
    profile_info = CATALOG.get(base)
    if profile_info is None or geo not in profile_info.profiles:
        raise invalid(_INVALID_IDENTIFIER)
    if region is not None and region not in profile_info.profiles[geo]:
        raise invalid(_INVALID_IDENTIFIER)
    return ModelTarget(model_id, profile_info)


def _check_on_demand(info: ModelInfo, model_id: str, region: str | None) -> None:
    """A bare id works where the model is offered in the region itself."""
    if region in info.direct_regions or (region is None and info.direct_regions):
        return
    sources = {source for regions in info.profiles.values() for source in regions}
    offered = sources.union(info.direct_regions)
    if region is not None and offered and region not in offered:
        raise invalid(_INVALID_IDENTIFIER)
    raise invalid(
        f"Invocation of model ID {model_id} with on-demand throughput isn’t supported. Retry your request "
        "with the ID or ARN of an inference profile that contains this model."
    )
