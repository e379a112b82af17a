"""A folder of a run's own for what is needed only while it goes on; named by the run, so that anyone can remove it."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def made(run_id: str) -> Iterator[Path]:
    """Make the folder, readable by this user alone, and remove it at the end."""
    folder = _folder(run_id)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        remove(run_id)


def remove(run_id: str) -> None:
    """Remove the folder of a run, if it is still there."""
    shutil.rmtree(_folder(run_id), ignore_errors=True)


def _folder(run_id: str) -> Path:
    return Path(tempfile.gettempdir()) / f"dlops-{run_id}"
