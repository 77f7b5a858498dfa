"""Model id or ARN → what to call, where, and with which prompt format."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from llama_bedrock.catalog.arn import ModelArn, parse_model_arn
from llama_bedrock.catalog.model_info import ModelInfo
from llama_bedrock.catalog.models_file import CATALOG
from llama_bedrock.prompts.formats import FORMATS, PromptFormat, format_of

_logger = logging.getLogger("llama_bedrock.catalog")


@dataclass(frozen=True, slots=True)
class ResolvedModel:
    """A model id or ARN, understood.

    Attributes:
        requested: What the caller gave.
        model_id: What to put in the request: an id, a geo profile id or an ARN.
        region: The region of the ARN, else the one the caller gave, else None.
        prompt_format: Generation whose prompt text the model reads.
        base: True for a pretrained model: raw text in, continuation out.
        info: The model's facts; None where an ARN hides which model it is, and for customised models,
            whose price is not the base model's.
    """

    requested: str
    model_id: str
    region: str | None
    prompt_format: PromptFormat
    base: bool = False
    info: ModelInfo | None = field(default=None, compare=False, repr=False)

    @property
    def accepts_images(self) -> bool:
        """True if the model reads images; for a hidden model, if one of its generation does."""
        if self.info is not None:
            return self.info.accepts_images
        return format_of(self.prompt_format).reads_images

    @property
    def accepts_tools(self) -> bool:
        """True for chat models from Llama 3 on: earlier ones and base models never learnt to call."""
        return format_of(self.prompt_format).knows_tools and not self.base

    @property
    def max_input_tokens(self) -> int:
        """Context window in tokens; for a hidden model the smallest of its generation."""
        if self.info is not None:
            return self.info.max_input_tokens
        return min(info.max_input_tokens for info in _generation(self.prompt_format))

    @property
    def max_output_tokens(self) -> int:
        """Most tokens to ask for; for a hidden model the smallest limit of its generation."""
        if self.info is not None:
            return self.info.max_output_tokens
        return min(info.max_output_tokens for info in _generation(self.prompt_format))


def resolve_model(
    id_or_arn: str, region: str | None = None, *, prompt_format: PromptFormat | None = None
) -> ResolvedModel:
    """Find out what to call for a model id or ARN.

    A bare id that can only be called through a geo inference profile becomes the profile of the region
    (logged once). Without a region nothing about regions is checked.

    Args:
        id_or_arn: Model id, geo profile id (``us.…``) or ARN of anything that takes a Llama prompt.
        region: AWS region of the endpoint. The region in an ARN wins where none is given.
        prompt_format: Generation of the model; needed only where an ARN hides it.

    Raises:
        TypeError: `id_or_arn` is not a string.
        ValueError: Unknown id, a region the model cannot be called from, an ARN of another region, or a
            prompt format that is missing, unknown or contradicts the model.
    """
    if not isinstance(id_or_arn, str):
        raise TypeError(f"a model is given as id or ARN (str), not {type(id_or_arn).__name__}")
    if prompt_format is not None:
        format_of(prompt_format)  # refuses what it does not know
    if not id_or_arn.startswith("arn:"):
        return _resolve_id(id_or_arn, id_or_arn, region, prompt_format)
    arn = parse_model_arn(id_or_arn)
    if region is not None and region != arn.region:
        raise ValueError(f"{id_or_arn!r} is in {arn.region}, but the region is set to {region}")
    if arn.hides_model or arn.kind == "custom-model":
        return _resolve_customised(arn, prompt_format)
    if prompt_format is not None and not _is_known(arn.named_model):  # newer than this catalogue
        return ResolvedModel(id_or_arn, id_or_arn, arn.region, prompt_format)
    return _resolve_id(id_or_arn, arn.named_model, arn.region, prompt_format)


def _resolve_id(requested: str, model_id: str, region: str | None, fmt: PromptFormat | None) -> ResolvedModel:
    """Resolve an id, or the id inside an ARN (`requested`); what is callable as given stays as given."""
    info = CATALOG.get(model_id)
    if info is not None:
        target = _callable_id(info, requested, region)
    else:
        info = _info_of_profile(model_id)
        target = requested
        geo = model_id.split(".")[0]
        if region is not None and region not in info.profiles[geo]:
            raise ValueError(_not_from(info, model_id, region))
    if fmt is not None and fmt != info.generation:
        raise ValueError(
            f"{requested!r} is {info.name}, whose prompt format is {info.generation!r}, not {fmt!r}; "
            "leave prompt_format out"
        )
    return ResolvedModel(requested, target, region, info.generation, info.is_base, info)


def _callable_id(info: ModelInfo, requested: str, region: str | None) -> str:
    """`requested`, or the geo profile that has to be called instead of it in `region`."""
    if region is None or region in info.direct_regions or not info.regions:
        return requested
    profile = info.profile_id_for(region)
    if profile is None:
        raise ValueError(_not_from(info, requested, region))
    _log_profile(requested, region, profile)
    return profile


@cache
def _log_profile(requested: str, region: str, profile: str) -> None:
    """Say once per process which profile stands in for a bare id."""
    _logger.info("%s cannot be called directly in %s: calling the profile %s", requested, region, profile)


def _resolve_customised(arn: ModelArn, fmt: PromptFormat | None) -> ResolvedModel:
    """Resolve what was made from a Llama: imported, tuned, provisioned, or put behind an own profile."""
    if arn.hides_model:
        if fmt is None:
            raise ValueError(
                f"{arn.text!r} does not say which Llama it is; "
                f"pass prompt_format= with its generation, one of {_listed(FORMATS)}"
            )
        return ResolvedModel(arn.text, arn.text, arn.region, fmt)
    info = CATALOG.get(arn.named_model)
    if info is None:
        raise ValueError(_unknown(arn.named_model, arn.text))
    if fmt is not None and fmt != info.generation:
        raise ValueError(
            f"{arn.text!r} was made from {info.name}: its prompt format is {info.generation!r}, not {fmt!r}"
        )
    return ResolvedModel(arn.text, arn.text, arn.region, info.generation, info.is_base)


def _info_of_profile(profile_id: str) -> ModelInfo:
    """The model of a geo profile id."""
    geo, _, model_id = profile_id.partition(".")
    info = CATALOG.get(model_id)
    if info is None:
        raise ValueError(_unknown(profile_id))
    if geo not in info.profiles:
        having = f"its profiles are {_listed(info.profile_ids)}" if info.profiles else "it has no profile"
        direct = (
            f"; it can be called by its bare id in {', '.join(info.direct_regions)}"
            if info.direct_regions
            else ""
        )
        raise ValueError(f"{info.name} has no inference profile for {geo!r}: {having}{direct}")
    return info


def _is_known(model_id: str) -> bool:
    return model_id in CATALOG or model_id.partition(".")[2] in CATALOG


def _not_from(info: ModelInfo, requested: str, region: str) -> str:
    ways = []
    if info.direct_regions:
        ways.append(f"directly in {', '.join(info.direct_regions)}")
    ways += [f"as {geo}.{info.model_id} from {', '.join(sources)}" for geo, sources in info.profiles.items()]
    return f"{requested!r} cannot be called from {region!r}; {info.name} can be called {'; '.join(ways)}"


def _unknown(model_id: str, arn: str | None = None) -> str:
    where = f" in {arn!r}" if arn else ""
    for info in CATALOG.values():
        if model_id in (info.provisioned_id, info.fine_tuning_id):
            return (
                f"{model_id!r} is an id for customisation and Provisioned Throughput and cannot be called; "
                f"call {info.model_id!r}, or a provisioned model's ARN with prompt_format={info.generation!r}"
            )
    nearest = _nearest(model_id)
    advice = f"did you mean {nearest!r}?" if nearest else "`llama-bedrock models` lists the known ones"
    return f"unknown Llama model id {model_id!r}{where}; {advice}"


def _nearest(model_id: str) -> str | None:
    """The known id most like `model_id`: spelt nearly the same, or else of the same generation and size."""
    asked = model_id[:200].lower()
    ids = [known for info in CATALOG.values() for known in (info.model_id, *info.profile_ids)]
    for essence, cutoff in ((_spelling, 0.85), (_generation_and_size, 0.7)):
        known_ids = {essence(known): known for known in reversed(ids)}  # bare ids come first and win
        matches = difflib.get_close_matches(essence(asked), known_ids, n=1, cutoff=cutoff)
        if matches:
            return known_ids[matches[0]]
    return None


def _spelling(model_id: str) -> str:
    """Letters and digits alone: most slips are in the punctuation (``-v10`` for ``-v1:0``)."""
    return re.sub(r"[^a-z0-9]", "", model_id)


def _generation_and_size(model_id: str) -> str:
    """What is left of a name in another system's spelling, such as ``llama3.1:8b``."""
    noise = r"^.*/|^(us|eu|apac|global)\.|meta|instruct|chat|vision|-v\d.*$|-hf|-\d+e\b"
    return _spelling(re.sub(noise, "", model_id))


def _generation(prompt_format: PromptFormat) -> list[ModelInfo]:
    """The models of a generation; all models for one of which none is in the catalogue."""
    own = [info for info in CATALOG.values() if info.generation == prompt_format]
    return own or list(CATALOG.values())


def _listed(values: Iterable[str]) -> str:
    return ", ".join(repr(value) for value in values)
