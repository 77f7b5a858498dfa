"""Which model for which needs: words such as "long context, vision, cheapest in eu" against the catalogue."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date

from llama_bedrock.catalog.german_needs import in_english
from llama_bedrock.catalog.model_info import ModelInfo
from llama_bedrock.catalog.models_file import CATALOG
from llama_bedrock.prompts.formats import format_of

_LONG = 100_000  # tokens
_PLACES = {"europe": "eu", "european union": "eu", "usa": "us", "america": "us", "govcloud": "us-gov"}
_PLACES |= {"frankfurt": "eu-central-1", "ireland": "eu-west-1", "london": "eu-west-2", "paris": "eu-west-3"}
_PLACES |= {"stockholm": "eu-north-1", "virginia": "us-east-1", "ohio": "us-east-2", "oregon": "us-west-2"}
_PLACES |= {"germany": "eu-central-1", "france": "eu-west-3", "uk": "eu-west-2", "montreal": "ca-central-1"}
_PLACES |= {"sydney": "ap-southeast-2", "singapore": "ap-southeast-1", "tokyo": "ap-northeast-1"}
_PLACES |= {"seoul": "ap-northeast-2", "australia": "ap-southeast-2", "japan": "ap-northeast-1"}
_PLACES |= {"brazil": "sa-east-1", "são paulo": "sa-east-1", "zurich": "eu-central-2", "milan": "eu-south-1"}
_PLACES |= {"canada": "ca", "india": "ap-south", "mumbai": "ap-south-1", "asia": "ap"}
# What asks for nothing; neither "no" nor "without" nor "under", which ask for the opposite.
_FILLERS = re.compile(
    r"\b(?:an?|the|with|for|and|of|on|to|in|at least|i|we|my|our|you|it|that|which|what|can|could|must|should"
    r"|be|is|are|has|have|having|does|do|needs?|wants?|something|some|any|good|supports?|supporting|understands?"
    r"|speaks?|answers?|takes?|offers?|offered|available|works?|use|usable|models?|llamas?|llm|regions?|bedrock"
    r"|please|data|must stay|stays?|only|text|inputs?|tokens?|pages?)\b"
)

_NEEDS: dict[str, tuple[str, Callable[[ModelInfo], bool]]] = {
    "text alone": (r"text[- ]only|only text", lambda info: not info.accepts_images),
    "vision": (
        r"vision|images?|pictures?|photos?|scans|scanned|multi-?modal",
        lambda info: info.accepts_images,
    ),
    "long context": (
        r"(?:long|large|big)(?: context(?: window)?| documents?| prompts?)|long",
        lambda info: info.max_input_tokens >= _LONG,
    ),
    "tools": (
        r"tools?(?:[- ](?:calling|calls?|use))?|functions?(?:[- ]calling)?|agents?|structured outputs?|json",
        lambda info: format_of(info.generation).knows_tools and not info.is_base,
    ),
    "chat": (r"chat(?:bots?)?|assistants?|conversations?|instruct", lambda info: not info.is_base),
    "many languages": (r"multi-?lingual|many languages", lambda info: len(info.languages) > 1),
    "batch": (
        r"batch(?:[- ](?:jobs?|inference))?",
        lambda info: bool(info.batch_regions or info.batch_profile_regions),
    ),
    "low latency": (r"fast(?:est)?|low[- ]latency|latency", lambda info: bool(info.latency_regions)),
    "on demand": (r"on[- ]demand|without profile|one region", lambda info: bool(info.direct_regions)),
    "training": (
        r"fine[- ]?tun(?:e|ed|ing|able)|train(?:ed|ing|able)?|customi[sz](?:e|ed|ing|ation|able)",
        lambda info: info.fine_tuning_id is not None,
    ),
    "import": (
        r"(?:custom model )?import(?:ed|able)?|open weights?",
        lambda info: info.import_obstacle is None,
    ),
    "provisioned": (r"provisioned(?: throughput)?", lambda info: info.provisioned_id is not None),
}
_ORDERS: dict[str, str] = {
    "cheapest": (
        r"as cheap(?:ly)? as possible|cheap(?:est)?|low(?:est)?[- ](?:price|cost)|inexpensive"
        r"|not (?:too )?expensive"
    ),
    "largest": r"best(?: quality)?|largest|biggest|strongest|most capable|quality",
    "smallest": r"smallest|small|tiny",
    "longest": r"longest(?: context(?: window)?)?",
}
_NUMBER = re.compile(r"\b(\d+)\s?(k|m)\b(?: tokens?)?(?: of)?(?: context)?(?: window)?")
_ACTIVE = r"\b(?:not legacy|active)\b"
_SIZE = re.compile(r"\b(\d+b)\b")


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
        text: Needs, as in "the cheapest with vision in eu": those of `_NEEDS`, so many tokens, a size, a
            language, a Region, geography or city, and an order: cheapest, largest, smallest, longest.
        today: Models that have ended on this day are left out.

    Raises:
        ValueError: A word is not understood.
    """
    wanted: dict[str, Callable[[ModelInfo], bool]] = {}
    orders: list[str] = []
    place: str | None = None
    for part in re.split(r"[,;]", in_english(text.lower())):
        phrase, where = _split_place(" ".join(part.split()))
        if where is not None:
            place = where
            wanted[f"in {where}"] = _in_place(where)
        left = _take(phrase, wanted, orders, today)
        if left:
            known = ", ".join(
                [*_NEEDS, *_ORDERS, "128k tokens", "70b", "not legacy", "a language", "in REGION"]
            )
            raise ValueError(f"--for: {left!r} is not understood; there are {known}")
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
    """Take the place out of a phrase: what follows "in", or a word that names one."""
    regions = {region for info in CATALOG.values() for region in info.regions}
    words = {*_PLACES, *regions, *(region.partition("-")[0] for region in regions)} - {"us"}  # "us": also we
    named = "|".join(sorted(words, key=len, reverse=True))
    found = re.search(rf"\b(?:in|from) (?:the )?({named}|[a-z]+(?:-[a-z]+)+-\d)\b|\b({named})\b", phrase)
    if found is None:
        return phrase, None
    name = found[1] or found[2]
    place = _PLACES.get(name, name)
    if not any(region.startswith(place) for region in regions):
        raise ValueError(f"--for: no Llama is offered in {name!r}; regions: {', '.join(sorted(regions))}")
    return f"{phrase[: found.start()]} {phrase[found.end() :]}", place


