"""Batch jobs of the control plane: they read and write S3 (moto's server), and end as Bedrock's do."""

import json
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.exceptions import ClientError

from llama_bedrock.local import EngineError, ErrorResponse
from llama_bedrock.testing import ScriptedEngine

pytestmark = pytest.mark.slow

LLAMA = "meta.llama3-3-70b-instruct-v1:0"
SMALL = "meta.llama3-1-8b-instruct-v1:0"
ROLE = "arn:aws:iam::123456789012:role/Bedrock"
FEW = {"Minimum number of records per batch inference job": 1}


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
    return client.until(get, *ends)


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
    assert re.search(says, answer["message"])


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
    client.until(get, "InProgress")
    time.sleep(0.3)
    client().stop_model_invocation_job(jobIdentifier=arn)
    answer, _ = client.until(get, "Stopped")
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

    began = time.monotonic()

    def racing():
        return datetime(2026, 12, 1, tzinfo=UTC) + timedelta(days=100 * (time.monotonic() - began))

    answer, _ = batch(plane(Echo(), quotas=FEW, clock=racing, pace=0.5), s3, [record("w")], jobName="b")
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
    with pytest.raises(ValueError, match="belongs to an endpoint that is running"):
        plane(state=tmp_path / "state")
    first.server.stop()
    second = plane(Echo(), state=tmp_path / "state", quotas=FEW)
    get = lambda: second().get_model_invocation_job(jobIdentifier=arn)  # noqa: E731
    answer, _ = second.until(get, "Completed", "Failed")
    assert answer["status"] == "Completed", "the job goes on after a restart"
    assert out_of(s3, answer)[0][0]["modelOutput"]["generation"] == "hi"
    assert second().list_tags_for_resource(resourceARN=arn)["tags"] == [{"key": "k", "value": "v"}]


def test_a_file_that_is_no_record_is_named(plane, tmp_path):
    (tmp_path / "a.record.json").write_text('{"kind": "x"}')
    with pytest.raises(ValueError, match=r"a\.record\.json is no record of a local endpoint"):
        plane(state=tmp_path)
