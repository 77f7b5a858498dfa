"""`llama-bedrock migrate-plan`: which Llamas a project names, when they end, and what follows."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from llama_bedrock.cli.model_options import Region

if TYPE_CHECKING:
    from llama_bedrock.control.migration import MigrationPlan


def migrate_plan(
    path: Annotated[Path, typer.Argument(help="A file, or a folder with all in it.")],
    region: Region = None,
    input_tokens: Annotated[
        int, typer.Option("--input-tokens", min=0, help="Tokens of prompts to compare costs by.")
    ] = 1_000_000,
    output_tokens: Annotated[
        int, typer.Option("--output-tokens", min=0, help="Tokens of answers to compare costs by.")
    ] = 1_000_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Find Llama ids in source, config and Terraform files: state, end, successor, cost of tokens."""
    from dataclasses import asdict

    from llama_bedrock.cli.output import note, print_json
    from llama_bedrock.control.migration import plan_migration

    plan = plan_migration(path, region=region, input_tokens=input_tokens, output_tokens=output_tokens)
    if as_json:
        print_json(asdict(plan))
        return
    for line in plan.unread:
        note(f"not read: {line}")
    if not plan.uses:
        note(f"no Llama of Bedrock is named in {plan.files:,} files")
        return
    _print(plan)
    note(
        "The last Llama leaves Bedrock on 2027-03-30; imported ones stay, billed by model units and minutes."
    )


def _print(plan: MigrationPlan) -> None:
    from rich.table import Table

    from llama_bedrock.cli.output import stdout

    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for header in ("Where", "Id", "State", "End of life"):
        table.add_column(header, no_wrap=True)
    for header in ("Until then", "For good"):
        table.add_column(header, overflow="fold")
    for header in ("USD", "then"):
        table.add_column(header, justify="right", no_wrap=True)
    for use in plan.uses:
        table.add_row(
            f"{use.file}:{use.line}",
            use.found,
            str(use.status),
            str(use.end_of_life or "-"),
            use.successor or "-",
            use.for_good,
            _usd(use.cost),
            _usd(use.successor_cost),
        )
    stdout().print(table)


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
