"""Where a project names a Llama on Bedrock, when each ends, what follows it, and what that costs."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from llama_bedrock.argument_kinds import refuses_wrong_kinds
from llama_bedrock.catalog import CATALOG, ModelInfo, resolve_model
from llama_bedrock.catalog.model_info import Lifecycle

_ID = re.compile(
    r"(?<![A-Za-z0-9-])(?:(?P<geo>[a-z]{2,6}(?:-gov)?)\.)?meta\.llama[0-9a-z-]+(?::\d+(?::\d+k)?)?"
)
_CDK = re.compile(r"\bMETA_LLAMA_[0-9][0-9A-Z_]*\b")  # constants of the CDK's FoundationModelIdentifier
_CONTEXT = re.compile(r":\d+k$")
_MAX_BYTES = 50_000_000  # of a file: larger ones are data; notebooks with pictures have some megabytes
_UTF16 = (b"\xff\xfe", b"\xfe\xff")  # as PowerShell and Visual Studio save
_SKIPPED_FOLDERS = frozenset(  # of others: packages, histories, caches. Other hidden folders hold settings
    {
        *(
            "node_modules",
            "__pycache__",
            "venv",
            "site-packages",
            ".venv",
            ".tox",
            ".nox",
            ".eggs",
            ".direnv",
        ),
        *(".git", ".hg", ".svn", ".cache", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".terraform"),
        *(".next", ".gradle", ".npm", ".yarn", ".ipynb_checkpoints"),
    }
)
FOR_GOOD = "meta.llama3-3-70b-instruct-v1:0"
"""What is imported instead of a model that Custom Model Import does not take: the largest that it does."""


@dataclass(frozen=True, slots=True)
class ModelUse:
    """A place that names a Llama.

    Attributes:
        file: The file.
        line: Its line, from 1.
        found: The id as it stands there.
        model_id: The model that is meant; None where the catalogue knows none.
        status: ``"active"``, ``"legacy"``, ``"ended"`` or ``"unknown"``.
        end_of_life: Its last day on Bedrock, as far as that is known.
        successor: The id to put there instead, as long as that lives; None where none is left.
        for_good: What to do for the time after the last Llama has left.
        cost: USD of the tokens that were asked about; None where no price is known.
        successor_cost: The same of the successor.
    """

    file: str
    line: int
    found: str
    model_id: str | None
    status: Lifecycle | str
    end_of_life: date | None
    successor: str | None
    for_good: str
    cost: float | None
    successor_cost: float | None


@dataclass(frozen=True, slots=True)
class MigrationPlan:
    """What was found.

    Attributes:
        uses: Every place that names a Llama, by file and line.
        files: How many files were read.
        unread: Files that could not be read, with the reason.
    """

    uses: tuple[ModelUse, ...]
    files: int
    unread: tuple[str, ...] = ()


@refuses_wrong_kinds
def plan_migration(
    path: str | Path,
    *,
    region: str | None = None,
    input_tokens: int = 1_000_000,
    output_tokens: int = 1_000_000,
    today: date | None = None,
) -> MigrationPlan:
    """Find the Llamas that source, configuration and Terraform files name.

    Args:
        path: A file, or a folder with all in it, but not what packages, caches and version control keep
            there. Text files over 50 MB are named in `unread`.
        region: Where prices are looked up, and the successor must be callable; None for the reference price.
        input_tokens: Tokens of prompts to compare costs by.
        output_tokens: Tokens of answers.
        today: The day to judge by; None for today.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: A number of tokens is negative.
    """
    if input_tokens < 0 or output_tokens < 0:
        raise ValueError("tokens are 0 or more")
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(2, "No such file or directory", str(root))
    day = today or datetime.now(UTC).date()
    uses: list[ModelUse] = []
    unread: list[str] = []
    count = 0
    for file in _files(root):
        try:
            text = _text(file, limit=None if file == root else _MAX_BYTES)
        except (OSError, ValueError) as error:
            unread.append(f"{file}: {error.strerror if isinstance(error, OSError) else error}")
            continue
        if text is None:
            continue
        count += 1
        for number, line in enumerate(text.splitlines(), 1):
            for found, geo, info in _named(line):
                uses.append(
                    _use(str(file), number, found, geo, info, region, (input_tokens, output_tokens), day)
                )
    return MigrationPlan(tuple(uses), count, tuple(unread))


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(set(folders) - _SKIPPED_FOLDERS)
        # A pipe would be waited for. What is not there (a broken link) is named when it is opened.
        paths = (Path(folder, name) for name in sorted(files))
        yield from (path for path in paths if path.is_file() or not path.exists())


def _text(file: Path, limit: int | None) -> str | None:
    """What a file holds, empty where it cannot name a Llama; None if it is no text."""
    with file.open("rb") as opened:
        start = opened.read(8192)
        encoding = "utf-16" if start.startswith(_UTF16) else "utf-8"
        if encoding == "utf-8" and b"\0" in start:
            return None
        rest = opened.read() if limit is None else opened.read(limit - len(start) + 1)
    if limit is not None and len(start) + len(rest) > limit:
        raise ValueError(f"over {limit // 1_000_000} MB: give it by itself to read it")
    data = start + rest
    if encoding == "utf-8" and b"meta.llama" not in data and b"META_LLAMA_" not in data:
        return ""  # nearly every file of a project: decoding them all would take most of the time
    return data.decode(encoding, "replace")


def _named(line: str) -> Iterator[tuple[str, str | None, ModelInfo | None]]:
    """The ids in a line, with their geography and what is meant; of constants those that mean a model."""
    if "meta.llama" in line:
        for match in _ID.finditer(line):
            found = match[0].rstrip("-")
            yield found, match["geo"], _meant(found, match["geo"])
    if "META_LLAMA_" in line:
        for match in _CDK.finditer(line):
            info = _constants().get(_words(match[0].removeprefix("META_LLAMA_")))
            if info is not None:
                yield match[0], None, info


def _words(name: str) -> str:
    """The parts of a name, sorted (the CDK has CHAT before 13B and after it), without 0 and 4K."""
    parts = re.split(r"[_:-]", name.lower())
    return " ".join(sorted(part for part in parts if part != "0" and not re.fullmatch(r"\d+k", part)))


@functools.cache
def _constants() -> dict[str, ModelInfo]:
    return {_words(info.model_id.removeprefix("meta.llama")): info for info in CATALOG.values()}


def _use(
    file: str,
    line: int,
    found: str,
    geo: str | None,
    info: ModelInfo | None,
    region: str | None,
    tokens: tuple[int, int],
    day: date,
) -> ModelUse:
    if info is None:
        advice = f"no Llama of Bedrock has this id{_hint(found)}"
        return ModelUse(file, line, found, None, "unknown", None, None, advice, None, None)
    successor = _successor(info, day)
    return ModelUse(
        file=file,
        line=line,
        found=found,
        model_id=info.model_id,
        status=info.lifecycle_on(day),
        end_of_life=info.end_of_life,
        successor=None if successor is None else _callable(successor, region, geo),
        for_good=_for_good(info),
        cost=_cost(info, region, tokens),
        successor_cost=None if successor is None else _cost(successor, region, tokens),
    )


def _meant(found: str, geo: str | None) -> ModelInfo | None:
    bare = _CONTEXT.sub("", found.partition(".")[2] if geo else found)
    return CATALOG.get(bare) or CATALOG.get(bare.removesuffix(":0")) or CATALOG.get(f"{bare}:0")


def _hint(found: str) -> str:
    try:
        resolve_model(found)
    except ValueError as error:
        return f" ({str(error).partition('; ')[2]})"
    return ""


def _successor(info: ModelInfo, day: date) -> ModelInfo | None:
    """The model to go on with that Bedrock still serves; None where that is the model itself, or none."""
    if info.lifecycle_on(day) == "active":
        return None
    following = CATALOG.get(info.move_to or "")
    while following is not None and following.lifecycle_on(day) == "ended":
        following = CATALOG.get(following.move_to or "")
    return following


def _callable(info: ModelInfo, region: str | None, geo: str | None) -> str:
    """The id to call: that of the profile where the old one was one, or the region has no other way."""
    if region is not None and region in info.direct_regions and geo is None:
        return info.model_id
    profile = info.profile_id_for(region) if region is not None else None
    if profile is None and (geo in info.profiles or not info.direct_regions):
        profile = f"{geo if geo in info.profiles else next(iter(info.profiles), '')}.{info.model_id}"
    return profile or info.model_id


def _for_good(info: ModelInfo) -> str:
    if info.import_obstacle is None:
        return f"import its open weights (Custom Model Import), prompt_format={info.generation!r}"
    return f"import {CATALOG[FOR_GOOD].name}; of {info.name} Bedrock imports nothing: {info.import_obstacle}"


def _cost(info: ModelInfo, region: str | None, tokens: tuple[int, int]) -> float | None:
    price = info.price_in(region) or info.price_in(None)
    return None if price is None else (tokens[0] * price.input + tokens[1] * price.output) / 1_000_000
