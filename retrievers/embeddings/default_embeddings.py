"""The embeddings used where none are given: Titan where AWS credentials are found, else LSA."""

from __future__ import annotations

import os
from collections.abc import Iterable
from importlib.util import find_spec

from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings

from llama_bedrock._extras import require
from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.retrievers.documents.searchable_text import searchable_text
from llama_bedrock.retrievers.embeddings.bounded import BoundedEmbeddings
from llama_bedrock.retrievers.embeddings.lsa import LSAEmbeddings

TITAN_MODEL_ID = "amazon.titan-embed-text-v2:0"
_TITAN_CONCURRENCY = 16


@refuses_wrong_kinds
def default_embeddings(
    documents: Iterable[Document | str] = (),
    *,
    region_name: str | None = None,
    endpoint_url: str | None = None,
) -> Embeddings:
    """Titan Text Embeddings V2 on Bedrock where AWS credentials are found, else LSA fitted on the documents.

    Titan is called through langchain-aws, with several requests in flight and throttling waited out
    (`BoundedEmbeddings`).

    Args:
        documents: What LSA is fitted on; not looked at where Titan is used.
        region_name: AWS region; default: the one of the environment or profile.
        endpoint_url: Endpoint of bedrock-runtime; default: AWS's.

    Raises:
        ValueError: There are neither credentials nor documents with a word in them.
    """
    if _has_aws_credentials() and find_spec("langchain_aws") is not None:
        return titan_embeddings(region_name=region_name, endpoint_url=endpoint_url)
    return LSAEmbeddings().fit(d if isinstance(d, str) else searchable_text(d) for d in documents)


def titan_embeddings(*, region_name: str | None = None, endpoint_url: str | None = None) -> Embeddings:
    """Titan Text Embeddings V2 on Bedrock, many texts at a time; see `default_embeddings`."""
    aws = require("langchain_aws", "aws")
    config = require("botocore.config", "aws").Config(
        max_pool_connections=_TITAN_CONCURRENCY,
        # BoundedEmbeddings tries again itself, and has to see throttling to slow down.
        retries={"total_max_attempts": 1},
    )
    model = aws.BedrockEmbeddings(
        model_id=TITAN_MODEL_ID, region_name=region_name, endpoint_url=endpoint_url, config=config
    )
    return BoundedEmbeddings(model, max_concurrency=_TITAN_CONCURRENCY)


def _has_aws_credentials() -> bool:
    if os.environ.get("AWS_BEARER_TOKEN_BEDROCK"):
        return True
    session = require("botocore.session", "aws").Session()
    # Off EC2 nobody answers, and everybody would wait; on EC2 the answer takes milliseconds.
    session.set_config_variable("metadata_service_timeout", 0.5)
    return session.get_credentials() is not None
