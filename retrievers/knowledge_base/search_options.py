"""How a Knowledge Base is searched: options of a call, and the configuration that they become on the wire."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from llama_bedrock.catalog.arn import partition_of
from llama_bedrock.prompts.images import mime_type_of
from llama_bedrock.retrievers.filters import Filter, parse_filter

SearchType = Literal["hybrid", "semantic"]
KnowledgeBaseType = Literal["vector", "managed"]
AttributeType = Literal["string", "number", "boolean", "string_list"]

MAX_RESULTS = 100
"""Most results of one request; more are fetched page by page."""

SEARCH_OPTIONS = frozenset({"k", "filter", "search_type", "reranking", "implicit_filter"})
"""Options of a search that a retriever has, and that a call can override."""

MAX_QUERY_CHARS = 20_000
_MAX_ATTRIBUTES = 25
_MAX_IMAGE_BYTES = 5_242_880
_RERANKER_ARN = re.compile(r"arn:aws(-[^:]+)?:bedrock:[a-z0-9-]{1,20}::foundation-model/.+")


@dataclass(frozen=True, slots=True)
class Reranking:
    """Rerank the results with a model on Bedrock.

    Attributes:
        model: Reranker's model id (``"cohere.rerank-v3-5:0"``, ``"amazon.rerank-v1:0"``) or foundation-model
            ARN. An id becomes the ARN of the call's region.
        top_n: Results to keep after reranking, 1 to 100; None keeps all.
        include_metadata: Metadata keys that the reranker sees.
        exclude_metadata: Metadata keys that it does not see; it sees all others. Give one of the two, or
            neither: then it sees the text only.
        additional_fields: Model-specific fields.
    """

    model: str
    top_n: int | None = None
    include_metadata: Sequence[str] = ()
    exclude_metadata: Sequence[str] = ()
    additional_fields: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.top_n is not None and not 1 <= self.top_n <= MAX_RESULTS:
            raise ValueError(f"Reranking(top_n={self.top_n}): 1 to {MAX_RESULTS}")
        if self.include_metadata and self.exclude_metadata:
            raise ValueError("Reranking takes include_metadata or exclude_metadata, not both")

    def model_arn(self, region: str) -> str:
        """The foundation-model ARN that the API wants."""
        if _RERANKER_ARN.fullmatch(self.model):
            return self.model
        if self.model.startswith("arn:"):
            raise ValueError(
                f"Reranking(model={self.model!r}): a reranker is named by a foundation-model ARN"
            )
        return f"arn:{partition_of(region)}:bedrock:{region}::foundation-model/{self.model}"

    def configuration(self, region: str) -> dict[str, Any]:
        """The API's ``rerankingConfiguration``."""
        model: dict[str, Any] = {"modelArn": self.model_arn(region)}
        if self.additional_fields:
            model["additionalModelRequestFields"] = dict(self.additional_fields)
        bedrock: dict[str, Any] = {"modelConfiguration": model}
        if self.top_n is not None:
            bedrock["numberOfRerankedResults"] = self.top_n
        if self.include_metadata or self.exclude_metadata:
            name = "fieldsToInclude" if self.include_metadata else "fieldsToExclude"
            keys = self.include_metadata or self.exclude_metadata
            bedrock["metadataConfiguration"] = {
                "selectionMode": "SELECTIVE",
                "selectiveModeConfiguration": {name: [{"fieldName": key} for key in keys]},
            }
        return {"type": "BEDROCK_RERANKING_MODEL", "bedrockRerankingConfiguration": bedrock}


@dataclass(frozen=True, slots=True)
class MetadataAttribute:
    """A metadata key that an implicit filter may use.

    Attributes:
        key: The key.
        type: Type of its values.
        description: What it holds, for the model that writes the filter.
    """

    key: str
    type: AttributeType
    description: str


@dataclass(frozen=True, slots=True)
class ImplicitFilter:
    """Let a model derive a metadata filter from the question.

    Attributes:
        model_arn: The model that writes the filter.
        attributes: The keys it may use, 1 to 25.
    """

    model_arn: str
    attributes: Sequence[MetadataAttribute]

    def __post_init__(self) -> None:
        if not 1 <= len(self.attributes) <= _MAX_ATTRIBUTES:
            raise ValueError(
                f"ImplicitFilter takes 1 to {_MAX_ATTRIBUTES} attributes, not {len(self.attributes)}"
            )

    def configuration(self) -> dict[str, Any]:
        """The API's ``implicitFilterConfiguration``."""
        attributes = [
            {"key": a.key, "type": a.type.upper(), "description": a.description} for a in self.attributes
        ]
        return {"modelArn": self.model_arn, "metadataAttributes": attributes}


