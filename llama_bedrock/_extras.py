"""Optional dependencies: imported when first needed, and named by their extra when missing."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any

_NAME = "llama-bedrock"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency.

    Args:
        module: Dotted name of the module to import, such as ``"faiss"``.
        extra: The extra of this distribution that installs it, such as ``"local"``.

    Raises:
        ImportError: The module is not installed; the message holds the command that installs it.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != module.split(".")[0]:
            raise
        raise ImportError(
            f"{module} is not installed; it comes with the extra: {install_command(extra)}"
        ) from error


def install_command(*extras: str) -> str:
    """The command that installs extras beside what is installed.

    Package indexes do not have this distribution, and another's may take the name there; so it names where
    this one came from: a checkout, a repository or a file. The bare name is proposed only to who installed it
    from an index of their own.
    """
    wanted = f"[{','.join(extras)}]"
    origin = _origin()
    url = str(origin.get("url", ""))
    if "vcs_info" in origin:
        vcs = origin["vcs_info"]
        return f'pip install "{_NAME}{wanted} @ {vcs["vcs"]}+{url}@{vcs["commit_id"]}"'
    if not url:
        return f'pip install "{_NAME}{wanted}"'
    if not url.startswith("file:"):
        return f'pip install "{_NAME}{wanted} @ {url}"'
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    path = url2pathname(urlsplit(url).path)
    editable = "--editable " if origin.get("dir_info", {}).get("editable") else ""
    return f'pip install {editable}"{"." if Path(path) == Path.cwd() else path}{wanted}"'


def _origin() -> dict[str, Any]:
    """Where the distribution was installed from, as PEP 610 has it; nothing if that was an index."""
    import json
    from importlib.metadata import distributions

    # In a checkout setuptools leaves an .egg-info, which Python finds first when it runs there: it is no
    # installation, and has PKG-INFO in place of METADATA.
    installed = (found for found in distributions(name=_NAME) if found.read_text("METADATA") is not None)
    written = next((found.read_text("direct_url.json") for found in installed), None)
    root = Path(__file__).resolve().parents[1]
    if written is None and (root / "pyproject.toml").is_file():  # a checkout that was not installed
        return {"url": root.as_uri()}
    return dict(json.loads(written or "{}"))
