"""`llama-bedrock models`: what the catalogue knows."""

from __future__ import annotations

import sys
from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.shell_completion import complete_models, complete_regions

if TYPE_CHECKING:
    from datetime import date

    from llama_bedrock.catalog import ModelInfo


def models(
    model: Annotated[
        str | None,
        typer.Argument(
            help="Model id, profile id or ARN: all facts of this one. Or a family, such as llama4 or 3.3.",
            autocompletion=complete_models,
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            "--region",
            "-r",
            help="Only models that can be called from this AWS region.",
            autocompletion=complete_regions,
        ),
    ] = None,
    needs: Annotated[
        str | None,
        typer.Option("--for", help='What it is for, such as "long context, vision, cheapest in eu".'),
    ] = None,
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="What this account can call, imported models and others too, as AWS says."
        ),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """List the Llama models of Bedrock: context, price, regions, end of life.

    Prices are USD per 1,000,000 tokens, input / output, in the model's reference region or in --region.
    """
    from llama_bedrock.catalog import CATALOG, resolve_model
    from llama_bedrock.cli.output import print_json

    if as_json and as_csv:
        raise ValueError("--json and --csv exclude each other")
    if model is not None and (live or needs is not None):
        raise ValueError(f"{model!r} beside {'--live' if live else '--for'}: give one of them")
    if live and needs is not None:
        raise ValueError("--live and --for exclude each other")
    if live:
        _print_live(region, as_json, as_csv)
        return
    if needs is not None:
        _print_choice(needs, region, as_json, as_csv)
        return
    chosen = list(CATALOG.values()) if model is None else family(model)
    if model is not None and not chosen:
        info = resolve_model(model, region).info
        if info is None:
            raise ValueError(f"{model!r} hides which model it is, so the catalogue has no facts of it")
        if as_csv:
            _print_csv([info], region)
        else:
            print_json(facts_of(info)) if as_json else _print_facts(info)
        return
    here = [info for info in chosen if region is None or region in info.regions]
    if not here:
        known = sorted({name for info in chosen for name in info.regions})
        what = f"no model of {model!r}" if model else "no Llama"
        raise ValueError(f"{what} can be called from {region!r}; regions with some: {', '.join(known)}")
    _print_models(here, region, as_json, as_csv)


def family(text: str) -> list[ModelInfo]:
    """The models of a family: ``llama4``, ``llama3-3``, ``Llama 3.1 8B``, ``4``, ``scout``; none for an id.

    Those whose ids begin so; if there are none, those that have it as a part.
    """
    import re

    from llama_bedrock.catalog import CATALOG

    asked = re.sub(r"[ ._]+", "-", text.strip().lower()).removeprefix("meta-").replace("llama-", "llama")
    asked = f"llama{asked}" if re.match(r"\d(?!\d*b)", asked) else asked
    if not asked or text in CATALOG or not re.fullmatch(r"[a-z0-9-]+", asked):
        return []
    stems = {info.model_id.removeprefix("meta."): info for info in CATALOG.values()}
    first = [info for stem, info in stems.items() if stem.startswith(asked)]
    return first or [info for stem, info in stems.items() if f"-{asked}-" in f"-{stem}-"]


def facts_of(info: ModelInfo) -> dict[str, Any]:
    """Every fact of a model as JSON-able values."""
    from dataclasses import asdict

    return {**asdict(info), "profile_ids": info.profile_ids, "regions": info.regions}


def _print_models(
    chosen: list[ModelInfo], region: str | None, as_json: bool, as_csv: bool, place: str | None = None
) -> None:
    """Print models in the form that was asked for; `place`: the geography or region whose price is wanted."""
    from llama_bedrock.catalog.choosing import price_at
    from llama_bedrock.cli.output import note, print_json

    if as_csv:
        _print_csv(chosen, region)
    elif as_json:
        prices = [{} if place is None else {"price": price_at(info, place)} for info in chosen]
        print_json([{**facts_of(info), **price} for info, price in zip(chosen, prices, strict=True)])
    else:
        _print_table(chosen, region)
        if place is None:
            note(
                "Every Llama on Bedrock is Legacy or has ended; imported models stay callable. "
                "Prices: USD per 1,000,000 tokens, input / output."
            )


def _print_csv(chosen: list[ModelInfo], region: str | None) -> None:
    from datetime import datetime

    from llama_bedrock.cli.tables import print_csv

    today = datetime.now(UTC).date()
    rows = []
    for info in chosen:
        price = info.price_in(region)
        rows.append(
            {
                "model_id": info.model_id,
                "name": info.name,
                "context_window": info.context_window,
                "max_input_tokens": info.max_input_tokens,
                "max_output_tokens": info.max_output_tokens,
                "usd_per_million_input_tokens": price.input if price else "",
                "usd_per_million_output_tokens": price.output if price else "",
                "input": "+".join(info.input_modalities),
                "regions": _regions(info),
                "state": info.lifecycle_on(today),
                "end_of_life": info.end_of_life or "",
            }
        )
    print_csv(rows)


