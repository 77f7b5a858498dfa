"""`doctor` finds each fault of a real set-up: every diagnosis over a socket, by botocore's own requests."""

import json
import socket
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from typer.testing import CliRunner

from llama_bedrock.cli.aws_checks import meaning, missing_action
from llama_bedrock.cli.main import app
from llama_bedrock.local import Account, LocalBedrock, ModelState
from llama_bedrock.testing import EngineError, ScriptedEngine

pytestmark = pytest.mark.slow

MODEL = "meta.llama3-3-70b-instruct-v1:0"
IMPORTED = "arn:aws:bedrock:us-east-2:123456789012:imported-model/abcdefghijkl"
NOT_AUTHORIZED = (
    "User: arn:aws:iam::123456789012:user/local is not authorized to perform: {} on resource: {} because no "
    "identity-based policy allows the {} action"
)


@pytest.fixture
def doctor(monkeypatch, aws_credentials):
    """Function: (engine's answers, account, arguments) → what `doctor --json` says by name, and its exit code."""

    @contextmanager
    def server(answers=("Hello",), **account):
        with LocalBedrock(engine=ScriptedEngine(list(answers)), account=Account(**account)) as local:
            monkeypatch.setenv("AWS_ENDPOINT_URL", local.endpoint_url)
            yield

    def run(*arguments):
        result = CliRunner().invoke(app, ["doctor", "--json", *arguments])
        told = json.loads(result.stdout)
        return {one["name"]: (one["state"], one["found"]) for one in told}, result.exit_code

    def both(*arguments, answers=("Hello",), **account):
        with server(answers, **account):
            return run(*arguments)

    both.run = run
    return both


def test_all_is_well(doctor):
    told, code = doctor("--model", MODEL)
    assert code == 0
    assert told["identity"] == ("ok", "arn:aws:iam::123456789012:user/local in account 123456789012")
    for name in ("access", "clock", "call", "endpoint", "credentials", "region", "model"):
        assert told[name][0] == "ok", told[name]
    assert "answered in" in told["call"][1]
    assert "env" in told["credentials"][1]
    assert "lifecycle" not in told  # the model of an endpoint on this machine does not end
    assert "2027-03-30" in told["live"][1]
    assert told["quotas"][0] == "ok"
    assert "per minute" in told["quotas"][1]


def test_quotas_are_compared_with_the_defaults_of_aws(doctor):
    requests = "Cross-region model inference requests per minute for Meta"
    told, _ = doctor("--model", MODEL, "--no-call", quotas={requests: 20})
    assert told["quotas"][0] == "ok"
    assert "20 (AWS's default: 800)" in told["quotas"][1]
    assert "less than AWS's defaults" in told["quotas"][1]


def test_no_call_is_made_if_not_wanted(doctor):
    told, _ = doctor("--no-call", answers=())
    assert "call" not in told
    assert "identity" in told


