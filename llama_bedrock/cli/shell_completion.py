"""What the shell completes: models, prompt formats, regions and the names of kept conversations.

``llama-bedrock --install-completion`` sets it up. A function is asked at every press of Tab, so it reads only
what lies on this machine, and imports little.
"""

from __future__ import annotations

from typing import Any


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Ids of the catalogue that begin so, with their names; those behind ``meta.`` and a geography, too."""
    from llama_bedrock.catalog import CATALOG

    ids = [(model, info.name) for info in CATALOG.values() for model in (info.model_id, *info.profile_ids)]
    return [one for one in ids if one[0].startswith(incomplete)]


def complete_formats(incomplete: str) -> list[str]:
    """Prompt formats that begin so."""
    from llama_bedrock.prompts.formats import FORMATS

    return [name for name in FORMATS if name.startswith(incomplete)]


def complete_regions(incomplete: str) -> list[str]:
    """Regions that have a Llama, and begin so."""
    from llama_bedrock.catalog import CATALOG

    regions = {region for info in CATALOG.values() for region in info.regions}
    return sorted(region for region in regions if region.startswith(incomplete))


def complete_threads(ctx: Any, incomplete: str) -> list[str]:
    """Names of the conversations that are kept for this command (`chat` or `agent`), and begin so."""
    import sqlite3
    from contextlib import closing

    from llama_bedrock.cli.user_folders import conversations_file

    path, kind = conversations_file(), f"{ctx.info_name}:"
    if not path.is_file():
        return []
    try:
        with closing(
            sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.2)
        ) as database:
            rows = database.execute("SELECT DISTINCT thread_id FROM checkpoints").fetchall()
    except sqlite3.Error:  # being written, or none of ours: a Tab is no place for an error
        return []
    names = [str(row[0]).removeprefix(kind) for row in rows if str(row[0]).startswith(kind)]
    return sorted(name for name in names if name.startswith(incomplete))