@dataclass(frozen=True, slots=True)
class Search:
    """The options of one search, the retriever's own and the call's merged.

    Attributes:
        k: Documents wanted, at least 1; more than 100 are fetched page by page.
        filter: Metadata filter in any form that `parse_filter` reads.
        search_type: Override of the search strategy; None lets Bedrock choose. Vector knowledge bases only.
        reranking: Rerank with a model; ``"managed"`` (managed knowledge bases only) uses Bedrock's own,
            False turns that off.
        implicit_filter: Let a model derive a filter from the question. Vector knowledge bases only.
        kind: Whether it is a ``"vector"`` or a ``"managed"`` knowledge base.
    """

    k: int = 4
    filter: Filter | Mapping[str, Any] | None = None
    search_type: SearchType | None = None
    reranking: Reranking | Literal["managed", False] | None = None
    implicit_filter: ImplicitFilter | None = None
    kind: KnowledgeBaseType = "vector"

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or self.k < 1:
            raise ValueError(f"k={self.k!r}: the number of documents wanted, at least 1")
        if self.search_type not in (None, "hybrid", "semantic"):
            raise ValueError(f"search_type={self.search_type!r}: 'hybrid', 'semantic' or None")
        managed = self.kind == "managed"
        if managed and (self.search_type is not None or self.implicit_filter is not None):
            raise ValueError(
                "search_type and implicit_filter are for vector knowledge bases, not for managed ones"
            )
        if not managed and self.reranking in ("managed", False) and self.reranking is not None:
            raise ValueError(
                "reranking='managed' or False is for managed knowledge bases; give Reranking(model)"
            )

    @property
    def page_size(self) -> int:
        """Results to ask for in one request."""
        return min(self.k, MAX_RESULTS)

    def needs_region(self) -> bool:
        """True if the configuration can only be written for a region."""
        return isinstance(self.reranking, Reranking) and not self.reranking.model.startswith("arn:")

    def configuration(self, region: str = "") -> dict[str, Any]:
        """The API's ``retrievalConfiguration``.

        Args:
            region: Region of the call, needed if `needs_region`.

        Raises:
            ValueError: The filter has an unknown operator, or a meaning that a Knowledge Base cannot express.
        """
        inner: dict[str, Any] = {"numberOfResults": self.page_size}
        condition = parse_filter(self.filter)
        if condition is not None:
            inner["filter"] = condition.to_knowledge_base()
        if isinstance(self.reranking, Reranking):
            inner["rerankingConfiguration"] = self.reranking.configuration(region)
        if self.kind == "managed":
            if self.reranking is not None:
                kinds = {"managed": "MANAGED", False: "NONE"}
                inner["rerankingModelType"] = (
                    "CUSTOM" if isinstance(self.reranking, Reranking) else kinds[self.reranking]
                )
            return {"managedSearchConfiguration": inner}
        if self.search_type is not None:
            inner["overrideSearchType"] = self.search_type.upper()
        if self.implicit_filter is not None:
            inner["implicitFilterConfiguration"] = self.implicit_filter.configuration()
        return {"vectorSearchConfiguration": inner}


def merge_search(own: Any, options: Mapping[str, Any], kind: KnowledgeBaseType) -> Search:
    """The search of one call: its own options before those of the retriever.

    Args:
        own: An object with `SEARCH_OPTIONS` as attributes.
        options: Options of the call; others than `SEARCH_OPTIONS` are ignored.
        kind: Kind of the knowledge base.

    Raises:
        ValueError: An option has no meaning.
    """
    merged = {name: options.get(name, getattr(own, name)) for name in SEARCH_OPTIONS}
    reranking = merged["reranking"]
    if isinstance(reranking, str) and reranking != "managed":
        merged["reranking"] = Reranking(reranking)
    elif not (reranking is None or reranking is False or isinstance(reranking, str | Reranking)):
        raise ValueError(f"reranking={reranking!r}: a Reranking, or a reranker's model id or ARN")
    return Search(kind=kind, **merged)


def retrieval_query(query: str, image: bytes | None = None) -> dict[str, Any]:
    """The API's ``retrievalQuery``: a text, or an image for multimodal knowledge bases.

    Raises:
        ValueError: The text is blank or too long, or the image too large or of another format.
    """
    if image is not None:
        if query.strip():
            raise ValueError("a search is by text or by image: give an empty query with image=")
        if not 1 <= len(image) <= _MAX_IMAGE_BYTES:
            raise ValueError(f"an image to search by has 1 to {_MAX_IMAGE_BYTES:,} bytes, not {len(image):,}")
        return {"type": "IMAGE", "image": {"format": _image_format(image), "inlineContent": image}}
    if not query.strip():
        raise ValueError("the query is empty")
    if len(query) > MAX_QUERY_CHARS:
        raise ValueError(
            f"the query has {len(query):,} characters; a Knowledge Base takes {MAX_QUERY_CHARS:,}: shorten it"
        )
    return {"text": query}


def _image_format(image: bytes) -> str:
    kind = mime_type_of(image)
    if kind is None:
        raise ValueError("an image to search by is PNG, JPEG, GIF or WebP")
    return kind.removeprefix("image/")
