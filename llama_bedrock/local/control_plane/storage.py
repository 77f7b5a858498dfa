"""S3 as the jobs use it: list, read whole, by range or by line, and write. All of it blocks."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import IO, Any

from llama_bedrock.local.control_plane.job_errors import JobFailed

_PART = 8 << 20  # bytes that a stream of lines holds at a time


class JobStorage:
    """The buckets that a job reads and writes.

    Args:
        region: Region of the client.
        endpoint_url: Where S3 is; None is ``AWS_ENDPOINT_URL_S3``, else boto3's own.
    """

    def __init__(self, region: str, endpoint_url: str | None) -> None:
        self._settings = (region, endpoint_url or os.environ.get("AWS_ENDPOINT_URL_S3"))
        self._lock = threading.Lock()
        self._made: Any = None

    @property
    def _client(self) -> Any:
        """The client, made by the first job that needs it, in that job's thread."""
        with self._lock:
            if self._made is None:
                self._made = _client(*self._settings)
            return self._made

    def objects(self, uri: str) -> list[tuple[str, int]]:
        """URI and size of every object that a URI names: one object, or all under a prefix."""
        bucket, key = split_uri(uri)
        found = []
        with _said(uri):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=key)
            for page in pages:
                found += [(item["Key"], int(item["Size"])) for item in page.get("Contents", [])]
        under = key if not key or key.endswith("/") else f"{key}/"
        return [
            (f"s3://{bucket}/{name}", size)
            for name, size in found
            if (name == key or name.startswith(under)) and not name.endswith("/")
        ]

    def read(self, uri: str, first: int = 0, last: int | None = None) -> bytes:
        """The bytes of an object, or those from `first` to `last`, both counted in."""
        bucket, key = split_uri(uri)
        only = {} if last is None else {"Range": f"bytes={first}-{last}"}
        with _said(uri):
            return bytes(self._client.get_object(Bucket=bucket, Key=key, **only)["Body"].read())

    def lines(self, uri: str) -> Iterator[bytes]:
        """The lines of an object that are not empty, without holding it whole."""
        bucket, key = split_uri(uri)
        with _said(uri):
            body = self._client.get_object(Bucket=bucket, Key=key)["Body"]
            for line in body.iter_lines(chunk_size=_PART):
                if line.strip():
                    yield line

    def write(self, uri: str, data: bytes | IO[bytes]) -> None:
        """Make an object of bytes, or of a file (in parts, where it is large)."""
        bucket, key = split_uri(uri)
        with _said(uri):
            if isinstance(data, bytes):
                self._client.put_object(Bucket=bucket, Key=key, Body=data)
            else:
                self._client.upload_fileobj(data, bucket, key)

    def close(self) -> None:
        """Close the connections."""
        if self._made is not None:
            self._made.close()


def split_uri(uri: str) -> tuple[str, str]:
    """Bucket and key of an ``s3://`` URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def join_uri(uri: str, *parts: str) -> str:
    """A URI under another one."""
    return "/".join((uri.rstrip("/"), *parts))


@cache
def _loader() -> Any:
    """One for all clients: it keeps what it read of botocore's models."""
    from botocore.loaders import create_loader

    return create_loader()


def _client(region: str, endpoint_url: str | None) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.session import Session

    session = Session()
    session.register_component("data_loader", _loader())
    # Where no keys are set, an S3 of one's own takes any; asking an instance for some would take seconds.
    session.set_config_variable("metadata_service_num_attempts", 1)
    session.set_config_variable("metadata_service_timeout", 1)
    keys = {}
    if endpoint_url is not None and session.get_credentials() is None:
        keys = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    style = {"addressing_style": "path"} if endpoint_url is not None else {}
    config = Config(s3=style, retries={"mode": "standard", "total_max_attempts": 3})
    made = boto3.Session(botocore_session=session)
    return made.client("s3", region_name=region, endpoint_url=endpoint_url, config=config, **keys)


@contextmanager
def _said(uri: str) -> Iterator[None]:
    """Turn what S3 says into what the job says."""
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        what = {
            "NoSuchBucket": "the bucket does not exist",
            "NoSuchKey": "the object does not exist",
            "404": "the object does not exist",
            "AccessDenied": "access is denied: the role needs s3:GetObject, s3:ListBucket and s3:PutObject",
        }.get(code, str(error))
        raise JobFailed(f"Could not access {uri}: {what}.") from error
    except BotoCoreError as error:
        raise JobFailed(f"Could not reach S3 for {uri}: {error}") from error
