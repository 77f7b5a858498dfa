"""Batch jobs from prompts to answers, over the local control plane and moto's S3."""

import asyncio
import json

import boto3
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from pydantic import BaseModel

from llama_bedrock import CATALOG, ChatLlamaBedrock
from llama_bedrock.control import BatchJob, ControlPlane, JobFailedError
from llama_bedrock.errors import BedrockTimeoutError, BedrockValidationError
from llama_bedrock.local import Account, ErrorResponse, LocalBedrock

MODEL = "us.meta.llama3-3-70b-instruct-v1:0"
ROLE = "arn:aws:iam::123456789012:role/batch"
FEW = {"Minimum number of records per batch inference job": 1}
pytestmark = pytest.mark.filterwarnings("ignore::llama_bedrock.LlamaLifecycleWarning")


class Weather(BaseModel):
    """Weather of a city."""

    city: str


class Echo:
    """Says again what the user said; a tool call or JSON where the prompt asks for one."""

    name = "echo"

    def generate(self, request):
        text = request.prompt.rsplit("user<|end_header_id|>\n\n", 1)[1].split("<|eot_id|>")[0]
        ending = request.prompt.rsplit("<|end_header_id|>\n\n", 1)[1]
        if "weather" in request.prompt:
            yield f'[weather(city="{text}")]'
        elif "JSON" in request.prompt:
            yield json.dumps({"city": text}).removeprefix(ending)
        else:
            yield f" {text}" if ending else text


@pytest.fixture
def plane(bucket):
    """Function: settings of the account → a server with it."""
    servers = []

    def start(engine=None, faults=(), **account):
        account = {"pace": 0.01, "quotas": FEW, **account}
        servers.append(LocalBedrock(engine or Echo(), account=Account(**account), faults=list(faults)))
        servers[-1].__enter__()
        return servers[-1]

    yield start
    for server in servers:
        server.__exit__(None, None, None)


def make(server, model=MODEL, **settings):
    return ChatLlamaBedrock(
        model=model,
        region_name="us-east-1",
        endpoint_url=server.endpoint_url,
        aws_access_key_id="k",
        aws_secret_access_key="s",
        **settings,
    )


def ended(job, way="sync"):
    """Submit, wait and read; sync or async."""
    if way == "sync":
        job.submit()
        return job.wait(seconds=60), list(job.results())

    async def run():
        await job.asubmit()
        status = await job.await_end(seconds=60)
        return status, [result async for result in job.aresults()]

    return asyncio.run(run())


@pytest.mark.parametrize("way", ["sync", "async"])
def test_answers_come_in_order_with_ids_usage_and_the_batch_price(plane, bucket, way):
    inputs = [f"question {n}" for n in range(7)]
    inputs[3] = [HumanMessage("Colour?"), AIMessage("The sky is")]
    job = BatchJob(
        make(plane()),
        (one for one in inputs),
        s3=f"{bucket}/b",
        role_arn=ROLE,
        record_ids=[f"ü{n}" for n in range(7)],
    )
    status, results = ended(job, way)
    assert (status.status, status.records, status.processed, status.failed) == ("Completed", 7, 7, 0)
    assert [result.index for result in results] == list(range(7))
    assert [result.id for result in results] == [f"ü{n}" for n in range(7)]
    texts = [result.message.text for result in results]
    assert texts == [" Colour?" if n == 3 else f"question {n}" for n in range(7)]
    price = CATALOG["meta.llama3-3-70b-instruct-v1:0"].price_in("us-east-1", batch=True)
    for result in results:
        usage = result.message.usage_metadata
        cost = (usage["input_tokens"] * price.input + usage["output_tokens"] * price.output) / 1e6
        assert usage["total_cost"] == pytest.approx(cost)
        assert cost > 0
        assert result.message.response_metadata["model_name"] == MODEL


def test_tools_and_schemas_which_bedrock_says_batch_has_not(plane, bucket):
    def weather(city: str) -> str:
        """Weather of a city."""
        raise AssertionError(city)

    server = plane()
    _, called = ended(
        BatchJob(make(server), ["Lima", "Cusco"], s3=bucket, role_arn=ROLE, name="tools", tools=[weather])
    )
    assert [result.message.tool_calls[0]["args"] for result in called] == [
        {"city": "Lima"},
        {"city": "Cusco"},
    ]
    _, bound = ended(
        BatchJob(
            make(server).bind_tools([weather], tool_choice="any"),
            ["Lima"],
            s3=bucket,
            role_arn=ROLE,
            name="bound",
        )
    )
    assert bound[0].message.tool_calls or bound[0].message.invalid_tool_calls
    _, parsed = ended(
        BatchJob(make(server), ["Lima", "Cusco"], s3=bucket, role_arn=ROLE, name="schema", schema=Weather)
    )
    assert [result.parsed for result in parsed] == [Weather(city="Lima"), Weather(city="Cusco")]


