"""What the control plane says of models, profiles, tags, quotas and the caller, to boto3."""

import contextlib
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

from llama_bedrock.local import Account, ErrorResponse, LocalBedrock, ModelState
from llama_bedrock.testing import ScriptedEngine

LLAMA = "meta.llama3-3-70b-instruct-v1:0"
PROFILE = f"arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.{LLAMA}"


def code_of(raised):
    return raised.value.response["Error"]["Code"]


def test_models_are_listed_by_region_and_filter(plane):
    client = plane()
    ids = {m["modelId"]: m for m in client().list_foundation_models(byProvider="meta")["modelSummaries"]}
    assert ids["meta.llama3-1-8b-instruct-v1:0"]["inferenceTypesSupported"] == ["ON_DEMAND"]
    assert ids[LLAMA]["inferenceTypesSupported"] == ["INFERENCE_PROFILE"]
    assert ids[f"{LLAMA}:128k"]["customizationsSupported"] == ["FINE_TUNING", "DISTILLATION"]
    assert not any("llama3-2" in name for name in ids), "they have ended"
    direct = client(region="us-east-2").list_foundation_models(byInferenceType="ON_DEMAND", byProvider="Meta")
    assert [m["modelId"] for m in direct["modelSummaries"]] == [LLAMA]
    assert client().list_foundation_models(byProvider="Cohere")["modelSummaries"] == []


def test_an_arn_names_its_region_and_partition(plane):
    client = plane()
    arn = client().get_foundation_model(modelIdentifier=LLAMA)["modelDetails"]["modelArn"]
    assert client().get_foundation_model(modelIdentifier=arn)["modelDetails"]["modelId"] == LLAMA
    for other in (arn.replace("us-west-2", "us-east-2"), arn.replace("arn:aws:", "arn:aws-us-gov:")):
        with pytest.raises(ClientError, match="Could not resolve"):
            client().get_foundation_model(modelIdentifier=other)


def test_the_lifecycle_is_that_of_the_clock_or_of_the_account(plane):
    def lifecycle(**settings):
        details = plane(**settings)().get_foundation_model(modelIdentifier=LLAMA)["modelDetails"]
        return details["modelLifecycle"]

    legacy = lifecycle()
    assert (legacy["status"], legacy["endOfLifeTime"]) == ("LEGACY", datetime(2027, 3, 30, tzinfo=UTC))
    assert lifecycle(models={LLAMA: ModelState(lifecycle="active")})["status"] == "ACTIVE"
    with pytest.raises(ClientError, match="Could not resolve") as raised:
        lifecycle(clock=lambda: datetime(2027, 3, 30, 1, tzinfo=UTC))
    assert code_of(raised) == "ResourceNotFoundException"


def test_availability_says_what_the_account_lacks(plane):
    client = plane(models={LLAMA: ModelState(access="NOT_AVAILABLE", authorized=False, entitled=False)})
    ask = client(region="eu-central-1").get_foundation_model_availability
    answer = ask(modelId=LLAMA)
    assert answer["agreementAvailability"] == {"status": "NOT_AVAILABLE"}
    assert answer["authorizationStatus"] == "NOT_AUTHORIZED"
    assert answer["entitlementAvailability"] == answer["regionAvailability"] == "NOT_AVAILABLE"
    here = client().get_foundation_model_availability(modelId="meta.llama3-1-8b-instruct-v1:0")
    assert here["regionAvailability"] == here["entitlementAvailability"] == "AVAILABLE"


