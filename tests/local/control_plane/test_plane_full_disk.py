"""The state of an endpoint on a disk that is full: a small one, mounted for the test where it may mount."""

import os
import subprocess
import sys
from contextlib import suppress

import boto3
import pytest
from botocore.config import Config

from llama_bedrock.local import LocalBedrock

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="mounting a small disk takes root on Linux"
)
MODEL = "arn:aws:bedrock:us-west-2::foundation-model/meta.llama3-1-8b-instruct-v1:0"


@pytest.fixture
def disk(tmp_path):
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)], capture_output=True, text=True
    )
    if done.returncode:
        pytest.skip(f"mounting is not allowed here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def client(server):
    return boto3.client(
        "bedrock",
        "us-west-2",
        endpoint_url=server.endpoint_url,
        config=Config(retries={"total_max_attempts": 1}),
    )


def names(bedrock):
    listed = bedrock.list_inference_profiles(typeEquals="APPLICATION")["inferenceProfileSummaries"]
    return sorted(profile["inferenceProfileName"] for profile in listed)


def test_what_cannot_be_written_is_not_made_and_says_so(aws_credentials, disk):
    with LocalBedrock(state=disk) as server:
        bedrock = client(server)
        first = bedrock.create_inference_profile(inferenceProfileName="a", modelSource={"copyFrom": MODEL})
        ballast = disk / "ballast"
        with suppress(OSError):
            ballast.write_bytes(bytes(1 << 20))
        assert os.statvfs(disk).f_bavail == 0
        with pytest.raises(bedrock.exceptions.InternalServerException, match="No space left on device"):
            bedrock.create_inference_profile(inferenceProfileName="b", modelSource={"copyFrom": MODEL})
        with pytest.raises(bedrock.exceptions.InternalServerException, match=str(disk)):
            bedrock.delete_inference_profile(inferenceProfileIdentifier=first["inferenceProfileArn"])
        assert names(bedrock) == ["a"]
        ballast.unlink()
        bedrock.create_inference_profile(inferenceProfileName="b", modelSource={"copyFrom": MODEL})
        assert names(bedrock) == ["a", "b"]
    assert not list(disk.glob("*.new"))
    with LocalBedrock(state=disk) as server:
        assert names(client(server)) == ["a", "b"]
