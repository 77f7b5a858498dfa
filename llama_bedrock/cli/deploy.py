"""`llama-bedrock deploy`: a custom model made callable, on demand or with bought throughput."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import PromptFormat, Region

if TYPE_CHECKING:
    from llama_bedrock.control import Purchase


def deploy(
    model: Annotated[str, typer.Argument(help="ARN of a custom model; with --units, also a model id.")],
    name: Annotated[str, typer.Option("--name", help="Name of the deployment or the throughput.")],
    units: Annotated[
        int | None, typer.Option("--units", min=1, help="Buy provisioned throughput of so many model units.")
    ] = None,
    commitment: Annotated[
        str | None, typer.Option("--commitment", help="OneMonth or SixMonths; none: by the hour.")
    ] = None,
    hourly: Annotated[
        float | None, typer.Option("--hourly", help="USD for an hour of a unit, from AWS's price list.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Buy without asking.")] = False,
    prompt_format: PromptFormat = None,
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a custom model callable and print its ARN; with --units, buy throughput for it (it asks first)."""
    from llama_bedrock.cli.output import print_json, write
    from llama_bedrock.control import deploy as run
    from llama_bedrock.control import provision

    options: dict[str, Any] = {"prompt_format": prompt_format} | ({"region_name": region} if region else {})
    if units is None:
        if commitment is not None or hourly is not None:
            raise ValueError("--commitment and --hourly belong to bought throughput: give --units")
        hosted = run(model, name, **options)
    else:
        terms: dict[str, Any] = {"units": units, "commitment": commitment, "hourly": hourly}
        hosted = provision(model, name, confirm=lambda purchase: yes or _ask(purchase), **terms, **options)
    if as_json:
        shown = [key for key in hosted.__dataclass_fields__ if not key.startswith("_")]
        print_json({key: getattr(hosted, key) for key in shown})
    else:
        write(f"{hosted.arn}\n")


def _ask(purchase: Purchase) -> bool:
    import sys
    from dataclasses import replace

    from llama_bedrock.cli.output import note

    note(f"This is a purchase: {purchase}")
    if not sys.stdin.isatty():
        note("nobody is there to ask: --yes buys")
        return False
    if purchase.hourly is None:
        hourly = typer.prompt(
            "USD for an hour of a unit, as that page says (0: unknown)", type=float, default=0.0, err=True
        )
        if hourly > 0:
            note(f"So: {replace(purchase, hourly=hourly)}")
    return typer.confirm("Buy it?", default=False, err=True)
