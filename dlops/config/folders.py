"""The user's own folders: caches that may go at any time, data that stays, settings."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs


def cache() -> Path:
    """Give the folder of clones, environments and locks; whatever is in it can be made again."""
    return _folder("cache", platformdirs.user_cache_path)


def data() -> Path:
    """Give the folder of tables that an ingest writes when it is not told where."""
    return _folder("data", platformdirs.user_data_path)


def settings() -> Path:
    """Give the folder of the user's own settings, such as `targets.yaml`."""
    return _folder("config", platformdirs.user_config_path)


def _folder(name: str, default: Callable[..., Path]) -> Path:
    """`DLOPS_HOME` puts all three below one folder: for a test, a container, a shared disk."""
    home = os.environ.get("DLOPS_HOME")
    return Path(home).expanduser().absolute() / name if home else default("dlops", appauthor=False)
