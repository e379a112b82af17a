"""A file that one process at a time may hold; the system lets it go when its holder dies."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(file: Path) -> Iterator[None]:
    """Wait until nobody else holds `file`, which is made where it is not there, and hold it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
