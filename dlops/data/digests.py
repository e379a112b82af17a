"""Digests of files and folders by their content; a file is read again only where its time stamp has changed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

from dlops.config import folders

_SETTLED = 2.0
"""Seconds after which a change would give a file another time stamp, on the coarsest of file systems."""
_SMALL = 1 << 16
"""Bytes up to which reading a file is as quick as looking up its digest."""


def of_file(path: Path) -> str:
    """Give the SHA-256 of a file's content, in hexadecimal digits.

    Raises:
        OSError: it cannot be read.
    """
    status = path.stat()
    if status.st_size <= _SMALL:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    stamp = [status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino, status.st_dev]
    kept = folders.cache() / "digests" / f"{hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:32]}.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text())
        if known["stamp"] == stamp:
            return str(known["sha256"])
    with path.open("rb") as content:
        found = hashlib.file_digest(content, "sha256").hexdigest()
    if time.time() - max(status.st_mtime, status.st_ctime) > _SETTLED:  # else it may change within its time stamp
        with contextlib.suppress(OSError):  # a full disk, a cache that may not be written: it is read again then
            _keep(kept, {"stamp": stamp, "sha256": found})
    return found


def of_folder(folder: Path) -> dict[str, str]:
    """Give the digests of all files below a folder, by their place in it; hidden ones too.

    Raises:
        OSError: one cannot be read.
    """
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name: of_file(folder / name) for name in names}


def of_all(digests: Mapping[str, str]) -> str:
    """Give one digest of several, each under a name."""
    return hashlib.sha256(json.dumps(dict(sorted(digests.items()))).encode()).hexdigest()


def _keep(place: Path, content: Mapping[str, object]) -> None:
    """Write beside, and rename into place."""
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{uuid.uuid4().hex}")
    beside.write_text(json.dumps(content))
    beside.replace(place)
