"""Removing versions of a table that nobody needs any more, and what writers that were killed have left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import deltalake
import pyarrow.fs
from deltalake.exceptions import DeltaError

from dlops.data import tables
from dlops.errors import DataError

_HOURS = 24
"""Age from which a file that belongs to no version is a leftover: a younger one may be that of a writer at work."""
_OURS_TO_REMOVE = (".parquet", ".bin")
"""Kinds of file that make up a table; whatever else lies in its folder stays."""

_STAGED = ("*.parquet#*", "_delta_log/*#*", "_delta_log/*.tmp")


@dataclass(frozen=True)
class Plan:
    """What a vacuum would remove."""

    uri: str
    kept: tuple[int, ...]
    """Versions that stay, the newest first."""
    removed: tuple[int, ...]
    """Versions whose rows go."""
    needed: Mapping[int, Sequence[str]]
    """Versions that would go, and the runs for which they stay."""
    files: Mapping[str, int]
    """Files that go, by their place in the table's folder, with their sizes in bytes."""
    leftovers: int
    """Those among them that belong to no version."""

    @property
    def size(self) -> int:
        return sum(self.files.values())

    def as_dict(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        return {
            "table": self.uri,
            "kept": list(self.kept),
            "removed": list(self.removed),
            "kept_for_runs": {str(number): list(runs) for number, runs in self.needed.items()},
            "files": sorted(self.files),
            "bytes": self.size,
            "leftovers": self.leftovers,
        }


def plan(
    uri: str,
    *,
    keep_versions: int | None = None,
    older_than: float | None = None,
    needed: Mapping[int, Sequence[str]] | None = None,
) -> Plan:
    """Say what would go: versions beyond the last `keep_versions` and older than `older_than` days.

    With one of the two, that one decides; with both, only what both say goes; with neither, leftovers alone. The last
    version stays, and so does each version of `needed`, which has the names of those who need it.

    Raises:
        DataError: there is no table, or it cannot be read.
    """
    table, _ = tables.read(uri)
    commits = tables.history(uri)
    there = [commit for commit in commits if tables.is_there(uri, commit.number)]
    old = _old([commit for commit in there if commit.number < commits[0].number], commits, keep_versions, older_than)
    by_runs = {_standing(number, commits): list(runs) for number, runs in (needed or {}).items()}
    held = {number: by_runs[number] for number in sorted(by_runs) if number in old}
    removed = [number for number in old if number not in held]
    kept = [commit.number for commit in there if commit.number not in removed]
    raw = [number for number in needed or {} if number <= table.version()]
    with _explained(uri):
        files, leftovers = _files(uri, {*kept, *raw})
    return Plan(uri, tuple(kept), tuple(removed), held, files, leftovers)


def carry_out(plan: Plan) -> None:
    """Remove what the plan names, while nobody writes; what a version that was written since needs stays.

    Raises:
        DataError: something cannot be removed.
    """
    with tables.alone(plan.uri), _explained(plan.uri):
        table = deltalake.DeltaTable(plan.uri)
        needed, place = tables.files(table), tables.filesystem(table)
        folder = tables.local(plan.uri)
        for name in plan.files:
            if name in needed:
                continue
            if folder:
                (folder / name).unlink(missing_ok=True)
            else:
                place.delete_file(name)


def resolved(uri: str, version: int | str) -> int | None:
    """Give the number of the version that was meant by number or by time; `None` where there was none yet.

    Raises:
        DataError: there is no table.
    """
    if isinstance(version, int):
        return version
    moment = datetime.fromisoformat(version).timestamp()
    return next((commit.number for commit in tables.history(uri) if commit.time <= moment), None)


def _old(
    candidates: Sequence[tables.Commit],
    commits: Sequence[tables.Commit],
    keep_versions: int | None,
    older_than: float | None,
) -> list[int]:
    if keep_versions is None and older_than is None:
        return []
    recent = {commit.number for commit in commits[:keep_versions]} if keep_versions is not None else set()
    limit = time.time() - older_than * 86400 if older_than is not None else float("inf")
    return [commit.number for commit in candidates if commit.number not in recent and commit.time < limit]


def _standing(number: int, commits: Sequence[tables.Commit]) -> int:
    """Give the version that wrote the rows of version `number`."""
    return next((commit.number for commit in commits if commit.number <= number), number)


def _files(uri: str, kept: Collection[int]) -> tuple[dict[str, int], int]:
    """Find the files of no kept version: those of removed versions, and leftovers that are old enough."""
    table = deltalake.DeltaTable(uri)
    versions = sorted(kept)
    removed = _listed(table, 0, versions, full=False)
    leftovers = [name for name in _listed(table, _HOURS, versions, full=True) if name not in removed]
    infos = tables.filesystem(table).get_file_info([*removed, *leftovers])
    files = {info.path: info.size for info in infos if info.type == pyarrow.fs.FileType.File}
    staged = dict(_staged(uri))
    return files | staged, len(staged) + sum(name in files for name in leftovers)


def _listed(table: deltalake.DeltaTable, hours: int, kept: list[int], *, full: bool) -> list[str]:
    listed = table.vacuum(
        retention_hours=hours, dry_run=True, enforce_retention_duration=False, full=full, keep_versions=kept
    )
    return [name for name in dict.fromkeys(listed) if name.endswith(_OURS_TO_REMOVE)]


def _staged(uri: str) -> Iterator[tuple[str, int]]:
    """Find files of this machine that a writer was killed over before they had their name: `NAME.parquet#1`."""
    folder = tables.local(uri)
    if folder is None:
        return
    for file in (file for pattern in _STAGED for file in folder.glob(pattern)):
        facts = file.stat()
        if facts.st_mtime < time.time() - _HOURS * 3600:
            yield str(file.relative_to(folder)), facts.st_size


@contextlib.contextmanager
def _explained(uri: str) -> Iterator[None]:
    try:
        yield
    except (DeltaError, OSError) as error:
        raise DataError(f"The table {uri} cannot be vacuumed: {error}.") from error
