"""OpenAI's API over an index that is kept in S3, for AWS Lambda behind the Lambda Web Adapter.

The adapter starts run.sh, waits until /healthz answers, and hands each call on as HTTP. See README.md.
"""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3
import uvicorn
from starlette.applications import Starlette

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.app import create_app
from llama_bedrock.retrievers import FAISSStore, HybridRetriever

INDEX_FOLDER = Path(os.environ.get("INDEX_FOLDER", "/tmp/index"))


def fetch_index(address: str, folder: Path) -> None:
    """Copy what lies under ``s3://bucket/prefix`` into a folder.

    Raises:
        FileNotFoundError: Nothing lies there.
    """
    bucket, _, prefix = address.removeprefix("s3://").strip("/").partition("/")
    s3 = boto3.client("s3")
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=f"{prefix}/")
    keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
    if not keys:
        raise FileNotFoundError(f"there is no index at {address}: copy one there with `aws s3 sync`")

    def fetch(key: str) -> None:
        file = folder / key.removeprefix(f"{prefix}/")
        file.parent.mkdir(parents=True, exist_ok=True)
        s3.download_file(bucket, key, str(file))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(fetch, keys))


def make_app() -> Starlette:
    """The application, from the function's environment variables."""
    by_key = os.environ["AUTH_TYPE"] == "NONE"  # else IAM has decided who may call
    if by_key and not os.environ.get("LLAMA_BEDROCK_KEY"):
        sys.exit("a function URL that anybody may call needs the parameter Key")
    fetch_index(os.environ["INDEX"], INDEX_FOLDER)
    retriever = HybridRetriever(store=FAISSStore.load(INDEX_FOLDER), k=6)
    retriever.invoke("ready?")  # maps the files now, not during the first question
    llm = ChatLlamaBedrock(model=os.environ["MODEL"], temperature=0)
    return create_app(llm, retriever=retriever, require_key=by_key, allow_hosts=["*"], page=False)


if __name__ == "__main__":
    port = int(os.environ.get("AWS_LWA_PORT", "8080"))
    uvicorn.run(make_app(), host="127.0.0.1", port=port, log_level="warning", timeout_graceful_shutdown=2)
