"""The facts of one Llama model on Bedrock, as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from llama_bedrock.prompts.formats import FORMATS, PromptFormat

PROMPT_FORMATS: tuple[PromptFormat, ...] = tuple(FORMATS)

Variant = Literal["chat", "instruct", "base"]
Lifecycle = Literal["active", "legacy", "ended"]


@dataclass(frozen=True, slots=True)
class Price:
    """What tokens cost.

    Attributes:
        input: USD per 1,000,000 prompt tokens.
        output: USD per 1,000,000 generated tokens.
    """

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class Parameter:
    """Range and default of one number in the InvokeModel body."""

    minimum: float
    maximum: float
    default: float


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ModelInfo:
    """The facts of one model; `catalog/models.toml` holds the values and says what each key means.

    There is one object per model, so identity is equality.

    Attributes:
        model_id: The bare id, such as ``meta.llama3-3-70b-instruct-v1:0``.
        generation: Which prompt format the model was trained with.
        context_window: Tokens, as the model card prints it.
        enforced_context_window: Tokens the service was measured to enforce, where that differs from the card.
        max_output_tokens: The output cap to plan with.
        languages: Languages Meta supports for text; `image_languages` for prompts with an image.
        direct_regions: Regions where the bare id can be called on demand.
        profiles: Geography (``"us"``) → source region → regions a request may be routed to.
        latency_regions: Source regions of latency-optimised inference (through the profile only).
        batch_regions: Regions of CreateModelInvocationJob with the bare id.
        batch_profile_regions: The same with the profile's id.
        prices: USD by region or geography; the first entry is the reference price.
        lifecycle: State by the sources on `as_of`; `lifecycle_on` applies the end-of-life date.
        move_to: The model we advise where this one has ended.
        confidence: Group of facts → ``"high"``, ``"medium"`` or ``"low"``.
        as_of: Day on which the facts were last checked.
    """

    model_id: str
    name: str
    generation: PromptFormat
    variant: Variant
    size: str
    as_of: date
    sources: tuple[str, ...]
    confidence: Mapping[str, str]
    notes: tuple[str, ...] = ()
    released: date | None = None

    context_window: int
    enforced_context_window: int | None = None
    max_output_tokens: int
    card_max_output_tokens: int | None = None
    observed_max_output_tokens: int | None = None
    input_modalities: tuple[str, ...]
    output_modalities: tuple[str, ...]
    languages: tuple[str, ...]
    image_languages: tuple[str, ...] | None = None
    max_images: int | None = None
    max_image_pixels: int | None = None

    endpoints: tuple[str, ...]
    operations: tuple[str, ...]
    parameters: Mapping[str, Parameter]
    service_tiers: tuple[str, ...]
    guardrails: bool
    count_tokens: bool
    structured_outputs: bool
    prompt_routing: bool
    prompt_caching: bool
    converse: bool
    converse_tools: bool = False
    converse_tool_choice: tuple[str, ...] = ()
    converse_stream_tools: bool = False

    direct_regions: tuple[str, ...]
    profiles: Mapping[str, Mapping[str, tuple[str, ...]]]
    latency_regions: tuple[str, ...] = ()
    latency_max_tokens: int | None = None
    batch_regions: tuple[str, ...] = ()
    batch_profile_regions: tuple[str, ...] = ()
    provisioned_id: str | None = None
    provisioned_regions: tuple[str, ...] = ()
    fine_tuning_id: str | None = None
    fine_tuning_regions: tuple[str, ...] = ()
    fine_tuning_format: str | None = None
    deployment_regions: tuple[str, ...] = ()
    distillation_teachers: tuple[str, ...] = ()
    distillation_students: tuple[str, ...] = ()

    prices: Mapping[str, Price]
    batch_prices: Mapping[str, Price]

    lifecycle: Lifecycle
    legacy_since: date | None = None
    end_of_life: date | None = None
    move_to: str | None = None

    @property
    def is_base(self) -> bool:
        """True for a pretrained model, which continues text and knows no turns."""
        return self.variant == "base"

    @property
    def accepts_images(self) -> bool:
        return "image" in self.input_modalities

    @property
    def import_obstacle(self) -> str | None:
        """Why Custom Model Import does not take the weights of this model; None if it does.

        It takes no Llama 4, less than 200 GB, and less than 100 GB of a model that reads images ("Use Custom
        model import", Amazon Bedrock user guide, October 2026). Weights in bfloat16 are two bytes a number.
        """
        if self.generation == "llama4":
            return "it takes no Llama 4"
        gigabytes = 2 * int(self.size.removesuffix("B"))
        limit = 100 if self.accepts_images else 200
        return (
            f"its {gigabytes} GB of weights are over the limit of {limit} GB" if gigabytes >= limit else None
        )

    @property
    def max_input_tokens(self) -> int:
        """Tokens the service accepts: measured where that was done, else the card's context window."""
        return self.enforced_context_window or self.context_window

    @property
    def profile_ids(self) -> tuple[str, ...]:
        """Ids of the model's geo inference profiles, such as ``us.meta.…``."""
        return tuple(f"{geo}.{self.model_id}" for geo in self.profiles)

    @property
    def regions(self) -> tuple[str, ...]:
        """Every region the model can be called from on demand, directly or through a profile, sorted."""
        through_profiles = (region for sources in self.profiles.values() for region in sources)
        return tuple(sorted({*self.direct_regions, *through_profiles}))

    def profile_id_for(self, region: str) -> str | None:
        """The geo profile that requests from `region` can use, or None."""
        return next((f"{geo}.{self.model_id}" for geo, by in self.profiles.items() if region in by), None)

    def lifecycle_on(self, day: date) -> Lifecycle:
        """The state on `day`: the catalogue's, or ``"ended"`` once the end-of-life date has come."""
        return "ended" if self.end_of_life is not None and day >= self.end_of_life else self.lifecycle

    def price_in(self, region: str | None, *, batch: bool = False) -> Price | None:
        """The price of a request from `region`.

        Args:
            region: AWS region; None for the reference price (the first one listed).
            batch: Price of batch inference instead of on-demand.

        Returns:
            The region's price, else its geography's, else None: prices are never guessed.
        """
        prices = self.batch_prices if batch else self.prices
        if region is None:
            return next(iter(prices.values()), None)
        geography = "us-gov" if region.startswith("us-gov-") else region.split("-")[0]
        return prices.get(region) or prices.get(geography)
