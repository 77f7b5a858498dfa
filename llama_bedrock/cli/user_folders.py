"""Folders of this program, in the platform's places unless ``XDG_CACHE_HOME`` or ``XDG_DATA_HOME`` is set."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

_NAME = "llama-bedrock"


def cache_folder() -> Path:
    """Where indexes are kept between two runs."""
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given) / _NAME if given else platformdirs.user_cache_path(_NAME, appauthor=False)


def conversations_file() -> Path:
    """Where conversations are kept."""
    given = os.environ.get("XDG_DATA_HOME")
    folder = Path(given) / _NAME if given else platformdirs.user_data_path(_NAME, appauthor=False)
    return folder / "conversations.sqlite"
