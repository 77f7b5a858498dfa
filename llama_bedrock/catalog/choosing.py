"""Which model for which needs: words such as "long context, vision, cheapest in eu" against the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from llama_bedrock.catalog.model_info import ModelInfo
from llama_bedrock.catalog.models_file import CATALOG
from llama_bedrock.prompts.formats import format_of

_LONG = 100_000  # tokens
_PLACES = {"europe": "eu", "usa": "us", "america": "us", "canada": "ca", "india": "ap-south", "asia": "ap"}
_FILLERS = re.compile(r"\b(?:a|an|the|with|for|and|model|models|llama|support|supports|region|please)\b")

_NEEDS: dict[str, tuple[str, Callable[[ModelInfo], bool]]] = {
    "vision": (r"vision|images?|pictures?|multimodal", lambda info: info.accepts_images),
    "long context": (
        r"long(?: context| documents?)?|large context|128k",
        lambda info: info.max_input_tokens >= _LONG,
    ),
    "tools": (
        r"tools?|tool calling|function calling|agents?",
        lambda info: format_of(info.generation).knows_tools and not info.is_base,
    ),
    "batch": (
        r"batch(?: jobs?| inference)?",
        lambda info: bool(info.batch_regions or info.batch_profile_regions),
    ),
    "low latency": (r"fast|fastest|low latency|latency", lambda info: bool(info.latency_regions)),
    "on demand": (r"on demand|on-demand|without profile|one region", lambda info: bool(info.direct_regions)),
}
_ORDERS: dict[str, str] = {
    "cheapest": r"cheap(?:est)?|low(?:est)? price|low cost",
    "largest": r"best|largest|strongest|quality",
    "smallest": r"smallest|small|tiny",
    "longest": r"longest(?: context)?",
}


@dataclass(frozen=True, slots=True)
class Choice:
    """Models that meet some needs, best first.

    Attributes:
        models: Those that meet all, and can be called on the day.
        place: Region, or the beginning of Regions' names, they are to be called from; None for any.
        needs: What was understood.
        misses: If none meets all: need → how many would be left without it.
    """

    models: tuple[ModelInfo, ...]
    place: str | None
    needs: tuple[str, ...]
    misses: dict[str, int]


def choose(text: str, today: date) -> Choice:
    """Find the models for needs in words.

    Args:
        text: Needs, separated by commas or "and": vision, long context, tools, batch, low latency, on demand,
            a language, "in" a Region or geography, and an order: cheapest, largest, smallest, longest.
        today: Models that have ended on this day are left out.

    Raises:
        ValueError: A need is not understood.
    """
    wanted: dict[str, Callable[[ModelInfo], bool]] = {}
    orders: list[str] = []
    place: str | None = None
    for part in re.split(r",|;|\band\b", text.lower()):
        phrase, where = _split_place(" ".join(_FILLERS.sub(" ", part).split()))
        if where is not None:
            place = where
            wanted[f"in {where}"] = _in_place(where)
        if not phrase:
            continue
        if not _take(phrase, wanted, orders):
            known = ", ".join([*_NEEDS, *_ORDERS, "a language", "in REGION"])
            raise ValueError(f"--for: {part.strip()!r} is not understood; there are {known}")
    alive = [info for info in CATALOG.values() if info.lifecycle_on(today) != "ended"]
    found = [info for info in alive if all(meets(info) for meets in wanted.values())]
    misses = {}
    if not found:
        for need in wanted:
            others = [meets for name, meets in wanted.items() if name != need]
            misses[need] = sum(all(meets(info) for meets in others) for info in alive)
    for order in reversed(orders or ["cheapest"]):
        found.sort(key=lambda info: _rank(order, info, place))
    return Choice(tuple(found), place, (*wanted, *orders), misses)


def price_at(info: ModelInfo, place: str | None) -> tuple[float, float] | None:
    """USD per 1,000,000 input and output tokens at a place; the lowest of its Regions."""
    regions = [region for region in info.regions if place is None or region.startswith(place)]
    prices = [price for region in regions if (price := info.price_in(region)) is not None]
    return min(((price.input, price.output) for price in prices), default=None)


def _split_place(phrase: str) -> tuple[str, str | None]:
    found = re.search(r"(?:^|\s)in ([a-z]+(?:-[a-z]+)*(?:-\d)?)$", phrase)
    if found is None:
        return phrase, None
    place = _PLACES.get(found[1], found[1])
    if not any(region.startswith(place) for info in CATALOG.values() for region in info.regions):
        known = sorted({region for info in CATALOG.values() for region in info.regions})
        raise ValueError(f"--for: no Llama is offered in {found[1]!r}; regions: {', '.join(known)}")
    return phrase[: found.start()].strip(), place


def _in_place(place: str) -> Callable[[ModelInfo], bool]:
    return lambda info: any(region.startswith(place) for region in info.regions)


def _take(phrase: str, wanted: dict[str, Callable[[ModelInfo], bool]], orders: list[str]) -> bool:
    for name, (pattern, meets) in _NEEDS.items():
        if re.fullmatch(pattern, phrase):
            wanted[name] = meets
            return True
    for name, pattern in _ORDERS.items():
        if re.fullmatch(pattern, phrase):
            orders.append(name)
            return True
    language = phrase.title()
    if not any(language in info.languages for info in CATALOG.values()):
        return False
    wanted[phrase] = lambda info: language in info.languages
    return True


def _rank(order: str, info: ModelInfo, place: str | None) -> float:
    if order == "longest":
        return -info.max_input_tokens
    if order == "cheapest":
        price = price_at(info, place)
        return float("inf") if price is None else 3 * price[0] + price[1]  # three times as much is read
    parts = [float(number) for number in re.findall(r"[\d.]+", info.size)]  # "70B", "17B x16E"
    size = parts[0] * (parts[1] if len(parts) > 1 else 1.0) if parts else 0.0
    return size if order == "smallest" else -size
