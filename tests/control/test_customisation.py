"""Fine-tuning to an answer: data, job, deployment or throughput, against the local control plane and S3."""

import asyncio
import json
from datetime import date

import boto3
import pytest

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.control import (
    CustomisationJob,
    InvocationLogs,
    JobFailedError,
    Purchase,
    TrainingData,
    customise,
    deploy,
    provision,
    start_customisation,
)
from llama_bedrock.local import ErrorResponse, ModelState
from tests.control.conftest import ROLE

pytestmark = pytest.mark.slow

LLAMA33 = "meta.llama3-3-70b-instruct-v1:0"
LLAMA31 = "meta.llama3-1-8b-instruct-v1:0"
OPEN = {
    model: ModelState(lifecycle="active") for model in (LLAMA33, LLAMA31, "meta.llama3-1-405b-instruct-v1:0")
}


@pytest.fixture
def data():
    return TrainingData.from_messages(
        [[("user", f"What is {n}?"), ("assistant", f"It is {n}.")] for n in range(100)]
    )


@pytest.fixture
def open_models(plane):
    """A control plane where the bases still take jobs, as they did before they were Legacy."""
    return plane(models=OPEN)


@pytest.fixture
def tuned(open_models, bucket, data):
    _, reach = open_models
    return customise(LLAMA33, "support", data, ROLE, f"{bucket}/out", **reach), reach


def keys(bucket):
    listed = boto3.client("s3", region_name="us-west-2").list_objects_v2(Bucket=bucket.removeprefix("s3://"))
    return [item["Key"] for item in listed.get("Contents", ())]


def test_data_become_a_model_that_is_deployed_and_answers(open_models, bucket, data, run, tmp_path):
    server, reach = open_models
    seen = []
    model = run(
        "customise", LLAMA33, "support", data, ROLE, f"{bucket}/out", validation=data.check(LLAMA33),
        hyperparameters={"epochCount": 2, "learningRate": 1e-4}, tags={"team": "a"}, progress=seen.append, **reach,
    )  # fmt: skip
    assert (model.name, model.base_model, model.prompt_format) == ("support", LLAMA33, "llama3.3")
    assert model.training_loss > 0
    assert len(model.validation_losses) == 1
    assert {"InProgress", "Completed"} == {now.status for now in seen}
    assert set(seen[-1].steps) == {"validation", "dataProcessing", "training"}
    job = boto3.client("bedrock", **reach).get_model_customization_job(jobIdentifier=model.job_arn)
    assert job["hyperParameters"].items() >= {"epochCount": "2", "learningRate": "0.0001"}.items()
    body = (
        boto3.client("s3", region_name="us-west-2")
        .get_object(Bucket=bucket[5:], Key="out/training/support-train.jsonl")["Body"]
        .read()
    )
    assert body.decode() == data.check(LLAMA33).write(tmp_path / "x.jsonl").read_text()
    job = CustomisationJob(model.job_arn, **reach)
    losses = job.losses()
    assert losses == asyncio.run(job.alosses())
    assert [step.step - losses[0].step for step in losses] == list(range(len(losses)))
    assert losses[0].loss > losses[-1].loss > 0
    hosted = run("deploy", model, "support-v1", **reach)
    assert ":custom-model-deployment/" in hosted.arn
    assert hosted.chat_model().invoke("Hi").text == "Hello!"
    assert "<|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>" in server.engine.requests[-1].prompt
    assert run("deploy", model.arn, "support-v1", **reach).arn == hosted.arn
    assert ChatLlamaBedrock.from_imported(hosted.arn, **reach).prompt_format == "llama3.3"


def test_a_legacy_base_is_said_before_the_upload(plane, bucket, data, run):
    _, reach = plane()  # the catalogue's own lifecycle: all are Legacy
    with pytest.raises(
        ValueError, match=r"nothing was uploaded: .* is Legacy, for which Bedrock starts no new jobs"
    ):
        run("customise", LLAMA33, "support", data, ROLE, f"{bucket}/out", **reach)
    with pytest.raises(
        ValueError, match=r"provisioned throughput for .* cannot start, and nothing was uploaded"
    ):
        run("provision", LLAMA31, "bought", confirm=lambda _: True, **reach)
    assert keys(bucket) == []


def test_what_may_not_look_at_models_goes_by_the_catalogue(plane, bucket, data):
    _, reach = plane(models=OPEN, denied_actions={"bedrock:GetFoundationModel"})
    with pytest.raises(ValueError, match="is Legacy"):
        customise(LLAMA33, "support", data, ROLE, f"{bucket}/out", **reach)


