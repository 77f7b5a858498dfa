"""Results of a Knowledge Base as LangChain documents: every type of content, every type of location."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.documents import Document

# Member of the location structure, and the field of it that names the place.
_LOCATIONS = {
    "S3": ("s3Location", "uri"),
    "WEB": ("webLocation", "url"),
    "CONFLUENCE": ("confluenceLocation", "url"),
    "SALESFORCE": ("salesforceLocation", "url"),
    "SHAREPOINT": ("sharePointLocation", "url"),
    "CUSTOM": ("customDocumentLocation", "id"),
    "KENDRA": ("kendraDocumentLocation", "uri"),
    "SQL": ("sqlLocation", "query"),
    "ONEDRIVE": ("oneDriveLocation", "url"),
    "GOOGLEDRIVE": ("googleDriveLocation", "url"),
}
_SOURCE_URI = "x-amz-bedrock-kb-source-uri"
_CHUNK_ID = "x-amz-bedrock-kb-chunk-id"
_PAGE_NUMBER = "x-amz-bedrock-kb-document-page-number"
_NUMBER_TYPES = {"LONG": int, "DOUBLE": float}


def to_document(result: Mapping[str, Any]) -> Document:
    """One result, or one retrieved reference of a citation, as a document.

    The text is the page content. Metadata are those of the source, and:

    * ``source``: the place it comes from: S3 or web address, document id, or SQL query.
    * ``location_type``: ``"S3"``, ``"WEB"`` …
    * ``type``: ``"text"``, ``"row"``, ``"image"``, ``"audio"`` or ``"video"``.
    * ``score``: relevance as the service gives it; None where it gives none.
    * ``page``: as the service numbers it, where it does.
    * ``row`` (rows): column names to values. ``image`` (images): a data URL. ``media_uri`` (audio, video):
      the segment in S3.
    * ``document_id``: for GetDocumentContent, where there is one.
    """
    metadata = dict(result.get("metadata") or {})
    text, extra = _content(result.get("content") or {})
    metadata.update(extra)
    location = result.get("location") or {}
    place = source_of(location) or metadata.get(_SOURCE_URI)
    if place is not None:
        metadata["source"] = place
    if "type" in location:
        metadata["location_type"] = location["type"]
    metadata["score"] = result.get("score")
    page = metadata.get(_PAGE_NUMBER)
    if "page" not in metadata and isinstance(page, int | float) and not isinstance(page, bool):
        metadata["page"] = int(page)
    if "documentId" in result:
        metadata["document_id"] = result["documentId"]
    chunk_id = metadata.get(_CHUNK_ID)
    return Document(page_content=text, metadata=metadata, id=None if chunk_id is None else str(chunk_id))


def source_of(location: Mapping[str, Any]) -> str | None:
    """The place a location names; also of a type that is newer than this library."""
    member, field = _LOCATIONS.get(location.get("type", ""), ("", ""))
    if field in location.get(member, {}):
        return str(location[member][field])
    for value in location.values():
        if isinstance(value, Mapping):
            found = next((str(v) for v in value.values() if isinstance(v, str) and v), None)
            if found is not None:
                return found
    return None


def _content(content: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Text and metadata of one content; the type is told by what is there if it is not named."""
    kind = content.get("type") or next((name for key, name in _BY_MEMBER.items() if key in content), "TEXT")
    text = content.get("text") or ""
    if kind == "ROW":
        row = {str(c.get("columnName", "")): _cell(c) for c in content.get("row", ())}
        return text or _row_text(row), {"type": "row", "row": row}
    if kind == "IMAGE":
        data_url = content.get("byteContent")
        return text, {"type": "image", **({"image": data_url} if data_url else {})}
    if kind in ("AUDIO", "VIDEO"):
        segment = content.get(kind.lower()) or {}
        spoken = segment.get("transcription" if kind == "AUDIO" else "summary") or text
        uri = segment.get("s3Uri")
        return spoken, {"type": kind.lower(), **({"media_uri": uri} if uri else {})}
    return text, {"type": str(kind).lower()}


_BY_MEMBER = {"row": "ROW", "byteContent": "IMAGE", "audio": "AUDIO", "video": "VIDEO"}


def _cell(column: Mapping[str, Any]) -> Any:
    """The value of a column in its own type; the text as it came where it cannot be read as that."""
    value, kind = column.get("columnValue"), column.get("type")
    if kind == "NULL" or value is None:
        return None
    if kind == "BOOLEAN":
        return str(value).lower() == "true"
    if kind in _NUMBER_TYPES:
        try:
            return _NUMBER_TYPES[kind](value)
        except ValueError:
            return value
    return value


def _row_text(row: Mapping[str, Any]) -> str:
    return "\n".join(f"{name}: {'' if value is None else value}" for name, value in row.items())


def to_documents(results: Sequence[Mapping[str, Any]]) -> list[Document]:
    """Results in order."""
    return [to_document(result) for result in results]
