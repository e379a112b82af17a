"""Packages whose version does not tell what they hold: those from a folder, an archive or a repository."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from dlops.config import locations
from dlops.data import digests
from dlops.project.pipeline import fingerprint


def told_by_files(project: Path) -> list[str]:
    """Give such packages of this interpreter as `NAME (its files)==DIGEST`.

    One that is installed in place, and is the project or holds it, is left out: a step says which of its files count.
    """
    found = {}
    for place in (Path(entry) for entry in reversed(sys.path) if entry):  # of two, Python takes the first
        for origin in place.glob("*.dist-info/direct_url.json"):
            name = origin.parent.name.partition("-")[0]
            try:
                files = dict(_files(origin, project.resolve()))
            except (OSError, ValueError, KeyError):  # of a package that is being installed, say
                continue
            if files:
                found[name] = f"{name} (its files)=={digests.of_all(files)[:16]}"
    return [found[name] for name in sorted(found)]


def _files(origin: Path, project: Path) -> Iterator[tuple[str, str]]:
    """Give the digests of a package's files, by their place; `origin` is what its installer wrote (PEP 610)."""
    came = json.loads(origin.read_text(encoding="utf-8"))
    if not came.get("dir_info", {}).get("editable"):
        yield from _recorded(origin.with_name("RECORD"))
        return
    folder = locations.path_of(came["url"]).resolve()
    if not project.is_relative_to(folder) and not folder.is_relative_to(project):
        yield from fingerprint.project_files(folder, None).items()


def _recorded(record: Path) -> Iterator[tuple[str, str]]:
    """Give what was installed, as the installer has listed it; what it noted of the installation itself is left out."""
    with record.open(encoding="utf-8", newline="") as lines:
        for place, digest, *_ in csv.reader(lines):
            if digest and ".dist-info/" not in place and not place.startswith(("..", "/")):
                yield place, digest