def test_bad_data_are_never_uploaded(open_models, bucket, data, run):
    _, reach = open_models
    few = TrainingData(data.examples[:5])
    with pytest.raises(ValueError, match="there are 5 examples"):
        run("customise", LLAMA33, "support", few, ROLE, f"{bucket}/out", **reach)
    with pytest.raises(ValueError, match="there are 5 examples"):
        run("customise", LLAMA33, "support", data, ROLE, f"{bucket}/out", validation=few, **reach)
    with pytest.raises(ValueError, match=r"checked for meta\.llama3-1-8b"):
        run("customise", LLAMA33, "support", data.check(LLAMA31), ROLE, f"{bucket}/out", **reach)
    with pytest.raises(ValueError, match="customised in us-west-2, not in us-east-2"):
        run("customise", LLAMA33, "x", data, ROLE, f"{bucket}/out", **{**reach, "region_name": "us-east-2"})
    with pytest.raises(ValueError, match="no hyperparameter of a Llama"):
        run("customise", LLAMA33, "x", data, ROLE, f"{bucket}/out", hyperparameters={"warmup": 1}, **reach)
    assert keys(bucket) == []


def test_files_and_addresses_are_data_too(open_models, bucket, data, tmp_path):
    _, reach = open_models
    path = data.check(LLAMA31).write(tmp_path / "own.jsonl")
    model = customise(LLAMA31, "one", path, ROLE, f"{bucket}/out", s3_uri=f"{bucket}/in", **reach)
    assert model.prompt_format == "llama3.1"
    assert "in/one-train.jsonl" in keys(bucket)
    assert (
        customise(LLAMA31, "two", f"{bucket}/in/one-train.jsonl", ROLE, f"{bucket}/out", **reach).name
        == "two"
    )


def test_a_job_is_stopped_and_found_again(plane, bucket, data):
    _, reach = plane(models=OPEN, pace=0.5)
    job = start_customisation(LLAMA33, "support", data, ROLE, f"{bucket}/out", **reach)
    again = CustomisationJob(job.arn, **reach)
    assert again.status().status == "InProgress"
    assert again.losses() == []
    again.stop()
    with pytest.raises(JobFailedError, match=r"the customisation 'support-.* is Stopped") as raised:
        job.result()
    assert raised.value.status == "Stopped"


def test_bedrocks_own_reason_when_training_fails(open_models, bucket):
    _, reach = open_models
    boto3.client("s3", region_name="us-west-2").put_object(
        Bucket=bucket[5:], Key="bad.jsonl", Body=b"no json\n"
    )
    with pytest.raises(JobFailedError, match=r"the customisation 'x-.* is Failed: "):
        customise(LLAMA33, "x", f"{bucket}/bad.jsonl", ROLE, f"{bucket}/out", **reach)


FILTERS = {
    "none": ({}, {}),
    "one": ({"app": "support"}, {"requestMetadataFilters": {"equals": {"app": "support"}}}),
    "two": (
        {"app": "a", "team": "b"},
        {"requestMetadataFilters": {"andAll": [{"equals": {"app": "a"}}, {"equals": {"team": "b"}}]}},
    ),
}


@pytest.mark.parametrize("name", FILTERS)
def test_distillation_takes_calls_with_this_metadata_from_the_logs(name, open_models, bucket, run):
    _, reach = open_models
    metadata, filters = FILTERS[name]
    logs = InvocationLogs(f"{bucket}/logs", metadata, use_responses=True)
    assert logs.config() == {
        "invocationLogsConfig": {
            "invocationLogSource": {"s3Uri": f"{bucket}/logs"},
            "usePromptResponse": True,
            **filters,
        }
    }
    job = run("start_distillation", LLAMA31, "us.meta.llama3-3-70b-instruct-v1:0", "small", logs, ROLE,
              f"{bucket}/out", max_response_tokens=500, **reach)  # fmt: skip
    found = boto3.client("bedrock", **reach).get_model_customization_job(jobIdentifier=job.arn)
    assert found["customizationType"] == "DISTILLATION"
    assert found["trainingDataConfig"] == logs.config()
    assert found["customizationConfig"]["distillationConfig"]["teacherModelConfig"] == {
        "teacherModelIdentifier": "us.meta.llama3-3-70b-instruct-v1:0",
        "maxResponseLengthForInference": 500,
    }


def test_distillation_from_prompts_and_what_it_refuses(open_models, bucket, run):
    _, reach = open_models
    prompts = TrainingData.from_messages([[("user", f"q{n}")] for n in range(100)])
    teacher = "meta.llama3-1-405b-instruct-v1:0"
    assert run("start_distillation", LLAMA33, teacher, "small", prompts, ROLE, f"{bucket}/o", **reach).arn
    with pytest.raises(ValueError, match=r"distils no 'meta\.llama3-8b"):
        run(
            "start_distillation",
            LLAMA33,
            "meta.llama3-8b-instruct-v1:0",
            "s",
            prompts,
            ROLE,
            f"{bucket}/o",
            **reach,
        )
    with pytest.raises(ValueError, match="up to 16"):
        InvocationLogs(f"{bucket}/logs", {str(n): "x" for n in range(17)}).config()


