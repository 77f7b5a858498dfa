"""The page docs/models.md: ``python -m llama_bedrock.catalog.markdown > docs/models.md``."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping

from llama_bedrock.catalog.model_info import ModelInfo, Price
from llama_bedrock.catalog.models_file import CATALOG

_INTRODUCTION = """\
# Llama models on Amazon Bedrock

**Every Llama on Bedrock is Legacy or past its end of life.** Legacy means: new accounts get no access, an
account that does not call the model for 15 days can lose it, and no new fine-tuning or Provisioned
Throughput can be bought. What lasts is Custom Model Import: import the weights and pass the
`imported-model` ARN with `prompt_format=`; the prompts stay the same.

Written by `python -m llama_bedrock.catalog.markdown` from `llama_bedrock/catalog/models.toml`: change that
file, not this one. No live AWS call was made for it: the facts come from pages that AWS, Meta and LiteLLM
publish, named below for each model. AWS can change a model's lifecycle at any time and per region;
`GetFoundationModel` has the last word.
"""

_TABLE_NOTES = """\
Tokens: the context window as the model card prints it, in brackets what the service was measured to
enforce. Output: the limit to plan with; `InvokeModel` documents 1 to 2048 for every Llama, with 512 as the
default. Tools and structured output work with every chat model from Llama 3 on: this library writes them
into the prompt.
"""


def models_page() -> str:
    parts = [
        _INTRODUCTION,
        "## Overview\n",
        _table(CATALOG.values()),
        "",
        _TABLE_NOTES,
        "## Model by model\n",
    ]
    parts += [_section(info) for info in CATALOG.values()]
    return "\n".join(parts).rstrip() + "\n"


def _table(models: Iterable[ModelInfo]) -> str:
    head = ["Model id", "Context", "Output", "Input", "USD per 1M in / out", "State", "End of life"]
    rows = [_row(info) for info in models]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(info: ModelInfo) -> list[str]:
    price = info.price_in(None)
    return [
        f"`{info.model_id}`",
        _context(info),
        f"{info.max_output_tokens:,}",
        ", ".join(info.input_modalities),
        _usd(price) if price else "-",
        info.lifecycle,
        str(info.end_of_life or "not known"),
    ]


def _context(info: ModelInfo) -> str:
    enforced = f" ({info.enforced_context_window:,})" if info.enforced_context_window else ""
    return f"{info.context_window:,}{enforced}"


def _usd(price: Price) -> str:
    return " / ".join(
        f"{usd:.2f}" if usd == round(usd, 2) else f"{usd:g}" for usd in (price.input, price.output)
    )


def _section(info: ModelInfo) -> str:
    facts = {
        "Prompt format": f"`{info.generation}`, {info.variant}, {info.size}",
        "Languages": ", ".join(info.languages)
        + ("; English only with an image" if info.image_languages else ""),
        "Images": f"at most {info.max_images}, {info.max_image_pixels} px a side"
        if info.max_images
        else None,
        "Called by its id in": _codes(info.direct_regions),
        **{f"As `{geo}.{info.model_id}` from": _codes(sources) for geo, sources in info.profiles.items()},
        "Latency-optimised in": _codes(info.latency_regions),
        "Batch in": _codes(info.batch_regions),
        "Batch through a profile in": _codes(info.batch_profile_regions),
        "USD per 1M in / out": _prices(info.prices),
        "Batch, USD per 1M in / out": _prices(info.batch_prices),
        "Provisioned Throughput": f"`{info.provisioned_id}`" if info.provisioned_id else None,
        "Fine-tuning": f"`{info.fine_tuning_id}`" if info.fine_tuning_id else None,
        "Tools through Converse": "yes, not while streaming" if info.converse_tools else "no",
        "Legacy since": f"{info.legacy_since} (inferred)" if info.legacy_since else None,
        "Custom Model Import": f"no: {info.import_obstacle}" if info.import_obstacle else None,
        "We advise": f"`{info.move_to}`" if info.move_to else None,
        "Checked on": f"{info.as_of}; confidence: "
        + ", ".join(f"{k} {v}" for k, v in info.confidence.items()),
    }
    lines = [f"### {info.name}\n", *(f"- {label}: {value}" for label, value in facts.items() if value)]
    lines += ["", " ".join(info.notes), "", "Sources:", ""]
    return "\n".join([*lines, *(f"- {source}" for source in info.sources), ""])


def _codes(regions: Iterable[str]) -> str:
    return ", ".join(f"`{region}`" for region in regions)


def _prices(prices: Mapping[str, Price]) -> str:
    return ", ".join(f"{_usd(price)} (`{place}`)" for place, price in prices.items())


if __name__ == "__main__":
    sys.stdout.write(models_page())
