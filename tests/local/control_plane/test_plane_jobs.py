"""Jobs of the control plane: they read and write S3 (moto's server), and end as Bedrock's do."""

import json
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import EngineError, ErrorResponse, ModelState
from llama_bedrock.local.engines.scripted import ScriptedEngine

LLAMA = "meta.llama3-3-70b-instruct-v1:0"
SMALL = "meta.llama3-1-8b-instruct-v1:0"
ROLE = "arn:aws:iam::123456789012:role/Bedrock"
FEW = {"Minimum number of records per batch inference job": 1}
ACTIVE = {name: ModelState(lifecycle="active") for name in (LLAMA, SMALL)}


class Echo:
    """Answers with the last word of the prompt; refuses one that says "boom"."""

    name = "echo"
    blocking = False

    def __init__(self):
        self.models = []

    def generate(self, request):
        self.models.append(request.model_id)
        if "boom" in request.prompt:
            raise EngineError("ModelErrorException", "it went boom")
        return iter([request.prompt.split()[-1]])


@pytest.fixture
def s3(bucket, session, s3_endpoint):
    """Function: key → bytes; with a second argument, writes."""
    settings = {"aws_access_key_id": "any", "aws_secret_access_key": "any", "endpoint_url": s3_endpoint}
    client, name = session.client("s3", region_name="us-east-1", **settings), bucket.removeprefix("s3://")

    def access(key, value=None):
        if value is None:
            return client.get_object(Bucket=name, Key=key)["Body"].read()
        body = value if isinstance(value, bytes) else "\n".join(json.dumps(v) for v in value).encode()
        client.put_object(Bucket=name, Key=key, Body=body)
        return f"{bucket}/{key}"

    access.uri = bucket
    access.names = lambda: [o["Key"] for o in client.list_objects_v2(Bucket=name).get("Contents", [])]
    yield access
    client.close()


def until(get, *final, member="status"):
    """Ask until a state is final; gives the last answer and the states seen."""
    seen, deadline = [], time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = get()
        if answer[member] not in seen:
            seen.append(answer[member])
        if answer[member] in final:
            return answer, seen
        time.sleep(0.01)
    raise AssertionError(f"only {seen}")


def batch(client, s3, records, model=f"us.{SMALL}", **options):
    """Submit a batch job and wait for its end."""
    uri = s3("in/a.jsonl", records) if not isinstance(records, str) else records
    job = {
        "jobName": "nightly",
        "roleArn": ROLE,
        "modelId": model,
        "inputDataConfig": {"s3InputDataConfig": {"s3Uri": uri}},
        "outputDataConfig": {"s3OutputDataConfig": {"s3Uri": f"{s3.uri}/out/"}},
        **options,
    }
    arn = client().create_model_invocation_job(**job)["jobArn"]
    get = lambda: client().get_model_invocation_job(jobIdentifier=arn)  # noqa: E731
    ends = ("Completed", "Failed", "PartiallyCompleted", "Expired", "Stopped")
    return until(get, *ends)


def record(prompt, n=None, **body):
    return {"modelInput": {"prompt": prompt, **body}} | ({} if n is None else {"recordId": f"R{n:04}"})


def out_of(s3, answer, name="a"):
    folder = f"out/{answer['jobArn'].rpartition('/')[2]}"
    lines = [json.loads(line) for line in s3(f"{folder}/{name}.jsonl.out").splitlines()]
    return lines, json.loads(s3(f"{folder}/manifest.json.out"))


def test_a_batch_job_runs_its_records(plane, s3):
    records = [record(f"say w{n}", n) for n in range(70)]
    records += [record("boom", 70), record("say hi", 71, top_k=3), record("say w72")]
    answer, seen = batch(plane(Echo(), quotas=FEW, pace=0.05), s3, records)
    assert seen == ["Submitted", "Validating", "Scheduled", "InProgress", "Completed"]
    lines, manifest = out_of(s3, answer)
    by_id = {line["recordId"]: line for line in lines}
    for n in range(70):
        line = by_id[f"R{n:04}"]
        assert line["modelOutput"]["generation"] == f"w{n}"
        assert line["modelInput"] == {"prompt": f"say w{n}"}
    assert by_id["R0070"]["error"] == {"errorCode": 424, "errorMessage": "it went boom"}
    assert by_id["R0071"]["error"]["errorCode"] == 400
    assert "extraneous key [top_k]" in by_id["R0071"]["error"]["errorMessage"]
    made = next(line for name, line in by_id.items() if not name.startswith("R00"))
    assert len(made["recordId"]) == 11
    counts = {
        "totalRecordCount": 73,
        "processedRecordCount": 73,
        "successRecordCount": 71,
        "errorRecordCount": 2,
    }
    assert manifest.items() >= counts.items()
    assert manifest["outputTokenCount"] == 71
    assert answer.items() >= counts.items()
    assert answer["endTime"] >= answer["submitTime"]


