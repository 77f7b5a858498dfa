"""Models of the account: imported, customised, deployed, provisioned, copied; and the logs of their calls."""

import gzip
import json
import re
import time

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import ModelState

pytestmark = pytest.mark.slow

LLAMA = "meta.llama3-3-70b-instruct-v1:0"
SMALL = "meta.llama3-1-8b-instruct-v1:0"
ROLE = "arn:aws:iam::123456789012:role/Bedrock"
ACTIVE = {name: ModelState(lifecycle="active") for name in (LLAMA, SMALL)}


class Echo:
    """Answers with the last word of the prompt."""

    name = "echo"
    blocking = False

    def __init__(self):
        self.models = []

    def generate(self, request):
        self.models.append(request.model_id)
        return iter([request.prompt.split()[-1]])


@pytest.fixture
def model_files(s3, tmp_path):
    """Function: changes of the files → URI of a tiny Llama in S3."""
    numpy = pytest.importorskip("numpy")
    safetensors = pytest.importorskip("safetensors.numpy")

    def put(**changes):
        files = {
            "config.json": {"architectures": ["LlamaForCausalLM"], "torch_dtype": "float16"},
            "tokenizer_config.json": {"chat_template": "{{ messages }}"},
            "tokenizer.json": {},
            "model.safetensors": safetensors.save({"w": numpy.zeros((4, 4), numpy.float16)}),
        } | changes
        for name, content in files.items():
            if content is not None:
                s3(f"model/{name}", content if isinstance(content, bytes) else json.dumps(content).encode())
        return f"{s3.uri}/model/"

    return put


def import_model(client, uri, name="tiny", **options):
    job = {"jobName": f"{name}-job", "importedModelName": name, "roleArn": ROLE, **options}
    source = {"s3DataSource": {"s3Uri": uri}}
    arn = client().create_model_import_job(**job, modelDataSource=source)["jobArn"]
    return client.until(lambda: client().get_model_import_job(jobIdentifier=arn), "Completed", "Failed")[0]


def test_an_imported_model_wakes_and_answers(plane, model_files, s3):
    client = plane(Echo(), wake_seconds=0.3, idle_seconds=0.2)
    tags = [{"key": "prompt-format", "value": "llama3"}]
    job = import_model(client, model_files(), importedModelTags=tags)
    assert job["status"] == "Completed", job
    model = client().get_imported_model(modelIdentifier="tiny")
    assert model["modelArn"] == job["importedModelArn"]
    assert (model["modelArchitecture"], model["instructSupported"]) == ("LlamaForCausalLM", True)
    assert model["customModelUnits"]["customModelUnitsPerModelCopy"] == 2
    assert client().list_tags_for_resource(resourceARN=model["modelArn"])["tags"] == tags
    runtime = client("bedrock-runtime")

    def ask():
        return runtime.invoke_model(modelId=model["modelArn"], body=json.dumps({"prompt": "say hi"}))

    with pytest.raises(ClientError) as raised:
        ask()
    assert raised.value.response["Error"]["Code"] == "ModelNotReadyException"
    time.sleep(0.35)
    with pytest.raises(ClientError, match="ModelNotReady"):
        ask()  # it slept again: nobody called it for longer than idle_seconds
    time.sleep(0.15)
    with pytest.raises(ClientError, match="ModelNotReady"):
        ask()
    time.sleep(0.16)
    assert json.loads(ask()["body"].read())["generation"] == "hi"
    client().delete_imported_model(modelIdentifier="tiny")
    with pytest.raises(ClientError, match="it was deleted"):
        ask()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"config.json": None}, "config.json"),
        ({"config.json": {"architectures": ["BertModel"]}}, "BertModel is not supported"),
        ({"config.json": b"{"}, "not a JSON object"),
        ({"config.json": b"[" * 200_000}, "not a JSON object"),
        ({"tokenizer.json": None}, "tokenizer.json or tokenizer.model"),
        ({"model.safetensors": None, "pytorch_model.bin": b"x"}, "weights in other formats"),
        ({"model.safetensors": b"x" * 50}, "not a safetensors file"),
        ({"model.safetensors.index.json": {"weight_map": {"w": "other.safetensors"}}}, "other.safetensors"),
    ],
)
def test_an_import_fails_over_its_files(plane, model_files, changes, says):
    job = import_model(plane(), model_files(**changes))
    assert job["status"] == "Failed"
    assert says in job["failureMessage"]


def test_a_damaged_shard_and_a_full_account_are_said(plane, model_files, s3):
    client = plane(quotas={"Imported models per account": 1})
    uri = model_files()
    s3("model/model.safetensors", s3("model/model.safetensors") + b"more")
    assert "its header says" in import_model(client, uri)["failureMessage"]
    assert import_model(client, model_files(), "good")["status"] == "Completed"
    with pytest.raises(ClientError) as raised:
        import_model(client, uri, "third")
    assert raised.value.response["Error"]["Code"] == "ServiceQuotaExceededException"


