"""`llama-bedrock train`: examples to a custom model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from llama_bedrock.cli.model_options import Region

if TYPE_CHECKING:
    from llama_bedrock.control import CheckedTrainingData, CustomisationProgress


def train(
    data: Annotated[Path, typer.Argument(help="Examples: .jsonl, or .csv with prompt and completion.")],
    base: Annotated[str, typer.Option("--base", help="Id of the model to train.")],
    name: Annotated[str | None, typer.Option("--name", help="Name of the new model.")] = None,
    role_arn: Annotated[
        str | None, typer.Option("--role-arn", help="Role with which Bedrock reads and writes S3.")
    ] = None,
    output: Annotated[
        str | None, typer.Option("--output", help="s3://bucket/prefix for data and metrics.")
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Check the examples and stop.")] = False,
    write_to: Annotated[
        Path | None, typer.Option("--write", help="With --check: write them in the schema of the base model.")
    ] = None,
    tests: Annotated[
        Path | None, typer.Option("--test-questions", help="File of questions that must not be in the data.")
    ] = None,
    epochs: Annotated[int | None, typer.Option("--epochs", help="Times that all is read, 1 to 10.")] = None,
    learning_rate: Annotated[float | None, typer.Option("--learning-rate", help="0.000005 to 0.1.")] = None,
    region: Region = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Fine-tune a Llama on Bedrock: check the examples, upload them, run the job."""
    from llama_bedrock.cli.output import note, print_json, write
    from llama_bedrock.control import TrainingData, customise

    examples = TrainingData.from_csv(data) if data.suffix == ".csv" else TrainingData.from_jsonl(data)
    questions = tests.read_text(encoding="utf-8").splitlines() if tests else []
    checked = examples.check(base, test_questions=questions)
    if check or not checked.ok:
        _report(checked, write_to, as_json, tested=bool(questions))
        return
    if name is None or role_arn is None or output is None:
        raise ValueError(
            "--name, --role-arn and --output are needed to train; --check looks at the data alone"
        )
    for finding in checked.findings:
        note(str(finding))
    reach: dict[str, Any] = {"region_name": region} if region else {}
    given = {"epochCount": epochs, "learningRate": learning_rate}
    model = customise(
        base,
        name,
        checked,
        role_arn,
        output,
        progress=_tell,
        hyperparameters={key: value for key, value in given.items() if value is not None},
        **reach,
    )
    if as_json:
        print_json({key: getattr(model, key) for key in model.__dataclass_fields__})
    else:
        write(f"{model.arn}\n")
        note(f"training loss {model.training_loss}; `llama-bedrock deploy` makes it callable")


def _report(checked: CheckedTrainingData, write_to: Path | None, as_json: bool, tested: bool) -> None:
    from dataclasses import asdict

    from llama_bedrock.cli.output import counted, note, print_json, say

    if as_json:
        findings = [asdict(finding) for finding in checked.findings]
        counts = {"examples": len(checked.examples), "tokens": checked.tokens}
        print_json({"ok": checked.ok, **counts, "findings": findings})
    else:
        for finding in checked.findings:
            say(f"{finding.level}: ", str(finding).removeprefix(f"{finding.level}: "))
        say("", f"{counted(len(checked.examples), 'example')}, about {counted(checked.tokens, 'token')}")
    if not checked.ok:
        note(
            "Bedrock would refuse them."
            if not tested
            else "Bedrock would refuse them, or the test would be spoilt."
        )
        raise typer.Exit(2)
    if write_to is not None:
        checked.write(write_to)


def _tell(now: CustomisationProgress) -> None:
    from llama_bedrock.cli.output import note

    steps = ", ".join(f"{name} {status}" for name, status in now.steps.items())
    loss = f", training loss {now.training_loss:.4f}" if now.training_loss is not None else ""
    note(f"{now.status}{f': {steps}' if steps else ''}{loss}")
