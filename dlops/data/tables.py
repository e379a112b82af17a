"""Ingested data as versions of a Delta table, each with a digest and a description of where it came from."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import urllib.parse
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.fs
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, create_table_with_add_actions

from dlops.config import locations
from dlops.data.parquet_files import ParquetFile, ParquetFiles
from dlops.errors import DataError
from dlops.worker import locks

COLUMNS = ("id", "text", "label", "split")
_COMMIT_KEY = "dlops"
_METRICS, _ROWS = "operationMetrics", "num_added_rows"
"""Where Delta clients look for how many rows a version has."""
_FOREVER = dict.fromkeys(("delta.logRetentionDuration", "delta.deletedFileRetentionDuration"), "interval 36500 days")
"""Versions stay until `dlops data vacuum` removes them; Delta clients would end those of a week ago otherwise."""
_HOUSEKEEPING = ("VACUUM", "OPTIMIZE", "FSCK", "SET TBLPROPERTIES")
"""Operations that make a version with the rows of the one before."""


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


@dataclass(frozen=True)
class Commit:
    """A version as the table's history tells it."""

    number: int
    time: float
    """Seconds since 1970."""
    rows: int | None = None
    """Rows of that version, where the history says so."""
    description: Mapping[str, Any] = field(default_factory=dict)
    """Empty where another program wrote it."""

    @property
    def digest(self) -> str:
        return str(self.description.get("digest", ""))


def digest(rows: Iterable[tuple[str, ...]]) -> str:
    """Give 32 hexadecimal digits of a hash of every row; their order does not matter.

    A row is (id, label, split), or (id, split) where there are no labels.
    """
    hashed = hashlib.blake2b(digest_size=16)
    for row in sorted(rows):
        hashed.update("\0".join(row).encode() + b"\n")
    return hashed.hexdigest()


def write(
    uri: str,
    rows: ParquetFiles | Iterable[Any] | Mapping[str, Sequence[Any]],
    description: Mapping[str, Any],
    *,
    digest: str = "",
) -> Version:
    """Write rows as the next version, unless the last one has the same digest.

    `rows` are Parquet files that were made of them, or `pyarrow` tables, of which a few are in memory at a time, and
    `digest` is the one that all of them together have; or they are columns of a dataset in memory, whose digest is made
    here. A version is there as a whole or not at all, whenever the writer is killed. `description` is kept with the
    version, as JSON.

    Raises:
        DataError: something else is at that place, it cannot be written, or another program wrote at the same time.
        ValueError: no rows were given, not even an empty table, or some have other columns than the first.
    """
    if isinstance(rows, Mapping):
        digest = digest or _digest_of_columns(rows)
        rows = [pa.table(dict(rows))]
    if not digest:
        raise TypeError("rows that are read once need their digest beforehand")
    _last(uri)  # refuses a place that is somebody else's before a lock file is left there
    with alone(uri), contextlib.ExitStack() as stack:
        last = _last(uri)
        if last is not None and last.digest == digest:
            return Version(uri, last.number, digest, new=False)
        table = None if last is None else deltalake.DeltaTable(uri)
        if not isinstance(rows, ParquetFiles):
            files = stack.enter_context(ParquetFiles())
            for part in rows:
                files.add(part)
            rows = files
        _commit(uri, table, rows, {**description, "digest": digest})
        number = next(commit.number for commit in history(uri) if commit.digest == digest)
        return Version(uri, number, digest, new=True)


def check(uri: str) -> None:
    """Look whether a table can be written at a place, before there is anything to write.

    Raises:
        DataError: something else is there, or it cannot be opened.
    """
    folder = local(uri)
    above = next((parent for parent in folder.parents if parent.exists()), None) if folder else None
    if above and not above.is_dir():
        raise DataError(f"{uri} can be no table: {above} is no folder.", hint="Name another place: table=…")
    _last(uri)


