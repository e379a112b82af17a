"""Paths as people write them: `~`, relative to a folder, as long as a sentence."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def absolute(text: str, base: Path | None = None) -> Path:
    """Make a path absolute against `base` (the working folder when left out); `~NOBODY` is a name like any other."""
    path = Path(text)
    with contextlib.suppress(RuntimeError):  # no such user, or one without a home
        path = path.expanduser()
    return Path(os.path.abspath((base or Path()) / path))  # noqa: PTH100 - resolve() would rename what links rename


def exists(path: Path) -> bool:
    """Say whether there is something at a path; not where it cannot be looked at, or is no path at all."""
    try:
        return path.exists()
    except OSError:  # too long for a name, or in a folder that is not ours to read
        return False
