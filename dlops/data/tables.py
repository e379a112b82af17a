"""Ingested data as versions of a Delta table, each with a digest and a description of where it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError, TableNotFoundError

from dlops.errors import DataError

COLUMNS = ("id", "text", "label", "split")
_COMMIT_KEY = "dlops"


@dataclass(frozen=True)
class Version:
    """One version of a table."""

    uri: str
    """Absolute path, or URI."""
    number: int
    digest: str
    new: bool
    """False where the table held exactly these rows already, so that nothing was written."""

    @property
    def reference(self) -> str:
        return f"{self.uri}@{self.number}"


def digest(rows: Iterable[tuple[str, str, str]]) -> str:
    """Give 32 hexadecimal digits of a hash of (id, label, split) of every row; their order does not matter."""
    hashed = hashlib.blake2b(digest_size=16)
    for row in sorted(rows):
        hashed.update("\0".join(row).encode() + b"\n")
    return hashed.hexdigest()


def write(uri: str, rows: Mapping[str, Sequence[str]], description: Mapping[str, Any]) -> Version:
    """Write `rows` (a text per column of `COLUMNS`) as the next version, unless the last one holds the same.

    A version is there as a whole or not at all. `description` is kept with the version, as JSON.

    Raises:
        DataError: something else is at that place, or it cannot be written.
    """
    fingerprint = digest(zip(rows["id"], rows["label"], rows["split"], strict=True))
    table = _existing(uri)
    if table is not None and _description(table).get("digest") == fingerprint:
        return Version(uri, table.version(), fingerprint, new=False)
    content = pa.table({name: pa.array(rows[name], pa.string()) for name in COLUMNS})
    commit = deltalake.CommitProperties({_COMMIT_KEY: json.dumps({**description, "digest": fingerprint})})
    try:
        deltalake.write_deltalake(uri, content, mode="overwrite", schema_mode="overwrite", commit_properties=commit)
        return Version(uri, deltalake.DeltaTable(uri).version(), fingerprint, new=True)
    except (DeltaError, OSError) as error:
        raise DataError(f"The table {uri} cannot be written: {error}.", hint="Name another place: table=…") from error


def read(uri: str, version: int | str | None = None) -> tuple[deltalake.DeltaTable, dict[str, Any]]:
    """Open a version of a table: a number, a time (ISO 8601), or the last; give it with its description.

    Raises:
        DataError: there is no table, or no such version.
    """
    try:
        table = deltalake.DeltaTable(uri, version=version if isinstance(version, int) else None)
        if isinstance(version, str):
            table.load_as_version(version)
    except TableNotFoundError as error:
        hint = "Run `dlops ingest` first; it prints the dataset's name as it ends."
        raise DataError(f"There is no dataset at {uri}.", hint=hint) from error
    except (DeltaError, OSError, ValueError) as error:
        raise DataError(f"{uri} has no version {version}: {error}.", hint=_versions(uri)) from error
    return table, _description(table)


def _existing(uri: str) -> deltalake.DeltaTable | None:
    path = Path(uri)
    try:
        if "://" in uri or path.is_dir():
            return deltalake.DeltaTable(uri)
    except TableNotFoundError:
        if "://" in uri:
            return None
    except (DeltaError, OSError) as error:
        raise DataError(f"The table {uri} cannot be opened: {error}.") from error
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        hint = "Name a folder that does not exist yet: table=…"
        raise DataError(f"{uri} is there already and is no Delta table.", hint=hint)
    return None


def _description(table: deltalake.DeltaTable) -> dict[str, Any]:
    """Read what was kept with the table's version; a table of another's making has nothing.

    The history is asked of the last version: deltalake 1.6 counts it wrongly from an earlier one.
    """
    latest = deltalake.DeltaTable(table.table_uri)
    commits = [commit for commit in latest.history() if commit.get("version") == table.version()]
    text = commits[0].get(_COMMIT_KEY) if commits else None
    if not isinstance(text, str):
        return {}
    found: dict[str, Any] = json.loads(text)
    return found


def _versions(uri: str) -> str:
    try:
        return f"Its versions go up to {deltalake.DeltaTable(uri).version()}."
    except (DeltaError, OSError):
        return ""