def read(uri: str, version: int | str | None = None) -> tuple[deltalake.DeltaTable, dict[str, Any]]:
    """Open a version of a table: a number, a time (ISO 8601), or the last; give it with its description.

    Raises:
        DataError: there is no table, or no such version, or its rows were removed.
    """
    try:
        table = deltalake.DeltaTable(uri, version=version if isinstance(version, int) else None)
        if isinstance(version, str):
            table.load_as_version(version)
    except TableNotFoundError as error:
        hint = "Run `dlops ingest` first; it prints the dataset's name as it ends."
        raise DataError(f"There is no dataset at {uri}.", hint=hint) from error
    except (DeltaError, OSError, ValueError) as error:
        raise DataError(f"{uri} has no version {version}.", hint=_versions(uri)) from error
    commit = _written_by(uri, table.version())
    if version is None and commit.number < table.version():
        table = _without_housekeeping(table, commit.number)
    if not is_complete(table):
        there = [str(known.number) for known in history(uri) if is_there(uri, known.number)]
        hint = f"The versions whose rows are there: {', '.join(there)}." if there else "Run `dlops ingest` again."
        raise DataError(f"The rows of version {table.version()} of {uri} were removed.", hint=hint)
    return table, dict(commit.description)


def history(uri: str) -> list[Commit]:
    """List the versions that have rows of their own, the newest first.

    It is asked of the last version: deltalake 1.6 counts it wrongly from an earlier one.
    """
    entries = deltalake.DeltaTable(uri).history()
    return [_as_commit(entry) for entry in entries if not str(entry.get("operation", "")).startswith(_HOUSEKEEPING)]


def batches(table: deltalake.DeltaTable, columns: Sequence[str]) -> Iterator[Any]:
    """Give the rows of an open table as `pyarrow` record batches, a few in memory at a time, in no order.

    Raises:
        DataError: they cannot be read.
    """
    try:
        rows = table.to_pyarrow_dataset(filesystem=filesystem(table))
        yield from rows.to_batches(columns=list(columns), batch_size=8192, batch_readahead=2, fragment_readahead=1)
    except (DeltaError, OSError, pa.ArrowException) as error:
        raise DataError(f"The rows of {table.table_uri} cannot be read: {_first_line(error)}.") from error


def files(table: deltalake.DeltaTable) -> dict[str, int]:
    """Give the files of an open table, by their place in its folder, with their sizes in bytes."""
    added = pa.table(table.get_add_actions(flatten=True))
    names = (urllib.parse.unquote(name) for name in added["path"].to_pylist())
    return dict(zip(names, added["size_bytes"].to_pylist(), strict=True))


def filesystem(table: deltalake.DeltaTable) -> Any:
    """Give the `pyarrow` file system whose root is the table's folder, on this machine or elsewhere."""
    return _filesystem(table.table_uri) or pyarrow.fs.PyFileSystem(DeltaStorageHandler.from_table(table._table))


def is_complete(table: deltalake.DeltaTable) -> bool:
    """Say whether every file of an open table is there."""
    infos = filesystem(table).get_file_info(list(files(table)))
    return all(info.type == pyarrow.fs.FileType.File for info in infos)


def is_there(uri: str, number: int) -> bool:
    """Say whether the rows of a version can be read."""
    try:
        return is_complete(deltalake.DeltaTable(uri, version=number))
    except (DeltaError, OSError):
        return False


def local(uri: str) -> Path | None:
    """Give the folder of a table on this machine; `None` for one elsewhere."""
    if uri.startswith("file://"):
        return locations.path_of(uri)
    return None if "://" in uri else Path(uri)


@contextlib.contextmanager
def alone(uri: str) -> Iterator[None]:
    """Keep out whoever else writes to a table of this machine, and wait for them to end; elsewhere a commit decides.

    Raises:
        DataError: nobody may write there.
    """
    folder = local(uri)
    if folder is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locks.held(folder.with_name(f".{folder.name}.lock")))
        except OSError as error:
            raise _not_written(uri, error) from error
        yield


def _digest_of_columns(rows: Mapping[str, Sequence[Any]]) -> str:
    return digest(zip(*(rows[name] for name in ("id", "label", "split") if name in rows), strict=True))


def _last(uri: str) -> Commit | None:
    """Find the version that stands; `None` where a table is still to be made."""
    folder = local(uri)
    if folder is None or folder.is_dir():
        with contextlib.suppress(TableNotFoundError):
            try:
                return _written_by(uri, deltalake.DeltaTable(uri).version())
            except (DeltaError, OSError) as error:
                if isinstance(error, TableNotFoundError):
                    raise
                raise DataError(f"The table {uri} cannot be opened: {_first_line(error)}.") from error
    if folder and (any(folder.iterdir()) and not _begun(folder) if folder.is_dir() else folder.exists()):
        hint = "Name a folder that does not exist yet: table=…"
        raise DataError(f"{uri} is there already and is no Delta table.", hint=hint)
    return None


