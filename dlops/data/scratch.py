"""Folders for what is on its way: removed at the end, or by the next process where their own was killed."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from dlops.errors import DataError

_PREFIX, _UNHELD = "dlops-ingest-", "dlops-new-"
"""What folders are called, and what as long as nobody holds them, so that nobody takes a new one for a left one."""


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    """Make a folder that is removed at the end; what a killed process left goes when the next folder is made.

    Raises:
        DataError: `TMPDIR` names no folder.
    """
    wanted = os.environ.get("TMPDIR")
    if wanted and not Path(wanted).is_dir():
        raise DataError(f"There is no folder {wanted}, which TMPDIR names.", hint="Make it, or name another one.")
    for left in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError), _held(left):  # its process lives, or is another user's
            shutil.rmtree(left)
    new = Path(tempfile.mkdtemp(prefix=_UNHELD))
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):  # a disk of the network may know no such locks: nobody removes it there
            stack.enter_context(_held(new))
        made = new.rename(new.with_name(new.name.replace(_UNHELD, _PREFIX)))
        stack.callback(shutil.rmtree, made, ignore_errors=True)
        yield made


@contextlib.contextmanager
def _held(place: Path) -> Iterator[None]:
    """Hold a folder until the end, at the latest that of this process; an `OSError` where somebody else does."""
    number = os.open(place, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(number)