def test_another_process_needs_the_arn_only(plane, bucket, monkeypatch):
    server = plane()
    llm = make(server, temperature=0.3, stop=["7"])
    first = BatchJob(
        llm, ["Lima", "Cu7sco"], s3=bucket, role_arn=ROLE, schema=Weather, record_ids=["a", "b"]
    ).submit()
    monkeypatch.setenv("AWS_ENDPOINT_URL_BEDROCK", server.endpoint_url)
    for schema in (None, Weather):
        job = BatchJob.from_arn(first.arns[0], schema=schema)
        assert job.arns == first.arns
        assert job.wait(seconds=60).status == "Completed"
        lima, cut = job.results()
        assert lima.parsed == ({"city": "Lima"} if schema is None else Weather(city="Lima"))
        assert (lima.id, cut.id) == ("a", "b")
        assert cut.parsed is None  # the stop string of the first process's model held
        assert "JSON" in str(cut.error)


def test_errors_have_types_and_their_records_are_sent_again(plane, bucket):
    refused = [
        ErrorResponse("ValidationException", "Too long.")
        .when(lambda t: "question 2" in str(t.body))
        .first(1),
        ErrorResponse("ThrottlingException").when(lambda t: "question 5" in str(t.body)).first(1),
    ]
    server = plane(faults=refused)
    job = BatchJob(make(server), [f"question {n}" for n in range(8)], s3=bucket, role_arn=ROLE)
    status, results = ended(job)
    assert (status.processed, status.failed) == (8, 2)
    assert [result.index for result in results if result.error] == [2, 5]
    assert isinstance(results[2].error, BedrockValidationError)
    assert "Too long." in str(results[2].error)
    again = list(job.retry_failed())
    assert [(result.index, result.message.text) for result in again] == [(2, "question 2"), (5, "question 5")]
    live = CATALOG["meta.llama3-3-70b-instruct-v1:0"].price_in("us-east-1")
    usage = again[0].message.usage_metadata
    assert usage["input_cost"] == pytest.approx(usage["input_tokens"] * live.input / 1e6)
    _, as_job = ended(job.failed_as_job(ROLE, name="again"))
    assert [(result.id, result.message.text) for result in as_job] == [
        ("2", "question 2"),
        ("5", "question 5"),
    ]


def test_quotas_make_files_and_jobs(plane, bucket):
    quotas = {
        **FEW,
        "Records per input file per batch inference job": 3,
        "Records per batch inference job": 5,
    }
    job = BatchJob(make(plane(quotas=quotas)), map(str, range(12)), s3=bucket, role_arn=ROLE, name="many")
    status, results = ended(job)
    assert len(job.arns) == 3
    assert status.records == status.processed == 12
    assert [result.message.text for result in results] == list(map(str, range(12)))
    keys = [o["Key"] for o in boto3.client("s3").list_objects_v2(Bucket=bucket[5:])["Contents"]]
    inputs = [key for key in keys if key.endswith(".jsonl")]
    assert [key.split("/")[1] for key in inputs] == ["input-0", "input-0", "input-1", "input-1", "input-2"]


def test_too_few_records_leave_nothing_behind(plane, bucket):
    job = BatchJob(make(plane(quotas={})), ["a", "b"], s3=bucket, role_arn=ROLE, record_ids=["1", "2"])
    with pytest.raises(ValueError, match=r"2 records.*at least 100.*abatch_file"):
        job.submit()
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=bucket[5:])


def test_a_stopped_job_has_what_was_finished_and_says_what_was_not(plane, bucket):
    server = plane(pace=0.3)
    job = BatchJob(make(server), map(str, range(5)), s3=bucket, role_arn=ROLE).submit()
    with pytest.raises(ValueError, match=r"wait\(\)"):
        list(job.results())
    with pytest.raises(BedrockTimeoutError):
        job.wait(seconds=0.1)
    job.cancel()
    seen = []
    status = job.wait(seen.append, seconds=60)
    assert status.status == "Stopped"
    assert seen
    results = list(job.results())
    assert {type(result.error).__name__ for result in results} == {"RecordNotRunError"}
    assert [result.message.text for result in job.retry_failed()] == list(map(str, range(5)))


def test_a_failed_job_says_why(plane, bucket):
    server = plane()
    job = BatchJob(make(server), ["a"], s3=bucket, role_arn=ROLE, name="gone").submit()
    client = boto3.client("s3")
    for item in client.list_objects_v2(Bucket=bucket[5:])["Contents"]:
        if item["Key"].endswith(".jsonl"):
            client.delete_object(Bucket=bucket[5:], Key=item["Key"])
    if job.wait(seconds=60).status == "Failed":  # else it was quicker
        with pytest.raises(JobFailedError, match=r"No input files|does not exist"):
            list(job.results())


