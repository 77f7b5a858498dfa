"""`llama-bedrock import`: from the files of a model to an ARN that answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import PromptFormat, Region

if TYPE_CHECKING:
    from llama_bedrock.control import ImportProgress, ModelFiles


def import_model(
    source: Annotated[str, typer.Argument(help="Folder of the model, or s3://bucket/prefix.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the imported model.")] = None,
    role_arn: Annotated[
        str | None, typer.Option("--role-arn", help="Role with which Bedrock reads the bucket.")
    ] = None,
    s3_uri: Annotated[
        str | None, typer.Option("--s3", help="Where a folder is uploaded to: s3://bucket/prefix.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the files and stop.")] = False,
    prompt_format: PromptFormat = None,
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Import a Llama into Bedrock: check its files, upload them, run the job, make a first call.

    Called again after a failure it goes on where it was.
    """
    from llama_bedrock.cli.output import note, print_json, write
    from llama_bedrock.control import check_model_files
    from llama_bedrock.control import import_model as run

    reach = {"region_name": region} if region else {}
    if check:
        _report(check_model_files(source, **reach), as_json)
        return
    if name is None or role_arn is None:
        raise ValueError("--name and --role-arn are needed to import; --check looks at the files alone")
    model = run(
        source, name, role_arn, s3_uri=s3_uri, prompt_format=prompt_format, progress=_Progress(), **reach
    )
    if as_json:
        print_json({key: value for key, value in _fields(model).items() if not key.startswith("_")})
        return
    write(f"{model.arn}\n")
    note(f"prompt format {model.prompt_format}; {'imported' if model.new else 'it was imported before'}")
    if model.units is not None:
        note(f"a copy takes {model.units} custom model units ({model.units_version}), billed while loaded")


def _fields(value: Any) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def _report(found: ModelFiles, as_json: bool) -> None:
    from dataclasses import asdict

    from llama_bedrock.cli.output import note, print_json, say

    if as_json:
        print_json({**asdict(found), "ok": found.ok})
    else:
        for finding in found.findings:
            say(f"{finding.level}: ", str(finding).removeprefix(f"{finding.level}: "))
        kind = f"{found.architecture or 'no architecture'}, prompt format {found.prompt_format or 'unknown'}"
        size = f"{found.dtype}, {_size(found.weight_bytes)}" if found.dtype else "no weights"
        say("", f"{found.where}: {kind}, {size}")
    if not found.ok:
        note("Bedrock would refuse it")
        raise typer.Exit(2)


class _Progress:
    """Says what goes on: each phase once, the upload by tenths, the job when its state changes."""

    def __init__(self) -> None:
        self._last: object = None

    def __call__(self, now: ImportProgress) -> None:
        from llama_bedrock.cli.output import note

        tenth = now.done * 10 // now.total if now.total else 0
        state = (now.phase, tenth, now.status if now.phase == "import" else "")
        if state == self._last:
            return
        self._last = state
        more = f" {tenth * 10} % of {_size(now.total)}" if now.phase == "upload" else ""
        note(f"{now.phase}{more}{f' {now.status}' if now.phase == 'import' else ''}")


def _size(count: int) -> str:
    return f"{count / 1e9:,.2f} GB" if count >= 1e9 else f"{count / 1e6:,.2f} MB"