def _print_table(chosen: list[ModelInfo], region: str | None) -> None:
    from datetime import datetime

    from llama_bedrock.cli.tables import Column, print_table

    today = datetime.now(UTC).date()
    columns = (
        Column("Model id"),
        Column("Context", rank=3, right=True),
        Column("Output", rank=4, right=True),
        Column("Price", rank=2, right=True),
        Column("Input", rank=5),
        Column("End of life", rank=1),
        Column("Regions", rank=6, cut="end"),
    )
    rows = [
        (
            info.model_id,
            f"{info.max_input_tokens:,}",
            f"{info.max_output_tokens:,}",
            _price(info, region),
            "+".join(info.input_modalities),
            _end(info, today),
            _regions(info),
        )
        for info in chosen
    ]
    print_table(columns, rows, [info.lifecycle_on(today) == "ended" for info in chosen])


def _print_choice(needs: str, region: str | None, as_json: bool, as_csv: bool) -> None:
    from datetime import datetime

    from llama_bedrock.catalog.choosing import choose
    from llama_bedrock.cli.output import note

    choice = choose(f"{needs}, in {region}" if region else needs, datetime.now(UTC).date())
    if not choice.models:
        left = "; ".join(f"without {need!r}: {count}" for need, count in choice.misses.items())
        raise ValueError(f"no Llama on Bedrock meets {', '.join(choice.needs)} (models {left})")
    place = next(
        (r for info in choice.models for r in info.regions if r.startswith(choice.place or "")), None
    )
    where = place if choice.place else None
    _print_models(list(choice.models), where, as_json, as_csv, choice.place or "")
    if not (as_json or as_csv):
        note(f"Best first, for: {', '.join(choice.needs)}.")


def _print_live(region: str | None, as_json: bool, as_csv: bool) -> None:
    from datetime import datetime

    from llama_bedrock.cli.aws_checks import AskedAccount
    from llama_bedrock.cli.backend import find_credentials, no_credentials
    from llama_bedrock.cli.live_models import live_models
    from llama_bedrock.cli.output import note, print_json
    from llama_bedrock.cli.tables import Column, print_csv, print_table
    from llama_bedrock.transport.connection import TransportSettings, missing_region

    if find_credentials() is None:
        raise no_credentials("leave --live out, for the catalogue")
    where = region or TransportSettings().region()
    if not where:
        raise missing_region()
    found, missing = live_models(AskedAccount(where, has_keys=True).client("bedrock"))
    for line in missing:
        note(f"not told: {line}")
    if as_json:
        print_json([one.to_dict(where) for one in found])
        return
    headers = ("Kind", "Model", "Name", "State", "Context", "Price", "End of life")
    rows = []
    for one in found:
        info = one.facts
        known = ("-", "-", "-")
        if info is not None:
            price = _price(info, where) if one.kind in ("model", "profile") else "-"
            known = (f"{info.max_input_tokens:,}", price, _end(info, datetime.now(UTC).date()))
        rows.append((one.kind, one.model, one.name, one.state, *known))
    if as_csv:
        names = [header.lower().replace(" ", "_") for header in headers]
        print_csv([dict(zip(names, row, strict=True)) for row in rows])
        return
    ranks = (3, 0, 6, 2, 5, 4, 1)
    columns = [
        Column(header, rank, right=header in ("Context", "Price"), cut="end" if header == "Name" else "")
        for header, rank in zip(headers, ranks, strict=True)
    ]
    # ARNs of one account begin alike, and would take the place of all other columns.
    arns = [row[1] for row in rows if row[1].startswith("arn:")] if sys.stdout.isatty() else []
    start = ":".join(arns[0].split(":")[:5]) if arns else ""
    print_table(
        columns, [(row[0], row[1].replace(f"{start}:", "…:") if start else row[1], *row[2:]) for row in rows]
    )
    if start:
        note(f"… is {start}")


def _end(info: ModelInfo, today: date) -> str:
    """When a model ends, or ended; in words, since not every terminal shows what is dim."""
    if info.lifecycle_on(today) != "ended":
        return f"{info.end_of_life or '-'}"
    return f"ended {info.end_of_life:%Y-%m}" if info.end_of_life else "ended"


def _price(info: ModelInfo, region: str | None) -> str:
    price = info.price_in(region)
    return f"{price.input:g} / {price.output:g}" if price else "-"


def _regions(info: ModelInfo) -> str:
    ways = [", ".join(info.direct_regions)] if info.direct_regions else []
    ways += [f"{geo}.* from {', '.join(sources)}" for geo, sources in info.profiles.items()]
    return "; ".join(ways) or "-"


def _print_facts(info: ModelInfo) -> None:
    from rich.table import Table

    from llama_bedrock.catalog import lifecycle_message
    from llama_bedrock.cli.output import note, stdout

    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True, style="bold")
    table.add_column(overflow="fold")
    for name, value in facts_of(info).items():
        if value not in (None, (), {}):
            table.add_row(name.replace("_", " "), _plain(value))
    stdout().print(table)
    if message := lifecycle_message(info):
        note(message)


def _plain(value: Any) -> str:
    """A fact in words; one with parts takes a line for each."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (int, float)):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    if isinstance(value, dict):
        if not any(isinstance(item, (dict, list, tuple)) for item in value.values()):
            return ", ".join(f"{key} {_plain(item)}" for key, item in value.items())
        return "\n".join(
            f"{key}: {line}" for key, item in value.items() for line in _plain(item).splitlines()
        )
    if isinstance(value, (list, tuple)):
        texts = [str(item) for item in value]
        return (" " if any(text.endswith(".") for text in texts) else ", ").join(texts)
    return str(value)