def test_a_batch_of_conversations_over_many_files(plane, s3):
    for name in ("b", "c"):
        message = {"role": "user", "content": [{"text": f"say {name}"}]}
        s3(f"in/{name}.jsonl", [{"recordId": name, "modelInput": {"messages": [message]}}])
    s3("in/readme.txt", b"no records")
    s3("inner/d.jsonl", b"not under the prefix")
    client = plane(ScriptedEngine(["Well."], repeat=True), quotas=FEW)
    answer, _ = batch(client, s3, f"{s3.uri}/in", modelInvocationType="Converse")
    assert answer["status"] == "Completed", answer
    for name in ("b", "c"):
        lines, manifest = out_of(s3, answer, name)
        message = lines[0]["modelOutput"]["output"]["message"]
        assert message["content"] == [{"text": "Well."}]
    assert (manifest["successRecordCount"], manifest["outputTokenCount"]) == (2, 2)


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (b'{"modelInput": {}}\nnot json', "line 2 of .*/in/a.jsonl is not valid JSON"),
        (b'{"modelInput": "x"}', "no modelInput object"),
        (b'{"recordId": 5, "modelInput": {}}', "recordId of line 1"),
        (b'{"modelInput": {"prompt": "x"}}', r"less records \(1\) than the required minimum of: 100"),
    ],
)
def test_a_batch_job_fails_over_its_input(plane, s3, lines, says):
    uri = s3("in/a.jsonl", lines)
    answer, _ = batch(plane(), s3, uri)
    assert answer["status"] == "Failed"
    assert pytest.importorskip("re").search(says, answer["message"])


def test_a_batch_job_fails_over_what_is_not_there(plane, s3):
    client = plane(quotas=FEW)
    answer, _ = batch(client, s3, f"{s3.uri}/nothing")
    assert "No input files were found" in answer["message"]
    answer, _ = batch(client, s3, "s3://no-such-bucket-1/x.jsonl", jobName="second")
    assert "the bucket does not exist" in answer["message"]
    limits = FEW | {"Records per batch inference job": 2}
    answer, _ = batch(plane(quotas=limits), s3, [record("a")] * 3)
    assert "is 3, above the quota of 2" in answer["message"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"roleArn": "arn:aws:iam::999999999999:role/Other"}, "Could not assume provided IAM role"),
        ({"modelId": "meta.llama3-8b-instruct-v1:0"}, "not supported in us-west-2"),
        ({"modelId": LLAMA}, "not supported in us-west-2; it is in us-east-2"),
        ({"modelId": "cohere.command-r-v1:0"}, "model identifier is invalid"),
        ({"timeoutDurationInHours": 200}, "less than or equal to 168"),
        ({"jobName": "-"}, "regular expression pattern"),
    ],
)
def test_a_batch_job_is_refused(plane, s3, change, says):
    with pytest.raises(ClientError, match=says) as raised:
        batch(plane(), s3, "s3://bucket/x.jsonl", **change)
    assert raised.value.response["Error"]["Code"] == "ValidationException"


def test_a_batch_job_stops_and_keeps_what_is_done(plane, s3):
    class Slow(Echo):
        blocking = True

        def generate(self, request):
            time.sleep(0.01)
            return super().generate(request)

    client = plane(Slow(), quotas=FEW)
    uri = s3("in/a.jsonl", [record(f"say w{n}") for n in range(4000)])
    arn = client().create_model_invocation_job(
        jobName="long",
        roleArn=ROLE,
        modelId=f"us.{SMALL}",
        inputDataConfig={"s3InputDataConfig": {"s3Uri": uri}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{s3.uri}/out"}},
    )["jobArn"]
    get = lambda: client().get_model_invocation_job(jobIdentifier=arn)  # noqa: E731
    until(get, "InProgress")
    time.sleep(0.3)
    client().stop_model_invocation_job(jobIdentifier=arn)
    answer, _ = until(get, "Stopped")
    lines, manifest = out_of(s3, answer)
    assert 0 < len(lines) == manifest["processedRecordCount"] == answer["processedRecordCount"] < 4000
    with pytest.raises(ClientError) as raised:
        client().stop_model_invocation_job(jobIdentifier=arn)
    assert raised.value.response["Error"]["Code"] == "ConflictException"


def test_a_batch_job_expires_by_the_accounts_clock(plane, s3):
    ahead = timedelta()

    def clock():
        return datetime(2026, 12, 1, tzinfo=UTC) + ahead

    class Late(Echo):
        def generate(self, request):
            nonlocal ahead
            ahead = timedelta(hours=25)
            return super().generate(request)

    answer, _ = batch(plane(Late(), quotas=FEW, clock=clock), s3, [record(f"w{n}") for n in range(100)])
    assert answer["status"] == "PartiallyCompleted"
    assert answer["processedRecordCount"] == 64
    ahead = timedelta()
    jumped = iter([0, 0, 0])

    def jumping():
        return datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=9 * (next(jumped, None) is None))

    answer, _ = batch(plane(Echo(), quotas=FEW, clock=jumping), s3, [record("w")], jobName="b")
    assert answer["status"] == "Expired"


