"""`llama-bedrock models`: what the catalogue knows."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from llama_bedrock.catalog import ModelInfo


def models(
    model: Annotated[
        str | None, typer.Argument(help="Model id, profile id or ARN: show all facts of this one.")
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="Only models that can be called from this AWS region."),
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
) -> None:
    """List the Llama models of Bedrock: context, price, regions, end of life.

    Prices are USD per 1,000,000 tokens, input / output, in the model's reference region or in --region.
    """
    from llama_bedrock.catalog import CATALOG, resolve_model
    from llama_bedrock.cli.output import print_json

    if live:
        _print_live(region, as_json)
        return
    if needs is not None:
        _print_choice(needs, region, as_json)
        return
    if model is not None:
        info = resolve_model(model, region).info
        if info is None:
            raise ValueError(f"{model!r} hides which model it is, so the catalogue has no facts of it")
        print_json(facts_of(info)) if as_json else _print_facts(info)
        return
    chosen = [info for info in CATALOG.values() if region is None or region in info.regions]
    if not chosen:
        known = sorted({name for info in CATALOG.values() for name in info.regions})
        raise ValueError(f"no Llama can be called from {region!r}; regions with some: {', '.join(known)}")
    if as_json:
        print_json([facts_of(info) for info in chosen])
    else:
        _print_table(chosen, region)


def facts_of(info: ModelInfo) -> dict[str, Any]:
    """Every fact of a model as JSON-able values."""
    from dataclasses import asdict

    return {**asdict(info), "profile_ids": info.profile_ids, "regions": info.regions}


def _print_table(chosen: list[ModelInfo], region: str | None) -> None:
    from datetime import datetime

    from rich.table import Table

    from llama_bedrock.cli.output import note, stdout

    today = datetime.now(UTC).date()
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    table.add_column("Model id", no_wrap=True)
    for header in ("Context", "Output", "Price"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("Input", no_wrap=True)
    table.add_column("Regions", overflow="fold")
    table.add_column("End of life", no_wrap=True)
    for info in chosen:
        state = info.lifecycle_on(today)
        table.add_row(
            info.model_id,
            f"{info.context_window:,}",
            f"{info.max_output_tokens:,}",
            _price(info, region),
            "+".join(info.input_modalities),
            _regions(info),
            f"{info.end_of_life or 'ended'}",
            style="dim" if state == "ended" else None,
        )
    stdout().print(table)
    note("Every Llama on Bedrock is Legacy or has ended; imported models (ARN, prompt format) stay callable.")


def _print_choice(needs: str, region: str | None, as_json: bool) -> None:
    from datetime import datetime

    from llama_bedrock.catalog.choosing import choose, price_at
    from llama_bedrock.cli.output import note, print_json

    choice = choose(f"{needs}, in {region}" if region else needs, datetime.now(UTC).date())
    if not choice.models:
        left = "; ".join(f"without {need!r}: {count}" for need, count in choice.misses.items())
        raise ValueError(f"no Llama on Bedrock meets {', '.join(choice.needs)} (models {left})")
    if as_json:
        print_json([{**facts_of(info), "price": price_at(info, choice.place)} for info in choice.models])
        return
    place = next(
        (r for info in choice.models for r in info.regions if r.startswith(choice.place or "")), None
    )
    _print_table(list(choice.models), place if choice.place else None)
    note(f"Best first, for: {', '.join(choice.needs)}.")


def _print_live(region: str | None, as_json: bool) -> None:
    from rich.table import Table

    from llama_bedrock.cli.aws_checks import AskedAccount
    from llama_bedrock.cli.backend import find_credentials, no_credentials
    from llama_bedrock.cli.live_models import live_models
    from llama_bedrock.cli.output import note, print_json, stdout
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
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in ("Kind", "Model", "Name", "State"):
        table.add_column(header, overflow="fold")
    for header in ("Context", "Price", "End of life"):
        table.add_column(header, no_wrap=True)
    for one in found:
        info = one.facts
        known = ("-", "-", "-")
        if info is not None:
            price = _price(info, where) if one.kind in ("model", "profile") else "-"
            known = (f"{info.context_window:,}", price, f"{info.end_of_life or 'ended'}")
        table.add_row(one.kind, one.model, one.name, one.state, *known)
    stdout().print(table)


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
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_plain(item)}" for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value)
    return str(value)