def test_without_credentials_it_says_what_it_cannot_know(doctor, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    told, code = doctor()
    assert code == 0
    assert told["credentials"][0] == "note"
    assert told["aws"][0] == "note"
    for unknown in ("access", "quotas", "call"):
        assert unknown in told["aws"][1]
    assert not {"identity", "access", "quotas", "call"} & told.keys()


def test_the_region_is_wrong(doctor):
    told, code = doctor("--model", MODEL, "--region", "eu-west-1")
    assert code == 1
    assert told["model"][0] == "broken"
    assert "us-east-2" in told["model"][1]


def test_the_id_is_wrong(doctor):
    told, code = doctor("--model", "meta.llama3-3-70b-instruct-v10")
    assert code == 1
    assert MODEL in told["model"][1]


def test_a_profile_is_needed_and_its_regions_are_told(doctor):
    told, code = doctor("--model", "meta.llama4-scout-17b-instruct-v1:0", "--region", "us-east-1")
    assert code == 0
    assert "us.meta.llama4-scout" in told["model"][1]
    assert told["profile"][0] == "ok"
    assert "us-west-2" in told["profile"][1]


def test_there_is_no_model_access(doctor):
    told, code = doctor(
        "--model", MODEL, models={MODEL: ModelState(access="NOT_AVAILABLE", authorized=False)}
    )
    assert code == 1
    assert told["access"][0] == told["call"][0] == "broken"
    assert "Model access" in told["access"][1]
    assert "not authorised" in told["access"][1]


def test_a_legacy_model_is_closed_to_the_account(doctor):
    told, code = doctor("--model", MODEL, models={MODEL: ModelState(legacy_access=False)})
    assert code == 1
    assert told["call"][0] == "broken"
    assert "docs/migrating.md" in told["call"][1]


def test_the_clock_is_off(doctor):
    told, code = doctor(clock=lambda: datetime.now(UTC) + timedelta(minutes=10))
    assert code == 1
    assert told["clock"][0] == "broken"
    assert "10 minutes slow" in told["clock"][1]


def test_the_endpoint_cannot_be_reached(doctor, monkeypatch):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{closed.getsockname()[1]}")
        told, code = doctor.run()
        monkeypatch.setenv("HTTP_PROXY", "http://somebody:secret@127.0.0.1:9")
        by_proxy, _ = doctor.run()
        monkeypatch.delenv("HTTP_PROXY")
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.delenv(name)
        unneeded, _ = doctor.run()
    assert (told["endpoint"][0], code) == ("broken", 1)
    assert "cannot be reached" in told["endpoint"][1]
    assert "cannot be known without the endpoint" in told["aws"][1]
    assert "identity" not in told
    assert by_proxy["endpoint"][0] == "broken"
    assert by_proxy["endpoint"][1].startswith("the proxy 127.0.0.1:9 cannot be reached")
    assert unneeded["endpoint"][0] == "note"


def test_the_name_has_no_address(doctor, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://bedrock-runtime.no-such-region.invalid")
    told, code = doctor.run()
    assert code == 1
    assert "no address for bedrock-runtime.no-such-region.invalid" in told["endpoint"][1]


@pytest.mark.parametrize("action", ["bedrock:GetFoundationModelAvailability", "bedrock:GetFoundationModel"])
def test_a_missing_action_is_named(doctor, action):
    told, _ = doctor("--model", MODEL, denied_actions={action})
    name = "access" if action.endswith("Availability") else "live"
    assert told[name][0] == "note"
    assert f"the IAM action {action}" in told[name][1]


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired", "have expired"),
        (
            "UnrecognizedClientException",
            "The security token included in the request is invalid.",
            "know the key",
        ),
        ("InvalidSignatureException", "Signature expired: 20260101T000000Z is now earlier", "expired"),
        (
            "AccessDeniedException",
            NOT_AUTHORIZED.format("bedrock:CallWithBearerToken", "*", "bedrock:CallWithBearerToken"),
            "IAM action bedrock:CallWithBearerToken",
        ),
        (
            "AccessDeniedException",
            NOT_AUTHORIZED.format(
                "bedrock:InvokeModel",
                "arn:aws:bedrock:us-west-2::foundation-model/" + MODEL,
                "bedrock:InvokeModel",
            ),
            "IAM action bedrock:InvokeModel on arn:aws:bedrock:us-west-2::foundation-model/" + MODEL,
        ),
    ],
)
def test_what_the_service_says_of_a_call_is_explained(doctor, code, message, said):
    told, exit_code = doctor("--model", MODEL, answers=[EngineError(code, message)])
    assert exit_code == 1
    assert told["call"][0] == "broken"
    assert said in told["call"][1]


def test_a_bearer_key_alone_tells_no_identity(doctor, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bedrock-api-key-x")
    told, code = doctor("--model", MODEL)
    assert code == 0
    assert told["identity"][0] == "note"
    assert told["call"][0] == "ok"


def test_an_imported_model_is_asleep(doctor):
    answers = [EngineError("ModelNotReadyException", "Model is not ready for inference.")]
    told, code = doctor("--model", IMPORTED, "--format", "llama3.3", answers=answers)
    assert code == 0
    assert told["call"][0] == "note"
    assert "asleep" in told["call"][1]


def test_a_denial_by_the_organisation_is_told_apart():
    text = NOT_AUTHORIZED.format("bedrock:InvokeModel", "*", "x").replace(
        "no identity", "an explicit deny, no identity"
    )
    assert "explicit deny" in missing_action(text)
    assert missing_action("something else") is None
    assert meaning(ValueError("a plain  text")) == "a plain text"
