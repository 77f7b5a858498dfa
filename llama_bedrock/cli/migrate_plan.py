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

    from llama_bedrock.cli.output import counted, note, print_json
    from llama_bedrock.control.migration import plan_migration

    plan = plan_migration(path, region=region, input_tokens=input_tokens, output_tokens=output_tokens)
    if as_json:
        print_json(asdict(plan))
        return
    for line in plan.unread:
        note(f"not read: {line}")
    if not plan.uses:
        note(f"no Llama of Bedrock is named in {counted(plan.files, 'file')}")
        return
    _print(plan, path)
    note(
        "The last Llama leaves Bedrock on 2027-03-30; imported ones stay, billed by model units and minutes."
    )


def _print(plan: MigrationPlan, path: Path) -> None:
    from llama_bedrock.cli.tables import Column, print_table

    columns = (
        Column("Where", cut="start"),
        Column("Id"),
        Column("State", rank=3),
        Column("End of life", rank=1),
        Column("Until then", rank=2),
        Column("For good", rank=6, cut="end"),
        Column("USD", rank=5, right=True),
        Column("then", rank=5, right=True),
    )
    rows = [
        (
            f"{_below(path, use.file)}:{use.line}",
            use.found,
            str(use.status),
            str(use.end_of_life or "-"),
            use.successor or "-",
            use.for_good,
            _usd(use.cost),
            _usd(use.successor_cost),
        )
        for use in plan.uses
    ]
    print_table(columns, rows, whole="--json has them")


def _below(folder: Path, file: str) -> str:
    """The name of a file as it is below the folder that was searched, itself a name or none."""
    return (
        str(Path(file).relative_to(folder)) if Path(file).is_relative_to(folder) and folder.is_dir() else file
    )


def _usd(value: float | None) -> str:
    return "-" if value is None else f"{value:,.2f}"
