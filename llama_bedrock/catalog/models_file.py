"""models.toml → `ModelInfo` objects, read when the first one is asked for."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from llama_bedrock.catalog.model_info import ModelInfo, Parameter, Price

_PRICE_TABLES = ("prices", "batch_prices")


def _to_info(model_id: str, row: Mapping[str, Any]) -> ModelInfo:
    facts: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in row.items()
    }
    for table in _PRICE_TABLES:
        facts[table] = {place: Price(**price) for place, price in row.get(table, {}).items()}
    facts["parameters"] = {name: Parameter(**limits) for name, limits in row["parameters"].items()}
    facts["profiles"] = {
        geo: {source: tuple(destinations) for source, destinations in sources.items()}
        for geo, sources in row.get("profiles", {}).items()
    }
    return ModelInfo(model_id=model_id, **facts)


@cache
def load_models() -> Mapping[str, ModelInfo]:
    """Every model of models.toml by its bare id, in the file's order (oldest generation first)."""
    text = files("llama_bedrock.catalog").joinpath("models.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    common = document["common"]
    return {model_id: _to_info(model_id, {**common, **row}) for model_id, row in document["models"].items()}


class _Catalog(Mapping[str, ModelInfo]):
    """The models by bare id; the file is parsed on first use, so importing the catalogue costs nothing."""

    def __getitem__(self, model_id: str) -> ModelInfo:
        return load_models()[model_id]

    def __iter__(self) -> Iterator[str]:
        return iter(load_models())

    def __len__(self) -> int:
        return len(load_models())

    def __repr__(self) -> str:
        return f"<catalogue of {len(self)} Llama models: {', '.join(self)}>"


CATALOG: Mapping[str, ModelInfo] = _Catalog()
"""Every Llama that Bedrock has offered, by bare model id."""