def test_profiles_of_the_system_and_of_applications(plane):
    bedrock = plane()()
    page = bedrock.get_paginator("list_inference_profiles").paginate(PaginationConfig={"PageSize": 2})
    profiles = {p["inferenceProfileId"]: p for part in page for p in part["inferenceProfileSummaries"]}
    assert profiles[f"us.{LLAMA}"]["inferenceProfileArn"] == PROFILE
    assert {m["modelArn"].split(":")[3] for m in profiles[f"us.{LLAMA}"]["models"]} == {
        "us-east-1",
        "us-east-2",
        "us-west-2",
    }
    tags = [{"key": "team", "value": "a"}]
    asked = {"inferenceProfileName": "team a", "modelSource": {"copyFrom": PROFILE}, "tags": tags}
    arn = bedrock.create_inference_profile(**asked, clientRequestToken="t1")["inferenceProfileArn"]
    again = bedrock.create_inference_profile(**asked, clientRequestToken="t1")
    assert again["inferenceProfileArn"] == arn, "the same request is carried out once"
    with pytest.raises(ClientError) as raised:
        bedrock.create_inference_profile(**asked)
    assert code_of(raised) == "ConflictException"
    assert bedrock.get_inference_profile(inferenceProfileIdentifier=arn)["type"] == "APPLICATION"
    assert len(bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]) == 1
    bedrock.tag_resource(resourceARN=arn, tags=[{"key": "cost", "value": "42"}])
    bedrock.untag_resource(resourceARN=arn, tagKeys=["team"])
    assert bedrock.list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "cost", "value": "42"}]
    bedrock.delete_inference_profile(inferenceProfileIdentifier=arn)
    for ask in (
        lambda: bedrock.get_inference_profile(inferenceProfileIdentifier=arn),
        lambda: bedrock.list_tags_for_resource(resourceARN=arn),
    ):
        with pytest.raises(ClientError) as raised:
            ask()
        assert code_of(raised) == "ResourceNotFoundException"


def test_a_token_of_another_list_is_refused(plane):
    bedrock = plane()()
    token = bedrock.list_inference_profiles(maxResults=1)["nextToken"]
    with pytest.raises(ClientError, match="nextToken is invalid"):
        bedrock.list_inference_profiles(maxResults=1, nextToken=token, typeEquals="APPLICATION")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda b: b.get_foundation_model(modelIdentifier="nope"), "regular expression pattern"),
        (lambda b: b.get_foundation_model(modelIdentifier="meta.nope"), "model identifier is invalid"),
        (lambda b: b.list_foundation_models(byOutputModality="SMELL"), r"enum value set: \[TEXT, IMAGE"),
        (lambda b: b.list_inference_profiles(maxResults=0), "greater than or equal to 1"),
        (
            lambda b: b.create_inference_profile(inferenceProfileName="!", modelSource={"copyFrom": "x"}),
            "2 validation errors detected: .* at 'modelSource.copyFrom'",
        ),
    ],
)
def test_the_model_of_the_service_is_enforced(plane, call, says):
    bedrock = plane()()
    bedrock.meta.events.unregister("before-parameter-build.bedrock")
    validate = ParamValidator.validate
    try:
        ParamValidator.validate = lambda *args: type("Report", (), {"has_errors": lambda self: False})()
        with pytest.raises(ClientError, match=says) as raised:
            call(bedrock)
    finally:
        ParamValidator.validate = validate
    assert code_of(raised) == "ValidationException"


def test_who_calls_and_which_quotas_there_are(plane):
    name = "Minimum number of records per batch inference job for Llama 3.3 70B Instruct"
    client = plane(account_id="210987654321", user="ada", quotas={name: 5, "Records per batch": 7})
    identity = client("sts").get_caller_identity()
    assert (identity["Account"], identity["Arn"]) == ("210987654321", "arn:aws:iam::210987654321:user/ada")
    quotas = client("service-quotas")
    pages = quotas.get_paginator("list_service_quotas").paginate(
        ServiceCode="bedrock", PaginationConfig={"PageSize": 9}
    )
    found = {quota["QuotaName"]: quota for page in pages for quota in page["Quotas"]}
    assert found[name]["Value"] == 5
    assert found["Records per batch inference job for Llama 3.1 8B Instruct"]["Value"] == 7
    code = found[name]["QuotaCode"]
    assert quotas.get_service_quota(ServiceCode="bedrock", QuotaCode=code)["Quota"]["QuotaName"] == name
    defaults = quotas.list_aws_default_service_quotas(ServiceCode="bedrock", MaxResults=100)["Quotas"]
    assert next(q["Value"] for q in defaults if q["QuotaName"] == name) == 100
    with pytest.raises(ClientError) as raised:
        quotas.list_service_quotas(ServiceCode="s3")
    assert code_of(raised) == "NoSuchResourceException"


