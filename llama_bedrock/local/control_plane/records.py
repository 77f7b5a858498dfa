"""What the control plane keeps: records by ARN, in memory or one JSON file each; and pages of them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import logging
import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llama_bedrock.local.runtime.frames import ServiceError, invalid

if TYPE_CHECKING:
    from llama_bedrock.retrievers.store.locks import FileLock

logger = logging.getLogger(__name__)

_DELETED = "deleted.json"
_DEFAULT_PAGE = 100


@dataclass(slots=True)
class Record:
    """One resource of the account.

    Attributes:
        kind: Resource type of its ARN, such as ``"model-import-job"``.
        arn: Its ARN.
        name: Its name, by which it can be found too.
        created: When, in ISO 8601 and UTC.
        data: Its members, by the names that the API's answers have.
        tags: Its tags.
        token: The client's token of the request that made it.
        request: Digest of that request.
        hidden: What its job needs and no answer has.
    """

    kind: str
    arn: str
    name: str
    created: str
    data: dict[str, Any]
    tags: dict[str, str] = field(default_factory=dict)
    token: str = ""
    request: str = ""
    hidden: dict[str, Any] = field(default_factory=dict)

    @property
    def region(self) -> str:
        return self.arn.split(":")[3]

    @property
    def id(self) -> str:
        """The end of the ARN."""
        return self.arn.rpartition("/")[2]


class Store:
    """All records of an endpoint.

    Args:
        folder: Where they are kept; None keeps them in memory only. Each change is on the disk before the
            request that made it is answered. One endpoint at a time has a folder.

    Raises:
        ValueError: Another endpoint has the folder, or a file in it is no record.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._records: dict[str, Record] = {}
        self._deleted: set[str] = set()
        self._lock: FileLock | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = _locked(folder)
            for path in sorted(folder.glob("*.record.json")):
                try:
                    record = Record(**json.loads(path.read_text(encoding="utf-8")))
                except (ValueError, TypeError) as error:
                    raise ValueError(f"{path} is no record of a local endpoint: {error}") from error
                self._records[record.arn] = record
            deleted = folder / _DELETED
            if deleted.exists():
                self._deleted = set(json.loads(deleted.read_text(encoding="utf-8")))

    def close(self) -> None:
        """Let another endpoint have the folder."""
        if self._lock is not None:
            self._lock.release()

    def save(self, record: Record) -> None:
        """Keep a record, or what became of it.

        Raises:
            ServiceError: ``InternalServerException``: the folder cannot be written; a new record is not kept.
        """
        if self._folder is not None:
            self._write(self._path(record), asdict(record))
        self._records[record.arn] = record

    def delete(self, record: Record) -> None:
        """Forget a record; its ARN is remembered as deleted.

        Raises:
            ServiceError: ``InternalServerException``: the folder cannot be written; the record stays.
        """
        if self._folder is not None:
            self._write(self._folder / _DELETED, sorted({*self._deleted, record.arn}))
            self._path(record).unlink(missing_ok=True)
        del self._records[record.arn]
        self._deleted.add(record.arn)

    def get(self, arn: str) -> Record | None:
        """The record with this ARN."""
        return self._records.get(arn)

    def was_deleted(self, arn: str) -> bool:
        """True if there was a record with this ARN."""
        return arn in self._deleted

    def all(self, kind: str, region: str | None = None) -> list[Record]:
        """The records of a kind, oldest first."""
        return [r for r in self._records.values() if r.kind == kind and region in (None, r.region)]

    def find(self, kind: str, region: str, identifier: str) -> Record | None:
        """The record with this ARN, id or name."""
        for record in self.all(kind, region):
            if identifier in (record.arn, record.id, record.name):
                return record
        return None

    def _path(self, record: Record) -> Path:
        assert self._folder is not None
        return self._folder / f"{record.kind}-{record.region}-{record.id}.record.json"

    @staticmethod
    def _write(path: Path, value: Any) -> None:
        temporary = path.with_name(f"{path.name}.new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump(value, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
            logger.error("the state in %s cannot be written: %s", path.parent, error.strerror)
            text = f"The local endpoint cannot write its state in {path.parent}: {error.strerror}."
            raise ServiceError("InternalServerException", text) from error


def _locked(folder: Path) -> FileLock:
    from llama_bedrock.retrievers.store.locks import FileLock

    try:
        return FileLock(folder / "endpoint.lock")
    except BlockingIOError:
        raise ValueError(
            f"the state in {folder} belongs to an endpoint that is running; stop it first"
        ) from None


def one_page(
    records: Iterable[Record], params: Mapping[str, Any], key: str, *, limit: int = _DEFAULT_PAGE
) -> dict[str, Any]:
    """One page of a List operation, by the filters, the order and the token that its request has.

    Args:
        records: All there are.
        params: The request's parameters; those named ``…Equals``, ``…Contains``, ``…After`` and ``…Before``
            are filters.
        key: Member of the answer that holds the page.
        limit: Records of a page whose request gives no ``maxResults``.

    Raises:
        ServiceError: ``ValidationException``: the token is none of this list.
    """
    found = [record for record in records if all(_holds(record, *item) for item in params.items())]
    found.sort(key=lambda record: record.created, reverse=params.get("sortOrder") != "Ascending")
    page, token = cut_page(found, params, lambda record: record.arn, params.get("maxResults") or limit)
    return {key: [record.data for record in page], "nextToken": token}


def cut_page(
    items: list[Any], params: Mapping[str, Any], name: Any, limit: int
) -> tuple[list[Any], str | None]:
    """The page that a token asks for, and the token of the next one.

    Args:
        items: All there are, in order.
        params: The request's parameters.
        name: Function: item → what tells it from the others.
        limit: Items of a page.
    """
    given = params.get("nextToken") or params.get("NextToken")
    asked = {k: str(v) for k, v in sorted(params.items()) if k.lower() not in ("nexttoken", "maxresults")}
    digest = hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:16]
    start = 0
    if given:
        try:
            read = json.loads(base64.b64decode(given, validate=True))
            if read["list"] != digest:
                raise ValueError
            start = [name(item) for item in items].index(read["after"]) + 1
        except (ValueError, KeyError, TypeError, binascii.Error, RecursionError):
            raise invalid("The provided nextToken is invalid.") from None
    page = items[start : start + limit]
    if start + limit >= len(items):
        return page, None
    token = json.dumps({"list": digest, "after": name(page[-1])})
    return page, base64.b64encode(token.encode()).decode()


def _holds(record: Record, parameter: str, wanted: Any) -> bool:
    """True if a record passes one filter; what is no filter passes."""
    if parameter.endswith("Contains"):
        return str(wanted).lower() in record.name.lower()
    if parameter.endswith("After"):
        return bool(datetime.fromisoformat(record.created) > wanted)
    if parameter.endswith("Before"):
        return bool(datetime.fromisoformat(record.created) < wanted)
    members = {"sourceAccountEquals": "sourceAccountId", "modelStatus": "modelStatus"}
    is_member = parameter.endswith("Equals")
    member = members.get(parameter) or (parameter.removesuffix("Equals") if is_member else None)
    return member is None or str(record.data.get(member)) == str(wanted)


def not_found(message: str) -> ServiceError:
    """A ``ResourceNotFoundException`` with this text."""
    return ServiceError("ResourceNotFoundException", message)