def test_faults_strike_records_of_batch_jobs(plane, s3):
    client = plane(Echo(), quotas=FEW)
    fault = ErrorResponse("ServiceUnavailableException").when(lambda t: "w3" in t.body.get("prompt", ""))
    client.server.faults = [fault]
    answer, _ = batch(client, s3, [record(f"say w{n}", n) for n in range(5)])
    lines, _ = out_of(s3, answer)
    failed = [line["recordId"] for line in lines if "error" in line]
    assert failed == ["R0003"]


def test_batch_jobs_are_listed_by_filter_and_page(plane, s3):
    client = plane(Echo(), quotas=FEW)
    for name in ("alpha-1", "alpha-2", "beta"):
        batch(client, s3, [record("w")], jobName=name)
    names = lambda **given: [  # noqa: E731
        job["jobName"]
        for page in client()
        .get_paginator("list_model_invocation_jobs")
        .paginate(**given, PaginationConfig={"PageSize": 1})
        for job in page["invocationJobSummaries"]
    ]
    assert names() == ["beta", "alpha-2", "alpha-1"]
    assert names(nameContains="alpha", sortBy="CreationTime", sortOrder="Ascending") == ["alpha-1", "alpha-2"]
    assert names(statusEquals="Failed") == []
    assert names(submitTimeAfter=datetime.now(UTC) + timedelta(hours=1)) == []


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
    return until(lambda: client().get_model_import_job(jobIdentifier=arn), "Completed", "Failed")[0]


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
    return until(get, "Completed", "Failed", "Stopped")[0]


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
    until(get, "Active")
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
    until(lambda: get()["updateDetails"], "UpdateCompleted", member="updateStatus")
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
    assert pytest.importorskip("re").search(says, job["failureMessage"])
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
    until(lambda: get("pt"), "InService")
    answer = client("bedrock-runtime").invoke_model(modelId=arn, body=json.dumps({"prompt": "say hi"}))
    assert json.loads(answer["body"].read())["generation"] == "hi"
    client().update_provisioned_model_throughput(provisionedModelId="pt", desiredProvisionedModelName="other")
    assert get(arn)["provisionedModelName"] == "other"
    with pytest.raises(ClientError) as raised:
        buy(**asked | {"modelUnits": 2}, provisionedModelName="more")
    assert raised.value.response["Error"]["Code"] == "ServiceQuotaExceededException"
    buy(**asked, provisionedModelName="bound", commitmentDuration="OneMonth")
    bound = until(lambda: get("bound"), "InService")[0]
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
    job, _ = until(lambda: there.get_model_copy_job(jobArn=arn), "Completed", "Failed")
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


def test_state_in_a_folder_outlives_the_endpoint(plane, s3, tmp_path):
    first = plane(Echo(), state=tmp_path / "state", quotas=FEW, pace=0.5)
    uri = s3("in/a.jsonl", [record("say hi")])
    arn = first().create_model_invocation_job(
        jobName="kept",
        roleArn=ROLE,
        modelId=f"us.{SMALL}",
        inputDataConfig={"s3InputDataConfig": {"s3Uri": uri}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{s3.uri}/out"}},
        tags=[{"key": "k", "value": "v"}],
    )["jobArn"]
    first.server.stop()
    second = plane(Echo(), state=tmp_path / "state", quotas=FEW)
    get = lambda: second().get_model_invocation_job(jobIdentifier=arn)  # noqa: E731
    answer, _ = until(get, "Completed", "Failed")
    assert answer["status"] == "Completed", "the job goes on after a restart"
    assert out_of(s3, answer)[0][0]["modelOutput"]["generation"] == "hi"
    assert second().list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "k", "value": "v"}]
