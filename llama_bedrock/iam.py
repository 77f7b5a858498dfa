"""Which IAM actions each feature needs: one table, from which policies and docs/iam.md are written.

An action mostly has the name of its operation; the exceptions stand in `ACTION_OF`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from llama_bedrock.catalog import resolve_model
from llama_bedrock.catalog.arn import parse_model_arn, partition_of

ACTION_OF = {
    "Converse": "bedrock:InvokeModel",
    "ConverseStream": "bedrock:InvokeModelWithResponseStream",
    "RetrieveAndGenerateStream": "bedrock:RetrieveAndGenerate",
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "ListAWSDefaultServiceQuotas": "servicequotas:ListAWSDefaultServiceQuotas",
    "ListServiceQuotas": "servicequotas:ListServiceQuotas",
    "HeadObject": "s3:GetObject",
    "ListObjectsV2": "s3:ListBucket",
    "CreateMultipartUpload": "s3:PutObject",
    "UploadPart": "s3:PutObject",
    "CompleteMultipartUpload": "s3:PutObject",
    "AbortMultipartUpload": "s3:AbortMultipartUpload",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "ListParts": "s3:ListMultipartUploadParts",
    "GetObject": "s3:GetObject",
    "PutObject": "s3:PutObject",
    "DeleteObject": "s3:DeleteObject",
    "HeadBucket": "s3:ListBucket",
    "GetBucketAcl": "s3:GetBucketAcl",
    "GetBucketPolicyStatus": "s3:GetBucketPolicyStatus",
}
"""Operation of an SDK → IAM action, where it is not ``bedrock:`` and the same name."""


@dataclass(frozen=True, slots=True)
class Grant:
    """Operations on resources.

    Attributes:
        operations: As botocore names them.
        resources: ARNs with ``{region}``, ``{account}``, ``{bucket}`` and ``{role}``; ``"*"`` for actions
            that IAM ties to no resource; ``"{model}"`` for what calls of the model touch.
    """

    operations: tuple[str, ...]
    resources: tuple[str, ...] = ("*",)


_INVOKE = ("InvokeModel", "InvokeModelWithResponseStream")
_KIND = "arn:aws:bedrock:{region}:{account}:"
_BUCKET = ("arn:aws:s3:::{bucket}", "arn:aws:s3:::{bucket}/*")
_UPLOAD = Grant(
    (
        "GetObject", "HeadObject", "PutObject", "ListObjectsV2", "CreateMultipartUpload", "UploadPart",
        "CompleteMultipartUpload", "AbortMultipartUpload", "ListMultipartUploads", "ListParts",
    ),
    _BUCKET,
)  # fmt: skip
_PASS_ROLE = Grant(("PassRole",), ("arn:aws:iam::{account}:role/{role}",))

FEATURES: Mapping[str, tuple[str, tuple[Grant, ...]]] = {
    "chat": (
        "Call a model, streamed or not: chat, tools, structured output, RAG, agents",
        (Grant(_INVOKE, ("{model}",)),),
    ),
    "bearer": ("Use a Bedrock API key beside the feature's own actions", (Grant(("CallWithBearerToken",)),)),
    "imported": (
        "Find and call imported, deployed and provisioned models",
        (
            Grant(
                (*_INVOKE, "ListTagsForResource"),
                (
                    f"{_KIND}imported-model/*",
                    f"{_KIND}custom-model-deployment/*",
                    f"{_KIND}provisioned-model/*",
                ),
            ),
            Grant(("GetImportedModel",), (f"{_KIND}imported-model/*",)),
            Grant(("GetCustomModelDeployment",), (f"{_KIND}custom-model-deployment/*",)),
            Grant(("GetProvisionedModelThroughput",), (f"{_KIND}provisioned-model/*",)),
            Grant(("ListImportedModels", "ListCustomModelDeployments", "ListProvisionedModelThroughputs")),
        ),
    ),
    "embeddings": (
        "Titan and Cohere embeddings, and reranking",
        (
            Grant(
                ("InvokeModel",),
                (
                    "arn:aws:bedrock:{region}::foundation-model/amazon.*",
                    "arn:aws:bedrock:{region}::foundation-model/cohere.*",
                ),
            ),
            Grant(("Rerank",)),
        ),
    ),
    "guardrail": (
        "Guardrails with a call, and GuardrailVerifier",
        (Grant(("ApplyGuardrail",), (f"{_KIND}guardrail/*",)),),
    ),
    "knowledge-base": (
        "Ask a knowledge base",
        (
            Grant(("Retrieve",), (f"{_KIND}knowledge-base/*",)),
            Grant(("RetrieveAndGenerate", "RetrieveAndGenerateStream")),
        ),
    ),
    "knowledge-base-ingest": (
        "Put documents into a knowledge base",
        (
            Grant(
                (
                    "StartIngestionJob",
                    "GetIngestionJob",
                    "IngestKnowledgeBaseDocuments",
                    "GetKnowledgeBaseDocuments",
                    "ListKnowledgeBaseDocuments",
                    "DeleteKnowledgeBaseDocuments",
                ),
                (f"{_KIND}knowledge-base/*",),
            ),
        ),
    ),
    "import": (
        "Import a model's files (Custom Model Import)",
        (
            _UPLOAD,
            Grant(("CreateModelImportJob", "ListModelImportJobs", "ListImportedModels")),
            Grant(("GetModelImportJob",), (f"{_KIND}model-import-job/*",)),
            Grant(("GetImportedModel", *_INVOKE), (f"{_KIND}imported-model/*",)),
            Grant(
                ("TagResource", "ListTagsForResource"),
                (f"{_KIND}imported-model/*", f"{_KIND}model-import-job/*"),
            ),
            _PASS_ROLE,
        ),
    ),
    "train": (
        "Customise a model, and distil one from invocation logs",
        (
            _UPLOAD,
            Grant(
                ("CreateModelCustomizationJob", "GetModelCustomizationJob", "StopModelCustomizationJob"),
                (
                    "arn:aws:bedrock:{region}::foundation-model/*",
                    f"{_KIND}model-customization-job/*",
                    f"{_KIND}custom-model/*",
                ),
            ),
            Grant(("GetFoundationModel",), ("arn:aws:bedrock:{region}::foundation-model/*",)),
            Grant(("TagResource",), (f"{_KIND}model-customization-job/*", f"{_KIND}custom-model/*")),
            _PASS_ROLE,
        ),
    ),
    "deploy": (
        "Deploy, provision and copy customised models",
        (
            Grant(("CreateCustomModelDeployment", "CreateModelCopyJob"), (f"{_KIND}custom-model/*",)),
            Grant(("GetCustomModelDeployment",), (f"{_KIND}custom-model-deployment/*",)),
            Grant(("GetModelCopyJob",), (f"{_KIND}model-copy-job/*",)),
            Grant(
                ("CreateProvisionedModelThroughput",),
                ("arn:aws:bedrock:{region}::foundation-model/*", f"{_KIND}custom-model/*"),
            ),
            Grant(("GetProvisionedModelThroughput",), (f"{_KIND}provisioned-model/*",)),
            Grant(("ListCustomModelDeployments", "ListProvisionedModelThroughputs")),
            Grant(("TagResource",), (f"{_KIND}custom-model-deployment/*", f"{_KIND}provisioned-model/*")),
        ),
    ),
    "batch": (
        "Batch inference",
        (
            _UPLOAD,
            Grant(("DeleteObject", "HeadBucket", "GetBucketAcl", "GetBucketPolicyStatus"), _BUCKET),
            Grant(
                ("CreateModelInvocationJob", "GetModelInvocationJob", "StopModelInvocationJob"),
                ("{model}", f"{_KIND}model-invocation-job/*"),
            ),
            Grant(("ListModelInvocationJobs",)),
            _PASS_ROLE,
        ),
    ),
    "doctor": (
        "`llama-bedrock doctor`, beside what it checks",
        (
            Grant(
                (
                    "GetCallerIdentity",
                    "ListAWSDefaultServiceQuotas",
                    "ListServiceQuotas",
                    "GetFoundationModelAvailability",
                )
            ),
            Grant(("GetFoundationModel",), ("arn:aws:bedrock:{region}::foundation-model/*",)),
            Grant(
                ("GetInferenceProfile",),
                (f"{_KIND}inference-profile/*", f"{_KIND}application-inference-profile/*"),
            ),
            Grant(("GetImportedModel",), (f"{_KIND}imported-model/*",)),
        ),
    ),
    "models-live": (
        "`llama-bedrock models --live`",
        (
            Grant(
                (
                    "ListFoundationModels",
                    "ListInferenceProfiles",
                    "ListImportedModels",
                    "ListCustomModels",
                    "ListCustomModelDeployments",
                    "ListProvisionedModelThroughputs",
                )
            ),
        ),
    ),
    "index-in-s3": (
        "Read an index that was copied to S3 (examples/lambda)",
        (Grant(("GetObject", "ListObjectsV2"), _BUCKET),),
    ),
    "logging": (
        "Set up Bedrock's invocation logging",
        (
            Grant(("PutModelInvocationLoggingConfiguration", "GetModelInvocationLoggingConfiguration")),
            _PASS_ROLE,
        ),
    ),
}


# Bedrock calls SageMaker in the caller's name: AWS's managed policy AmazonBedrockMarketplaceAccess.
_MARKETPLACE = {
    "Effect": "Allow",
    "Action": ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"],
    "Condition": {"StringEquals": {"aws:CalledViaLast": "bedrock.amazonaws.com"}},
}


def action_of(operation: str) -> str:
    """The IAM action that an operation needs."""
    if operation == "PassRole":
        return "iam:PassRole"
    return ACTION_OF.get(operation, f"bedrock:{operation}")


def model_resources(model: str, region: str | None = None, account: str = "*") -> list[str]:
    """ARNs that calls of a model touch: its own, a profile's, and the model in every Region it may route to.

    Args:
        model: Model id, profile id or ARN.
        region: Region of the calls; None for every one that the model can be called from.
        account: AWS account id.

    Raises:
        ValueError: The model is unknown, or cannot be called from the region.
    """
    if model.startswith("arn:"):
        arn = parse_model_arn(model)
        if region not in (None, arn.region):
            raise ValueError(f"{model!r} is in {arn.region}, not in {region}")
        region, account = arn.region, arn.account or account
        if arn.kind == "application-inference-profile":
            # It hides its model; a call needs the rights of what it stands for as well.
            return [model, *_any_llama(partition_of(region), account)]
        if arn.hides_model or arn.kind == "custom-model":
            return [model]
        model = arn.named_model
    resolved = resolve_model(model, region)
    info = resolved.info
    if info is None:
        return [model]
    arns = set()
    if resolved.model_id == info.model_id or region is None:
        places = [region] if region in info.direct_regions else info.direct_regions
        arns |= {_foundation_model(place, info.model_id) for place in places}
    for geo, sources in info.profiles.items():
        named = resolved.model_id == f"{geo}.{info.model_id}"
        chosen = list(sources) if region is None else [region] if named and region in sources else []
        for source in chosen:
            profile = f"inference-profile/{geo}.{info.model_id}"
            arns.add(f"arn:{partition_of(source)}:bedrock:{source}:{account}:{profile}")
            arns |= {_foundation_model(to, info.model_id) for to in sources[source]}
    return sorted(arns)


def _foundation_model(region: str, model_id: str) -> str:
    return f"arn:{partition_of(region)}:bedrock:{region}::foundation-model/{model_id}"


def _any_llama(partition: str, account: str) -> list[str]:
    return [
        f"arn:{partition}:bedrock:*::foundation-model/meta.*",
        f"arn:{partition}:bedrock:*:{account}:inference-profile/*.meta.*",
    ]


def policy(
    features: Iterable[str],
    *,
    model: str | None = None,
    region: str | None = None,
    account: str = "*",
    bucket: str = "YOUR-BUCKET",
    role: str = "YOUR-ROLE",
) -> dict[str, Any]:
    """The least-privilege policy of some features.

    Args:
        features: Keys of `FEATURES`.
        model: The model that is called; None for every Llama.
        region: AWS region; None for all.
        account: AWS account id.
        bucket: Bucket of training data, model files or batch jobs.
        role: Role that Bedrock assumes for jobs.

    Raises:
        ValueError: A feature is unknown, or the model is.
    """
    named = parse_model_arn(model) if model and model.startswith("arn:") else None
    partition = partition_of(named.region if named else region or "")
    models = (
        model_resources(model, region, account)
        if model
        else [
            *_any_llama(partition, account),
            f"arn:{partition}:bedrock:*:{account}:application-inference-profile/*",
        ]
    )
    by_resources: dict[tuple[str, ...], set[str]] = {}
    for feature in features:
        if feature not in FEATURES:
            raise ValueError(f"no feature {feature!r}: there are {', '.join(FEATURES)}")
        for grant in FEATURES[feature][1]:
            arns: list[str] = []
            for resource in grant.resources:
                if resource == "{model}":
                    arns += models
                else:
                    arns.append(
                        resource.format(region=region or "*", account=account, bucket=bucket, role=role)
                    )
            key = tuple(arn.replace("arn:aws:", f"arn:{partition}:") for arn in arns)
            by_resources.setdefault(key, set()).update(map(action_of, grant.operations))
    statements = []
    for resources, actions in by_resources.items():
        statement: dict[str, Any] = {
            "Effect": "Allow",
            "Action": sorted(actions),
            "Resource": list(resources),
        }
        if actions == {"iam:PassRole"}:
            statement["Condition"] = {"StringEquals": {"iam:PassedToService": "bedrock.amazonaws.com"}}
        statements.append(statement)
    if named and named.kind == "endpoint" and any(named.text in s["Resource"] for s in statements):
        statements.append(_MARKETPLACE | {"Resource": [named.text]})
    return {"Version": "2012-10-17", "Statement": statements}


def markdown() -> str:
    """The policies of docs/iam.md."""
    import json

    parts = []
    for name, (what, _) in FEATURES.items():
        text = json.dumps(policy([name]), indent=2)
        parts.append(f"### {name}\n\n{what}.\n\n```json\n{text}\n```\n")
    return "\n".join(parts)


def write_page(path: str) -> None:
    """Write the policies of docs/iam.md anew, below its heading "Policies"."""
    from pathlib import Path

    page = Path(path).read_text("utf-8")
    kept = page.split("## Policies\n")[0]
    Path(path).write_text(f"{kept}## Policies\n\n{markdown()}", "utf-8")


if __name__ == "__main__":
    import sys

    write_page(sys.argv[1])
