"""`llama-bedrock iam`: the least-privilege policy of some features."""

from __future__ import annotations

from typing import Annotated

import typer

from llama_bedrock.cli.shell_completion import complete_models, complete_regions


def iam(
    features: Annotated[list[str] | None, typer.Argument(help="Features; none: list them.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", help="Only this model id or ARN.", autocompletion=complete_models),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option("--region", "-r", help="Only this AWS region.", autocompletion=complete_regions),
    ] = None,
    account: Annotated[str, typer.Option("--account", help="AWS account id.")] = "*",
    bucket: Annotated[str, typer.Option("--bucket", help="Bucket of files and jobs.")] = "YOUR-BUCKET",
    role: Annotated[str, typer.Option("--role", help="Role that Bedrock assumes for jobs.")] = "YOUR-ROLE",
) -> None:
    """Print the IAM policy that features need, as JSON; without a feature, list them."""
    from llama_bedrock.cli.output import print_json, say
    from llama_bedrock.iam import FEATURES, policy

    if features:
        print_json(policy(features, model=model, region=region, account=account, bucket=bucket, role=role))
        return
    for name, (what, _) in FEATURES.items():
        say(f"{name:<22} ", what)