def chat(n, **changes):
    turns = [("user", f"What is {n}?"), ("assistant", f"It is {n}.")]
    messages = [{"role": role, "content": [{"text": text}]} for role, text in turns]
    return {"schemaVersion": "bedrock-conversation-2024", "messages": messages} | changes


def customise(client, s3, samples, **options):
    uri = s3("train.jsonl", samples)
    job = {
        "jobName": "tune",
        "customModelName": "mine",
        "roleArn": ROLE,
        "baseModelIdentifier": f"{LLAMA}:128k",
        "trainingDataConfig": {"s3Uri": uri},
        "outputDataConfig": {"s3Uri": f"{s3.uri}/metrics"},
        **options,
    }
    arn = client().create_model_customization_job(**job)["jobArn"]
    get = lambda: client().get_model_customization_job(jobIdentifier=arn)  # noqa: E731
    return client.until(get, "Completed", "Failed", "Stopped")[0]


def test_a_customised_model_is_deployed_and_answers(plane, s3):
    client = plane(Echo(), models=ACTIVE)
    validation = {"validators": [{"s3Uri": s3("validate.jsonl", [chat(9)])}]}
    tags = [{"key": "team", "value": "a"}]
    job = customise(
        client,
        s3,
        [chat(n) for n in range(5)],
        hyperParameters={"epochCount": "2"},
        validationDataConfig=validation,
        customModelTags=tags,
    )
    assert job["status"] == "Completed", job
    assert job["hyperParameters"] == {"epochCount": "2", "batchSize": "1", "learningRate": "0.0001"}
    assert {part["status"] for part in job["statusDetails"].values()} == {"Completed"}
    folder = f"metrics/model-customization-job-{job['jobArn'].rpartition('/')[2]}"
    rows = s3(f"{folder}/training_artifacts/step_wise_training_metrics.csv").decode().splitlines()
    assert rows[0] == "step_number,epoch_number,training_loss,perplexity"
    assert len(rows) == 11
    assert rows[-1].startswith(f"10,1,{job['trainingMetrics']['trainingLoss']},")
    assert any(key.endswith("validation_metrics.csv") for key in s3.names())
    model = client().get_custom_model(modelIdentifier="mine")
    assert (model["modelArn"], model["modelStatus"]) == (job["outputModelArn"], "Active")
    assert client().list_custom_models(nameContains="min")["modelSummaries"][0]["modelName"] == "mine"
    assert client().list_tags_for_resource(resourceARN=model["modelArn"])["tags"] == tags

    asked = {"modelDeploymentName": "live", "modelArn": model["modelArn"]}
    arn = client().create_custom_model_deployment(**asked)["customModelDeploymentArn"]
    get = lambda: client().get_custom_model_deployment(customModelDeploymentIdentifier="live")  # noqa: E731
    client.until(get, "Active")
    listed = client().list_custom_model_deployments(modelArnEquals=model["modelArn"])
    assert listed["modelDeploymentSummaries"][0]["customModelDeploymentName"] == "live"
    runtime = client("bedrock-runtime")
    body = json.dumps({"prompt": "say hi"})
    assert json.loads(runtime.invoke_model(modelId=arn, body=body)["body"].read())["generation"] == "hi"
    with pytest.raises(ClientError, match="on-demand throughput"):
        runtime.invoke_model(modelId=model["modelArn"], body=body)
    with pytest.raises(ClientError, match="is used by the custom-model-deployment live"):
        client().delete_custom_model(modelIdentifier="mine")
    client().update_custom_model_deployment(
        customModelDeploymentIdentifier="live", modelArn=model["modelArn"]
    )
    client.until(lambda: get()["updateDetails"], "UpdateCompleted", member="updateStatus")
    client().delete_custom_model_deployment(customModelDeploymentIdentifier=arn)
    client().delete_custom_model(modelIdentifier="mine")
    assert client().list_custom_models()["modelSummaries"] == []


