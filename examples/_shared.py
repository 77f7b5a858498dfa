"""Where the examples get their model: Bedrock, or with ``--local`` an endpoint of this process."""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_bedrock import ChatLlamaBedrock
from llama_bedrock.catalog import LlamaLifecycleWarning
from llama_bedrock.local import LocalBedrock

LLAMA_3_3 = "us.meta.llama3-3-70b-instruct-v1:0"
LLAMA_4 = "us.meta.llama4-scout-17b-instruct-v1:0"


def options() -> argparse.Namespace:
    """What the command line says: ``--local`` and ``--region``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--local", action="store_true", help="no AWS: the local extractive engine answers")
    parser.add_argument("--region", default=os.environ.get("AWS_REGION", "us-east-1"))
    return parser.parse_args()


@contextmanager
def connect(
    model: str = LLAMA_3_3, *, knowledge_bases: dict[str, Any] | None = None, **settings: Any
) -> Iterator[ChatLlamaBedrock]:
    """A chat model on Bedrock, with your AWS credentials.

    With ``--local`` the same requests go over a socket to the local extractive engine, which is no Llama: it
    picks sentences of the prompt, fills in schemas and calls the tool whose words fit.
    """
    chosen = options()
    if not chosen.local:
        yield ChatLlamaBedrock(model=model, region_name=chosen.region, **settings)
        return
    warnings.simplefilter("ignore", LlamaLifecycleWarning)  # nothing of Bedrock is called
    with LocalBedrock(knowledge_bases=knowledge_bases) as server:
        print("(The local extractive engine answers, which is no Llama.)\n")
        yield ChatLlamaBedrock(
            model=model,
            region_name=chosen.region,
            endpoint_url=server.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            **settings,
        )