def _in_place(place: str) -> Callable[[ModelInfo], bool]:
    return lambda info: any(region.startswith(place) for region in info.regions)


def _take(phrase: str, wanted: dict[str, Callable[[ModelInfo], bool]], orders: list[str], today: date) -> str:
    """Note what a phrase asks for; return what of it is not understood."""

    def at_least(tokens: int) -> Callable[[ModelInfo], bool]:
        return lambda info: info.max_input_tokens >= tokens

    def of_size(size: str) -> Callable[[ModelInfo], bool]:
        return lambda info: info.size.lower().split()[0] == size

    def speaks(language: str) -> Callable[[ModelInfo], bool]:
        return lambda info: language in info.languages

    for number, unit in _NUMBER.findall(phrase):
        wanted[f"{number}{unit} tokens"] = at_least(int(number) * (1_000 if unit == "k" else 1_000_000))
    for size in _SIZE.findall(phrase):
        wanted[size] = of_size(size)
    phrase = _SIZE.sub(" ", _NUMBER.sub(" ", phrase))
    if re.search(_ACTIVE, phrase):
        wanted["not legacy"] = lambda info: info.lifecycle_on(today) == "active"
        phrase = re.sub(_ACTIVE, " ", phrase)
    for name, pattern in _ORDERS.items():
        phrase, times = re.subn(rf"\b(?:{pattern})\b", " ", phrase)
        if times:
            orders.append(name)
    for name, (pattern, meets) in _NEEDS.items():
        phrase, times = re.subn(rf"\b(?:{pattern})\b", " ", phrase)
        if times:
            wanted[name] = meets
    languages = {language for info in CATALOG.values() for language in info.languages}
    left = []
    for word in _FILLERS.sub(" ", phrase).split():
        if word.title() in languages:
            wanted[word] = speaks(word.title())
        else:
            left.append(word)
    return " ".join(left)


def _rank(order: str, info: ModelInfo, place: str | None) -> float:
    if order == "longest":
        return -info.max_input_tokens
    if order == "cheapest":
        price = price_at(info, place)
        return float("inf") if price is None else 3 * price[0] + price[1]  # three times as much is read
    parts = [float(number) for number in re.findall(r"[\d.]+", info.size)]  # "70B", "17B x16E"
    size = parts[0] * (parts[1] if len(parts) > 1 else 1.0) if parts else 0.0
    return size if order == "smallest" else -size