@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({"model": "meta.llama3-70b-instruct-v1:0"}, {}, "it has none"),
        ({"model": "meta.llama3-3-70b-instruct-v1:0"}, {}, "other form of its id"),
        ({"model": "arn:aws:bedrock:us-east-1:123456789012:imported-model/abc", "prompt_format": "llama3.1"}, {}, "imported"),
        ({}, {"s3": "bucket/prefix"}, "S3 address"),
        ({}, {"role_arn": "role"}, "is no role"),
        ({}, {"hours": 5}, "24 to 168"),
        ({}, {"name": "a b"}, "letters, digits"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_sent(settings, arguments, words):
    llm = ChatLlamaBedrock(**{"model": MODEL, "region_name": "us-east-1", **settings})
    with pytest.raises(ValueError, match=words):
        BatchJob(llm, ["a"], **{"s3": "s3://bucket/prefix", "role_arn": ROLE, **arguments})


@pytest.mark.parametrize(
    "settings",
    [
        {"guardrails": {"id": "g1", "version": "1"}},
        {"service_tier": "priority"},
        {"request_metadata": {"a": "b"}},
    ],
)
def test_what_does_not_travel_with_a_job_is_refused_not_dropped(plane, bucket, settings):
    job = BatchJob(make(plane(), **settings), ["a"], s3=bucket, role_arn=ROLE)
    with pytest.raises(ValueError, match="do not travel with a batch job"):
        job.submit()


def test_buckets_that_are_not_fit(plane, bucket, s3_endpoint):
    server = plane()
    client = boto3.client("s3", region_name="us-west-2")
    client.create_bucket(Bucket="west-1", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    for place, words in (
        ("s3://west-1/a", "is in us-west-2"),
        ("s3://missing-bucket/a", "there is no bucket"),
    ):
        with pytest.raises(ValueError, match=words):
            BatchJob(make(server), ["a"], s3=place, role_arn=ROLE).submit()
    client.put_bucket_acl(Bucket=bucket[5:], ACL="public-read")
    with pytest.raises(ValueError, match="read by everybody"):
        BatchJob(make(server), ["a"], s3=bucket, role_arn=ROLE).submit()
    BatchJob(make(server), ["a"], s3=bucket, role_arn=ROLE, allow_public_bucket=True).submit()


def test_a_file_of_prompts(plane, bucket, tmp_path):
    (tmp_path / "in.csv").write_text("id,question\nx,Where?\n,Why?\n")
    job = BatchJob(make(plane()), tmp_path / "in.csv", s3=bucket, role_arn=ROLE, field="question")
    _, results = ended(job)
    assert [(result.id, result.message.text) for result in results] == [("x", "Where?"), ("3", "Why?")]
    (tmp_path / "bad.jsonl").write_text('"a"\n{\n')
    with pytest.raises(ValueError, match=r"bad\.jsonl, line 2"):
        BatchJob(make(plane()), tmp_path / "bad.jsonl", s3=bucket, role_arn=ROLE).submit()


def test_chains_are_refused_with_the_way_out():
    llm = ChatLlamaBedrock(model=MODEL, region_name="us-east-1")
    with pytest.raises(TypeError, match="give them as inputs"):
        BatchJob(llm | str, ["a"], s3="s3://bucket/prefix", role_arn=ROLE)


def test_other_jobs_are_not_taken_up(plane, bucket):
    server = plane()
    client = boto3.client("bedrock", region_name="us-east-1", endpoint_url=server.endpoint_url)
    boto3.client("s3").put_object(
        Bucket=bucket[5:], Key="in.jsonl", Body=b'{"modelInput": {"prompt": "a"}}\n'
    )
    arn = client.create_model_invocation_job(
        jobName="other",
        roleArn=ROLE,
        modelId=MODEL,
        inputDataConfig={"s3InputDataConfig": {"s3Uri": f"{bucket}/in.jsonl"}},
        outputDataConfig={"s3OutputDataConfig": {"s3Uri": f"{bucket}/out/"}},
    )["jobArn"]
    with pytest.raises(ValueError, match="BatchJob has not written"):
        BatchJob.from_arn(arn, endpoint_url=server.endpoint_url)
    with pytest.raises(ValueError, match="no ARN of a batch job"):
        BatchJob.from_arn("arn:aws:bedrock:us-east-1:123456789012:imported-model/a")


@pytest.mark.slow
def test_ten_thousand_records_of_which_one_in_a_hundred_fails(plane, bucket):
    failing = ErrorResponse("ModelErrorException", "No.").when(lambda t: "00 " in str(t.body))
    server = plane(faults=[failing], quotas={**FEW, "Records per input file per batch inference job": 4_000})
    inputs = (f"record {n:05d} " for n in range(10_000))
    job = BatchJob(make(server), inputs, s3=bucket, role_arn=ROLE, control=ControlPlane(
        region_name="us-east-1", endpoint_url=server.endpoint_url, aws_access_key_id="k", aws_secret_access_key="s",
    ))  # fmt: skip
    status, results = ended(job)
    assert (status.processed, status.failed, len(results)) == (10_000, 100, 10_000)
    assert [result.index for result in results if result.error] == list(range(0, 10_000, 100))
    assert {type(result.error).__name__ for result in results if result.error} == {"BedrockModelError"}
    price = CATALOG["meta.llama3-3-70b-instruct-v1:0"].price_in("us-east-1", batch=True)
    usages = [result.message.usage_metadata for result in results if result.message]
    tokens = [sum(usage[key] for usage in usages) for key in ("input_tokens", "output_tokens")]
    assert sum(usage["total_cost"] for usage in usages) == pytest.approx(
        (tokens[0] * price.input + tokens[1] * price.output) / 1e6
    )
