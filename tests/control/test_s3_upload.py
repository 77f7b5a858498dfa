"""Uploads: what is there is not sent again, by content; an upload that was killed goes on."""

import os
import signal
import subprocess
import sys
import threading

import boto3
import pytest

from llama_bedrock.control import ControlPlane
from llama_bedrock.control.s3_upload import MIN_PART_BYTES, UploadStoppedError, upload_files
from llama_bedrock.errors import BedrockConnectionError, BedrockNotFoundError

PARTS = 3


@pytest.fixture
def s3(bucket):
    return ControlPlane(region_name="us-west-2").s3()


@pytest.fixture
def large(tmp_path):
    """A file of two whole parts and one byte."""
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"".join(bytes([n]) * MIN_PART_BYTES for n in range(PARTS - 1)) + b"x")
    return path


def content(address):
    bucket, _, key = address.removeprefix("s3://").partition("/")
    return boto3.client("s3", region_name="us-west-2").get_object(Bucket=bucket, Key=key)["Body"].read()


def test_large_and_small_files_arrive_and_are_not_sent_again(bucket, s3, large, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "empty.txt").touch()
    files = {name: tmp_path / name for name in ("model.safetensors", "config.json", "empty.txt")}
    seen = []
    sent = upload_files(s3, files, f"{bucket}/a/b", progress=seen.append, part_bytes=MIN_PART_BYTES)
    assert sent == seen[-1].done == seen[-1].total == large.stat().st_size + 2
    assert content(f"{bucket}/a/b/model.safetensors") == large.read_bytes()
    assert content(f"{bucket}/a/b/config.json") == b"{}"
    assert upload_files(s3, files, f"{bucket}/a/b", part_bytes=MIN_PART_BYTES) == 0
    (tmp_path / "config.json").write_text("[]")  # of the same size
    assert upload_files(s3, files, f"{bucket}/a/b", part_bytes=MIN_PART_BYTES) == 2
    data = bytearray(large.read_bytes())
    data[-1] = 0
    large.write_bytes(data)
    assert upload_files(s3, files, f"{bucket}/a/b", part_bytes=MIN_PART_BYTES) == len(data)
    assert content(f"{bucket}/a/b/model.safetensors") == data


class Breaking:
    """S3, whose connection breaks at the third part and after it."""

    def __init__(self, s3):
        self.s3 = s3

    def call(self, service, operation, **arguments):
        if operation == "upload_part" and arguments["PartNumber"] > 2:
            raise BedrockConnectionError("the connection broke")
        return self.s3.call(service, operation, **arguments)


def test_an_upload_that_broke_off_goes_on_and_parts_that_changed_are_sent_again(bucket, s3, large):
    for name in ("m", "n"):
        with pytest.raises(BedrockConnectionError):
            upload_files(Breaking(s3), {name: large}, bucket, part_bytes=MIN_PART_BYTES)
    seen = []
    sent = upload_files(s3, {"m": large}, bucket, part_bytes=MIN_PART_BYTES, progress=seen.append)
    assert sent == seen[-1].sent == 1
    assert seen[-1].done == large.stat().st_size
    assert content(f"{bucket}/m") == large.read_bytes()
    data = bytes([9]) * large.stat().st_size  # every part is another one now
    large.write_bytes(data)
    assert upload_files(s3, {"n": large}, bucket, part_bytes=MIN_PART_BYTES) == len(data)
    assert content(f"{bucket}/n") == data


def test_an_upload_that_is_stopped_sends_no_more(bucket, s3, large):
    stop = threading.Event()
    stop.set()
    with pytest.raises(UploadStoppedError, match="call again to go on"):
        upload_files(s3, {"m": large}, bucket, part_bytes=MIN_PART_BYTES, stop=stop)
    assert upload_files(s3, {"m": large}, bucket, part_bytes=MIN_PART_BYTES) == large.stat().st_size


def test_a_bucket_that_is_none_says_so(s3, large):
    with pytest.raises(BedrockNotFoundError, match="bucket does not exist"):
        upload_files(s3, {"m": large}, "s3://no-such-bucket-at-all")


PROGRAM = """
import sys
from pathlib import Path
from llama_bedrock.control import ControlPlane
from llama_bedrock.control.s3_upload import MIN_PART_BYTES, upload_files

def tell(now):
    print(now.done, flush=True)
    if now.done < now.total:
        sys.stdin.readline()

upload_files(ControlPlane(region_name="us-west-2").s3(), {"m": Path(sys.argv[1])}, sys.argv[2],
             part_bytes=MIN_PART_BYTES, progress=tell)
"""


@pytest.mark.slow
def test_kill_9_during_an_upload_and_it_goes_on(bucket, s3, large):
    program = [sys.executable, "-c", PROGRAM, str(large), bucket]
    child = subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ
    )
    assert int(child.stdout.readline()) > 0
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL
    with pytest.raises(boto3.client("s3", region_name="us-west-2").exceptions.NoSuchKey):
        content(f"{bucket}/m")
    sent = upload_files(s3, {"m": large}, bucket, part_bytes=MIN_PART_BYTES)
    assert 0 <= sent < large.stat().st_size
    assert content(f"{bucket}/m") == large.read_bytes()