def test_actions_can_be_denied_and_faults_strike(plane):
    client = plane(denied_actions={"bedrock:ListFoundationModels", "sts:GetCallerIdentity"})
    with pytest.raises(
        ClientError, match="not authorized to perform: bedrock:ListFoundationModels"
    ) as raised:
        client().list_foundation_models()
    assert code_of(raised) == "AccessDeniedException"
    with pytest.raises(ClientError, match="sts:GetCallerIdentity") as raised:
        client("sts").get_caller_identity()
    assert code_of(raised) == "AccessDenied"
    throttled = ErrorResponse("ThrottlingException").when(lambda t: t.resource == f"us.{LLAMA}").first(1)
    client.server.faults = [throttled]
    with pytest.raises(ClientError) as raised:
        client().get_inference_profile(inferenceProfileIdentifier=f"us.{LLAMA}")
    assert code_of(raised) == "ThrottlingException"
    assert client().get_inference_profile(inferenceProfileIdentifier=f"us.{LLAMA}")["status"] == "ACTIVE"


def test_what_the_endpoint_does_not_have_is_said(plane):
    client = plane()
    with pytest.raises(ClientError, match="does not serve CreateGuardrail"):
        client().create_guardrail(name="x", blockedInputMessaging="x", blockedOutputsMessaging="x")
    with pytest.raises(ClientError, match="does not serve GetSessionToken"):
        client("sts").get_session_token()


def test_the_clock_is_the_accounts(plane, session):
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    with LocalBedrock(
        ScriptedEngine([]), account=Account(clock=lambda: ahead), credentials={"AKID": "secret"}
    ) as server:
        for service, code in (("sts", "SignatureDoesNotMatch"), ("bedrock", "InvalidSignatureException")):
            client = session.client(
                service,
                region_name="us-west-2",
                endpoint_url=server.endpoint_url,
                aws_access_key_id="AKID",
                aws_secret_access_key="secret",
                config=Config(retries={"total_max_attempts": 1}),
            )
            call = client.get_caller_identity if service == "sts" else client.list_foundation_models
            with contextlib.closing(client), pytest.raises(ClientError, match="Signature expired") as raised:
                call()
            assert code_of(raised) == code
            date = raised.value.response["ResponseMetadata"]["HTTPHeaders"]["date"]
            assert abs(parsedate_to_datetime(date) - ahead) < timedelta(seconds=1)


def test_wrong_settings_of_the_account_are_said():
    for wrong, says in (
        ({"account_id": "12"}, "12 digits"),
        ({"pace": -1}, "cannot be negative"),
        ({"models": {"meta.llama9": ModelState()}}, "no model id of the catalogue"),
    ):
        with pytest.raises(ValueError, match=says):
            Account(**wrong)
    with pytest.raises(ValueError, match="access='available': it takes one of 'AVAILABLE'"):
        ModelState(access="available")


def test_a_name_of_the_model_or_of_the_request_cannot_hold_the_endpoint_up(plane):
    """The pattern of job names backtracks for ever on many hyphens, as botocore has it."""
    bedrock = plane()()
    began = time.process_time()
    with pytest.raises(ClientError, match="regular expression pattern"):
        bedrock.list_model_import_jobs(nameContains="a" + "-" * 60 + "!")
    assert time.process_time() - began < 5


def test_bodies_of_wrong_types_are_refused(plane, session):
    url = plane().server.endpoint_url
    for body, code in (
        (b"[1]", "SerializationException"),
        (b"{", "SerializationException"),
        (b'{"inferenceProfileName": 5, "modelSource": {}}', "SerializationException"),
        (b'{"inferenceProfileName": "a", "modelSource": {}}', "ValidationException"),
        (
            b'{"inferenceProfileName": "a", "modelSource": {"copyFrom": "x"}, "tags": [null]}',
            "SerializationException",
        ),
    ):
        request = urllib.request.Request(f"{url}/inference-profiles", body, {"Authorization": "Bearer any"})
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request)
        with raised.value as answer:
            assert (answer.status, answer.headers["x-amzn-ErrorType"].split(":")[0]) == (400, code)