def _begun(folder: Path) -> bool:
    """Say whether a folder holds no more than what a first write left that was killed."""
    names = {entry.name for entry in folder.iterdir()}
    return "_delta_log" in names and all(name.startswith("part-") for name in names - {"_delta_log"})


def _commit(uri: str, table: deltalake.DeltaTable | None, rows: ParquetFiles, description: Mapping[str, Any]) -> None:
    """Copy files into a table's folder, then make a version of them, which is a single write."""
    files = rows.files()
    if not files:
        raise ValueError("no rows were given, not even an empty table")
    properties = deltalake.CommitProperties(
        {_COMMIT_KEY: json.dumps(description), _METRICS: {_ROWS: sum(file.rows for file in files)}},
        max_commit_retries=0,  # a commit that came in between ends ours: tried again, the rows of both might stay
    )
    schema = deltalake.Schema.from_arrow(rows.schema)
    try:
        if table is None and (folder := local(uri)):
            (folder / "_delta_log").mkdir(parents=True, exist_ok=True)
        there = _filesystem(uri) or pyarrow.fs.PyFileSystem(DeltaStorageHandler(uri))
        added = [_added(file, there) for file in files]
        if table is None:
            create_table_with_add_actions(uri, schema, added, configuration=_FOREVER, commit_properties=properties)
        else:
            table.create_write_transaction(added, "overwrite", schema, commit_properties=properties)
    except (DeltaError, OSError, pa.ArrowException) as error:
        if isinstance(error, CommitFailedError) or (table is None and _exists(uri)):
            hint = "Nothing of this run was written; run it again."
            raise DataError(f"Another program wrote to the table {uri} at the same time.", hint=hint) from error
        raise _not_written(uri, error) from error


def _filesystem(uri: str) -> Any:
    """Give that of a folder of this machine, `None` for one elsewhere.

    Arrow's own: deltalake's calls Python from Arrow's threads, which is slow, and may abort a process that ends then.
    """
    folder = local(uri)
    return folder and pyarrow.fs.SubTreeFileSystem(str(folder), pyarrow.fs.LocalFileSystem())


def _added(file: ParquetFile, there: Any) -> AddAction:
    """Copy a file under a name that nobody has."""
    name = f"part-{uuid.uuid4()}.zstd.parquet"
    # buffered, because deltalake's own stream does not take the buffers that pyarrow would hand it
    with file.path.open("rb") as source, there.open_output_stream(name, buffer_size=1 << 20) as target:
        shutil.copyfileobj(source, target, 1 << 18)
    moment = int(file.path.stat().st_mtime * 1000)
    return AddAction(
        name, file.path.stat().st_size, {}, moment, data_change=True, stats=json.dumps({"numRecords": file.rows})
    )


def _exists(uri: str) -> bool:
    return bool(deltalake.DeltaTable.is_deltatable(uri))


def _written_by(uri: str, number: int) -> Commit:
    """Find the commit that wrote the rows of a version."""
    return next((commit for commit in history(uri) if commit.number <= number), Commit(number, 0.0))


def _without_housekeeping(table: deltalake.DeltaTable, number: int) -> deltalake.DeltaTable:
    """Give the version that a table's last rows were written as; the table itself where its files were rewritten."""
    with contextlib.suppress(DeltaError, OSError):
        earlier = deltalake.DeltaTable(table.table_uri, version=number)
        if set(files(earlier)) == set(files(table)):
            return earlier
    return table


def _as_commit(entry: Mapping[str, Any]) -> Commit:
    description: dict[str, Any] = {}
    text = entry.get(_COMMIT_KEY)
    if isinstance(text, str):
        with contextlib.suppress(ValueError):
            description = json.loads(text)
    return Commit(
        number=int(entry["version"]),
        time=int(entry.get("timestamp") or 0) / 1000,
        rows=_rows_written(entry),
        description=description,
    )


def _rows_written(entry: Mapping[str, Any]) -> int | None:
    mode = str((entry.get("operationParameters") or {}).get("mode", ""))
    metrics = entry.get(_METRICS) or {}
    count = metrics.get(_ROWS, metrics.get("numOutputRows"))
    return int(count) if count is not None and (mode == "Overwrite" or entry["version"] == 0) else None


def _not_written(uri: str, error: Exception) -> DataError:
    return DataError(f"The table {uri} cannot be written: {_first_line(error)}.", hint="Name another place: table=…")


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")


def _versions(uri: str) -> str:
    try:
        return f"Its versions go up to {deltalake.DeltaTable(uri).version()}."
    except (DeltaError, OSError):
        return ""