def test_throughput_is_bought_only_when_confirmed(tuned, run):
    model, reach = tuned
    asked = []

    def refuse(purchase):
        asked.append(purchase)
        return False

    with pytest.raises(ValueError, match="not confirmed, and nothing was bought: 2 model units for"):
        run(
            "provision", model, "bought", units=2, commitment="OneMonth", hourly=24.0, confirm=refuse, **reach
        )
    assert asked[0].total == 24.0 * 2 * 730
    assert asked[0].ends > asked[0].begins
    bedrock = boto3.client("bedrock", **reach)
    assert bedrock.list_provisioned_model_throughputs()["provisionedModelSummaries"] == []
    hosted = run("provision", model, "bought", commitment="OneMonth", confirm=lambda _: True, **reach)
    assert ":provisioned-model/" in hosted.arn
    assert hosted.commitment_ends is not None
    assert hosted.chat_model().invoke("Hi").text == "Hello!"
    assert ChatLlamaBedrock.from_imported(hosted.arn, **reach).prompt_format == "llama3.3"
    assert run("provision", model, "bought", confirm=refuse, **reach).arn == hosted.arn
    assert len(asked) == 1


def test_what_a_purchase_says():
    bought = Purchase("m", "us-west-2", 1, "SixMonths", 20.5, date(2026, 8, 31))
    assert bought.ends == date(2027, 2, 28)
    assert str(bought) == (
        "1 model unit for m in us-west-2, committed until 2027-02-28; 20.50 USD an hour and unit, about 89,790 USD "
        "in that time"
    )
    assert Purchase("m", "r", 2, "OneMonth", None, date(2026, 12, 15)).ends == date(2027, 1, 15)
    assert "without commitment, billed by the hour until deleted; price unknown" in str(
        Purchase("m", "r", 2, None, None, date(2026, 12, 15))
    )
    for wrong in ({"units": 0}, {"commitment": "Year"}, {"hourly": -1.0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            provision("m", "n", confirm=lambda _: True, region_name="us-west-2", **wrong)


def test_only_custom_models_are_deployed(tuned):
    model, reach = tuned
    with pytest.raises(ValueError, match="only custom models are deployed"):
        deploy(f"arn:aws:bedrock:us-west-2::foundation-model/{LLAMA33}", "x", **reach)
    with pytest.raises(
        ValueError, match=r"deploys models made from Llama 3.1 8B Instruct nowhere: buy throughput"
    ):
        deploy(model.arn.replace("llama3-3-70b", "llama3-1-8b"), "x", **reach)


def test_a_deployment_that_fails(plane, bucket, data):
    faults = [
        ErrorResponse("ThrottlingException")
        .first(1)
        .when(lambda t: t.operation == "GetCustomModelDeployment")
    ]
    _, reach = plane(models=OPEN, faults=faults)
    model = customise(LLAMA33, "support", data, ROLE, f"{bucket}/out", **reach)
    assert deploy(model, "x", **reach).name == "x"


def test_a_custom_model_is_copied_and_an_imported_one_imported_again(tuned, bucket, tiny_llama, run):
    model, reach = tuned
    copied = run("copy_model", model.arn, "copied", "us-east-1", **reach)
    assert ":us-east-1:" in copied.arn
    assert copied.prompt_format == "llama3.3"
    imported = run("import_model", tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", tags={"team": "a"},
                   first_call=False, **reach)  # fmt: skip
    again = run("copy_model", imported.arn, "tiny-east", "us-east-1", **reach)
    assert again.arn.startswith("arn:aws:bedrock:us-east-1:")
    assert again.chat_model().invoke("Hi").text == "Hello!"
    east = boto3.client("bedrock", **{**reach, "region_name": "us-east-1"})
    tags = {tag["key"]: tag["value"] for tag in east.list_tags_for_resource(resourceARN=again.arn)["tags"]}
    assert (tags["team"], tags["llama-bedrock:prompt-format"]) == ("a", "llama3.1")
    with pytest.raises(ValueError, match="is in us-east-1 already"):
        run("copy_model", again.arn, "x", "us-east-1", **reach)


def test_requests_pass_botocores_own_validation(open_models, bucket, data):
    """JsonOperation encodes by botocore's model; the local plane parses by it: a wrong member fails both."""
    _, reach = open_models
    model = customise(LLAMA33, "support", data, ROLE, f"{bucket}/out", tags={"k": "v"}, **reach)
    bedrock = boto3.client("bedrock", **reach)
    found = bedrock.get_custom_model(modelIdentifier=model.arn)
    assert found["trainingDataConfig"]["s3Uri"] == f"{bucket}/out/training/support-train.jsonl"
    assert json.dumps(found["outputDataConfig"]) == json.dumps({"s3Uri": f"{bucket}/out"})
