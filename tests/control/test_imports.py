"""From a folder on this machine to an answer of the imported model, against the local control plane and S3."""

import asyncio

import boto3
import pytest

from llama_bedrock import ChatLlamaBedrock, LlamaBedrock
from llama_bedrock.control import ControlPlane, JobFailedError, import_model
from llama_bedrock.control.model_check import check_folder
from llama_bedrock.control.model_folder import S3Folder
from llama_bedrock.errors import BedrockNotFoundError, BedrockThrottlingError, BedrockTimeoutError
from llama_bedrock.local import ErrorResponse
from tests.control.conftest import ROLE, TOKENIZER_CONFIG, write_json

pytestmark = pytest.mark.slow


@pytest.fixture
def client(plane):
    """The local control plane, how our code and how boto3 reach it."""
    server, reach = plane()
    return server, reach, boto3.client("bedrock", **reach)


def tags_of(bedrock, arn):
    return {tag["key"]: tag["value"] for tag in bedrock.list_tags_for_resource(resourceARN=arn)["tags"]}


def test_a_folder_becomes_a_model_that_answers(client, bucket, tiny_llama, run):
    server, reach, bedrock = client
    seen = []
    model = run(
        "import_model", tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/tiny", tags={"team": "a"},
        progress=seen.append, part_mb=5, **reach,
    )  # fmt: skip
    assert (model.name, model.prompt_format, model.new, model.first_answer) == (
        "tiny",
        "llama3.1",
        True,
        "Hello!",
    )
    assert model.units > 0
    assert model.ready_seconds > 0.04  # ModelNotReadyException while it woke up
    assert [*dict.fromkeys(now.phase for now in seen)] == ["check", "upload", "import", "first call"]
    uploads = [now for now in seen if now.phase == "upload"]
    assert uploads[-1].done == uploads[-1].total == sum(now.total for now in uploads) / len(uploads)
    assert tags_of(bedrock, model.arn) == {
        "llama-bedrock:prompt-format": "llama3.1",
        "llama-bedrock:chat-template": "meta",
        "llama-bedrock:context-length": "131072",
        "team": "a",
    }
    assert model.chat_model().invoke("Hi").text == "Hello!"
    prompt = server.engine.requests[-1].prompt
    assert prompt.startswith("<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHi<|eot_id|>")
    again = run("import_model", tiny_llama("copy"), "tiny", ROLE, s3_uri=f"{bucket}/tiny", **reach)
    assert (again.arn, again.new) == (model.arn, False)
    assert len(bedrock.list_model_import_jobs()["modelImportJobSummaries"]) == 1


def test_files_that_are_in_s3_and_one_upload_for_both(client, bucket, tiny_llama):
    _, reach, bedrock = client
    import_model(tiny_llama(), "one", ROLE, s3_uri=f"{bucket}/m", first_call=False, **reach)
    model = import_model(f"{bucket}/m", "two", ROLE, first_call=False, prompt_format="llama3.3", **reach)
    assert tags_of(bedrock, model.arn)["llama-bedrock:prompt-format"] == "llama3.3"


def test_files_in_s3_are_checked_by_their_headers_alone(client, bucket, tiny_llama, run):
    _, reach, _ = client
    folder = tiny_llama(hidden_size=512, intermediate_size=512)
    shards = sorted(folder.glob("*.safetensors"))
    s3 = boto3.client("s3", region_name="us-west-2")
    read = []
    for path in folder.iterdir():
        s3.upload_file(str(path), bucket[5:], f"m/{path.name}")

    class Counting(S3Folder):
        def read(self, name, start=0, end=None):
            data = super().read(name, start, end)
            read.append((name, len(data)))
            return data

    found = check_folder(Counting(f"{bucket}/m", ControlPlane(**reach).s3()))
    assert (found.ok, found.prompt_format) == (True, "llama3.1")
    assert found.weight_bytes == sum(path.stat().st_size for path in shards)
    assert sum(size for name, size in read if name.endswith(".safetensors")) < found.weight_bytes / 10
    s3.delete_object(Bucket=bucket[5:], Key=f"m/{shards[0].name}")
    broken = run("check_model_files", f"{bucket}/m/", **reach)
    assert f"{shards[0].name}: this shard of the weights is missing" in str(broken)
    above = run("check_model_files", bucket, **reach)
    assert "it is no model itself, but m in it is; give that folder" in str(above)
    with pytest.raises(BedrockNotFoundError, match="bucket does not exist"):
        run("check_model_files", "s3://no-such-bucket-at-all/m", **reach)