@pytest.mark.parametrize(
    ("samples", "says"),
    [
        ([{"prompt": "a", "completion": "b"}], "schemaVersion must be"),
        ([chat(1), chat(2, messages=chat(2)["messages"][:1])], "line 2 of .*: the last message"),
        ([chat(1, messages=[])], "messages is missing or empty"),
        ([chat(1, messages=chat(1)["messages"][::-1])], r"messages\[0\] must have the role user"),
        ([], "has no records"),
    ],
)
def test_training_data_is_checked(plane, s3, samples, says):
    job = customise(plane(models=ACTIVE), s3, samples)
    assert job["status"] == "Failed"
    assert re.search(says, job["failureMessage"])
    assert job["statusDetails"]["validationDetails"]["status"] == "Failed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"hyperParameters": {"learningRateWarmupSteps": "0"}}, "Invalid hyperparameter"),
        ({"hyperParameters": {"epochCount": "11"}}, "between 1 and 10"),
        ({"hyperParameters": {"epochCount": "x"}}, "must be a number"),
        ({"customizationType": "CONTINUED_PRE_TRAINING"}, "does not support CONTINUED_PRE_TRAINING"),
        ({"customizationType": "DISTILLATION"}, "must name the teacher"),
        ({"baseModelIdentifier": "meta.llama4-scout-17b-instruct-v1:0"}, "does not support FINE_TUNING"),
    ],
)
def test_a_customisation_is_refused(plane, s3, change, says):
    with pytest.raises(ClientError, match=says):
        customise(plane(models=ACTIVE), s3, [chat(1)], **change)


def test_a_legacy_model_takes_no_new_jobs(plane, s3):
    client = plane()
    with pytest.raises(ClientError, match="is Legacy: it takes no new customization jobs"):
        customise(client, s3, [chat(1)])
    with pytest.raises(ClientError, match="is Legacy: no new Provisioned Throughput"):
        client().create_provisioned_model_throughput(
            modelUnits=1, provisionedModelName="pt", modelId=f"{SMALL}:128k"
        )


def test_provisioned_throughput_is_bought_changed_and_committed(plane, s3):
    client = plane(Echo(), models=ACTIVE)
    asked = {"modelId": f"{SMALL}:128k", "modelUnits": 1}
    buy = client().create_provisioned_model_throughput
    arn = buy(**asked, provisionedModelName="pt")["provisionedModelArn"]
    get = lambda name: client().get_provisioned_model_throughput(provisionedModelId=name)  # noqa: E731
    client.until(lambda: get("pt"), "InService")
    answer = client("bedrock-runtime").invoke_model(modelId=arn, body=json.dumps({"prompt": "say hi"}))
    assert json.loads(answer["body"].read())["generation"] == "hi"
    client().update_provisioned_model_throughput(provisionedModelId="pt", desiredProvisionedModelName="other")
    assert get(arn)["provisionedModelName"] == "other"
    with pytest.raises(ClientError) as raised:
        buy(**asked | {"modelUnits": 2}, provisionedModelName="more")
    assert raised.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    buy(**asked, provisionedModelName="bound", commitmentDuration="OneMonth")
    bound = client.until(lambda: get("bound"), "InService")[0]
    assert (bound["commitmentExpirationTime"] - bound["creationTime"]).days in (29, 30)
    with pytest.raises(ClientError, match="is committed until"):
        client().delete_provisioned_model_throughput(provisionedModelId="bound")
    client().delete_provisioned_model_throughput(provisionedModelId=arn)
    found = client().list_provisioned_model_throughputs(statusEquals="InService")
    assert [one["provisionedModelName"] for one in found["provisionedModelSummaries"]] == ["bound"]


def test_a_model_is_copied_to_another_region(plane, s3):
    client = plane(models=ACTIVE)
    source = customise(client, s3, [chat(1)])["outputModelArn"]
    there = client(region="us-east-1")
    arn = there.create_model_copy_job(sourceModelArn=source, targetModelName="copy")["jobArn"]
    job, _ = client.until(lambda: there.get_model_copy_job(jobArn=arn), "Completed", "Failed")
    copy = there.get_custom_model(modelIdentifier=job["targetModelArn"])
    assert (copy["modelName"], copy["baseModelArn"].split(":")[3]) == ("copy", "us-west-2")
    assert (
        there.list_model_copy_jobs(sourceModelArnEquals=source)["modelCopyJobSummaries"][0]["jobArn"] == arn
    )


def test_what_the_account_may_not_call_is_refused(plane):
    states = {
        LLAMA: (ModelState(access="NOT_AVAILABLE"), "AccessDeniedException"),
        SMALL: (ModelState(legacy_access=False), "ResourceNotFoundException"),
        "meta.llama3-1-70b-instruct-v1:0": (ModelState(lifecycle="ended"), "ResourceNotFoundException"),
    }
    runtime = plane(models={name: state for name, (state, _) in states.items()})("bedrock-runtime")
    for name, (_, code) in states.items():
        with pytest.raises(ClientError) as raised:
            runtime.invoke_model(modelId=f"us.{name}", body=b'{"prompt": "x"}')
        assert raised.value.response["Error"]["Code"] == code


def logs(s3, within=10.0):
    """The records of the invocation logs, once there are some."""
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        found = [name for name in s3.names() if name.endswith(".json.gz") and "/data/" not in name]
        if found:
            return [json.loads(line) for name in found for line in gzip.decompress(s3(name)).splitlines()]
        time.sleep(0.02)
    raise AssertionError("no logs")


def test_invocations_are_logged_and_distilled_from(plane, s3):
    client = plane(Echo(), models=ACTIVE, pace=0.3)
    place = {"bucketName": s3.uri.removeprefix("s3://"), "keyPrefix": "logs"}
    put = client().put_model_invocation_logging_configuration
    with pytest.raises(ClientError, match="Failed to validate permissions"):
        put(loggingConfig={"s3Config": {"bucketName": "no-such-bucket-1"}})
    put(loggingConfig={"s3Config": place, "imageDataDeliveryEnabled": False})
    runtime = client("bedrock-runtime")
    body, large = json.dumps({"prompt": "say hi"}), json.dumps({"prompt": "word " * 30_000})
    ask = {"modelId": f"us.{LLAMA}"}
    runtime.invoke_model(**ask, body=body, requestMetadata=json.dumps({"team": "a"}))
    list(runtime.invoke_model_with_response_stream(**ask, body=body)["body"])
    said = [{"role": "user", "content": [{"text": "say hi"}]}]
    list(runtime.converse_stream(**ask, messages=said, requestMetadata={"team": "b"})["stream"])
    runtime.invoke_model(**ask, body=large)
    with pytest.raises(ClientError):
        runtime.invoke_model(**ask, body=b"{}")
    client.server.stop()  # what waits is written
    whole, streamed, conversed, big, refused = logs(s3)
    assert whole["schemaType"] == "ModelInvocationLog"
    assert whole["requestMetadata"] == {"team": "a"}
    assert whole["input"]["inputBodyJson"] == {"prompt": "say hi"}
    assert whole["output"]["outputBodyJson"]["generation"] == "hi"
    assert whole["output"]["outputTokenCount"] == 1
    assert streamed["operation"] == "InvokeModelWithResponseStream"
    assert "".join(chunk["generation"] for chunk in streamed["output"]["outputBodyJson"]) == "hi"
    assert conversed["output"]["outputBodyJson"]["output"]["message"]["role"] == "assistant"
    aside = big["input"]["inputBodyS3Path"].removeprefix(f"{s3.uri}/")
    assert json.loads(gzip.decompress(s3(aside))) == json.loads(large)
    assert refused["errorCode"] == "ValidationException"
    name = next(name for name in s3.names() if name.endswith(".json.gz"))
    assert re.match(
        r"logs/AWSLogs/123456789012/BedrockModelInvocationLogs/us-west-2/\d{4}/\d\d/\d\d/\d\d/", name
    )

    client = plane(
        Echo(), models=ACTIVE | {"meta.llama3-1-405b-instruct-v1:0": ModelState(lifecycle="active")}
    )

    def distil(job, **filters):
        source = {"s3Uri": f"{s3.uri}/logs"}
        return customise(
            client,
            s3,
            [],
            jobName=job,
            customModelName=job,
            customizationType="DISTILLATION",
            customizationConfig={
                "distillationConfig": {
                    "teacherModelConfig": {"teacherModelIdentifier": "meta.llama3-1-405b-instruct-v1:0"}
                }
            },
            trainingDataConfig={
                "invocationLogsConfig": {
                    "usePromptResponse": True,
                    "invocationLogSource": source,
                    "requestMetadataFilters": filters,
                }
            },
        )

    assert (
        distil("some", andAll=[{"equals": {"team": "a"}}, {"notEquals": {"x": "y"}}])["status"] == "Completed"
    )
    assert "pass the filters" in distil("none", equals={"team": "z"})["failureMessage"]


def test_jobs_are_listed_and_stopped(plane, s3, model_files):
    client = plane(models=ACTIVE)
    job = import_model(client, model_files())
    found = client().list_model_import_jobs(statusEquals="Completed", nameContains="tiny")
    assert [one["jobArn"] for one in found["modelImportJobSummaries"]] == [job["jobArn"]]
    assert client().list_imported_models(sortOrder="Ascending")["modelSummaries"][0]["modelName"] == "tiny"
    slow = plane(models=ACTIVE, pace=5)
    arn = slow().create_model_customization_job(
        jobName="tune",
        customModelName="mine",
        roleArn=ROLE,
        baseModelIdentifier=LLAMA,
        trainingDataConfig={"s3Uri": s3("train.jsonl", [chat(1)])},
        outputDataConfig={"s3Uri": s3.uri},
    )["jobArn"]
    slow().stop_model_customization_job(jobIdentifier=arn)
    listed = slow().list_model_customization_jobs(statusEquals="Stopping")["modelCustomizationJobSummaries"]
    assert [one["customModelName"] for one in listed] == ["mine"]
    with pytest.raises(ClientError, match="belongs to another region"):
        slow(region="us-east-1").get_model_customization_job(jobIdentifier=arn)