def test_from_imported_needs_nothing_but_arn_or_name(client, bucket, tiny_llama):
    server, reach, _ = client
    arn = import_model(tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", first_call=False, **reach).arn
    for cls in (ChatLlamaBedrock, LlamaBedrock):
        for name in ("tiny", arn):
            llm = cls.from_imported(name, **reach, max_tokens=5)
            assert (llm.model, llm.prompt_format, llm.max_tokens) == (arn, "llama3.1", 5)
    llm = asyncio.run(ChatLlamaBedrock.afrom_imported(arn, endpoint_url=server.endpoint_url))
    assert llm.resolve().region == "us-west-2"
    assert ChatLlamaBedrock.from_imported(arn, **reach, temperature=0).invoke("Hi").text == "Hello!"
    with pytest.raises(ValueError, match=r"no imported model is named 'tinny' .*; there are: tiny"):
        ChatLlamaBedrock.from_imported("tinny", **reach)


def test_a_model_without_tags_is_asked_for_and_tagged_by_the_next_import(client, bucket, tiny_llama):
    _, reach, bedrock = client
    arn = import_model(tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", first_call=False, **reach).arn
    bedrock.untag_resource(resourceARN=arn, tagKeys=["llama-bedrock:prompt-format"])
    with pytest.raises(ValueError, match=r"it has no tag llama-bedrock:prompt-format\. Give prompt_format="):
        ChatLlamaBedrock.from_imported(arn, **reach)
    assert ChatLlamaBedrock.from_imported(arn, prompt_format="llama3.2", **reach).prompt_format == "llama3.2"
    import_model(f"{bucket}/t", "tiny", ROLE, first_call=False, **reach)
    assert ChatLlamaBedrock.from_imported("tiny", **reach).prompt_format == "llama3.1"


def test_what_bedrock_would_refuse_is_said_before_the_upload(client, bucket, tiny_llama, run):
    _, reach, bedrock = client
    folder = tiny_llama()
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="there is no tokenizer"):
        run("import_model", folder, "tiny", ROLE, s3_uri=f"{bucket}/t", **reach)
    assert "Contents" not in boto3.client("s3", region_name="us-west-2").list_objects_v2(Bucket=bucket[5:])
    assert bedrock.list_model_import_jobs()["modelImportJobSummaries"] == []


WRONG = {
    "no address": ({}, "give s3_uri="),
    "address": ({"s3_uri": "bucket/x"}, "not an S3 address"),
    "name": ({"s3_uri": "s3://abc/x", "name": "a b"}, "name='a b': 1 to 63 letters"),
    "role": ({"s3_uri": "s3://abc/x", "role_arn": "admin"}, "role_arn='admin' is no role"),
    "tag": ({"s3_uri": "s3://abc/x", "tags": {"a": "ü"}}, "the tag 'a'"),
    "format": ({"s3_uri": "s3://abc/x", "prompt_format": "llama9"}, "unknown prompt_format 'llama9'"),
    "another family": ({"s3_uri": "s3://abc/x", "prompt_format": "llama4"}, "is a model of llama3.1"),
    "unknown option": ({"s3_uri": "s3://abc/x", "bucket": "b"}, "bucket"),
}


@pytest.mark.parametrize("name", WRONG)
def test_arguments_that_are_wrong(name, tiny_llama, aws_credentials):
    given, says = WRONG[name]
    arguments = {"name": "tiny", "role_arn": ROLE, "region_name": "us-west-2"} | given
    with pytest.raises((ValueError, TypeError), match=says):
        import_model(tiny_llama(), **arguments)


def test_a_template_that_is_not_metas_needs_the_format(client, bucket, tiny_llama):
    _, reach, bedrock = client
    folder = tiny_llama()
    write_json(
        folder / "tokenizer_config.json", TOKENIZER_CONFIG | {"chat_template": "<|im_start|>{{ messages }}"}
    )
    with pytest.raises(ValueError, match=r"(?s)give prompt_format=.*ChatML"):
        import_model(folder, "tiny", ROLE, s3_uri=f"{bucket}/t", **reach)
    model = import_model(
        folder, "tiny", ROLE, s3_uri=f"{bucket}/t", prompt_format="llama3.1", first_call=False, **reach
    )
    assert tags_of(bedrock, model.arn)["llama-bedrock:chat-template"] == "other"


def test_a_name_that_is_taken_and_files_that_changed(client, bucket, tiny_llama):
    _, reach, _ = client
    folder = tiny_llama()
    import_model(folder, "tiny", ROLE, s3_uri=f"{bucket}/a", first_call=False, **reach)
    with pytest.raises(ValueError, match=f"imported from {bucket}/a: choose another name"):
        import_model(folder, "tiny", ROLE, s3_uri=f"{bucket}/b", **reach)
    write_json(folder / "generation_config.json", {"eos_token_id": 1})
    with pytest.raises(ValueError, match="have changed since 'tiny' was imported"):
        import_model(folder, "tiny", ROLE, s3_uri=f"{bucket}/a", **reach)


def test_bedrocks_own_reason_when_the_job_fails(plane, bucket, tiny_llama, run):
    _, reach = plane(roles=["arn:aws:iam::123456789012:role/another"])
    with pytest.raises(Exception, match=r"(?i)role") as raised:
        run("import_model", tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", **reach)
    assert type(raised.value).__name__ in ("BedrockValidationError", "JobFailedError")


def test_calls_are_tried_again_and_the_time_is_bounded(plane, bucket, tiny_llama, run, monkeypatch):
    monkeypatch.setattr("random.random", lambda: 0.01)  # of the waits between attempts
    faults = [
        ErrorResponse("ThrottlingException").first(2).when(lambda t: t.operation == "GetModelImportJob"),
        ErrorResponse("InternalServerException")
        .first(1)
        .when(lambda t: t.operation == "CreateModelImportJob"),
    ]
    _, reach = plane(faults=faults, pace=0.01)
    model = run("import_model", tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", first_call=False, **reach)
    assert model.new
    _, slow = plane(pace=30)
    with pytest.raises(BedrockTimeoutError, match=r"after 0\.1 s it is InProgress"):
        run("import_model", tiny_llama("b"), "tiny", ROLE, s3_uri=f"{bucket}/b", seconds=0.1, **slow)
    _, refusing = plane(faults=[ErrorResponse("ThrottlingException")])
    with pytest.raises(BedrockThrottlingError):
        run("import_model", tiny_llama("c"), "tiny", ROLE, s3_uri=f"{bucket}/c", max_retries=0, **refusing)


def test_a_job_that_runs_already_is_joined(plane, bucket, tiny_llama):
    _, reach = plane(pace=0.3)
    with pytest.raises(BedrockTimeoutError):
        import_model(tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", seconds=0.01, **reach)
    import_model(f"{bucket}/t", "tiny", ROLE, first_call=False, **reach)
    jobs = boto3.client("bedrock", **reach).list_model_import_jobs()["modelImportJobSummaries"]
    assert len(jobs) == 1


async def test_a_cancelled_import_stops(plane, bucket, tiny_llama):
    _, reach = plane(pace=30)
    from llama_bedrock.control import aimport_model

    task = asyncio.create_task(aimport_model(tiny_llama(), "tiny", ROLE, s3_uri=f"{bucket}/t", **reach))
    await asyncio.sleep(1.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_failed_job_is_an_error_with_its_status():
    error = JobFailedError("the import of 'x' is Failed: no such role")
    assert (error.status, error.is_retryable) == ("Failed", False)
