"""Predictions on their way to a Delta table or a folder of Parquet files: each shard once, whenever the writer dies."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import deltalake
import pyarrow as pa
import pyarrow.parquet
from deltalake import CommitProperties, Transaction
from deltalake.exceptions import DeltaError, TableNotFoundError

from dlops.data import tables
from dlops.errors import DataError

_KEY = "dlops"
"""Name, in the table's log, of what is told of a shard."""
Format: TypeAlias = Literal["delta", "parquet"]


class Output(Protocol):
    """Where tables go, shard by shard."""

    stale: bool
    """Whether rows are there that are to be gone, and will be with the first shard that is written."""

    def has(self, shard: int) -> bool:
        """Say whether this shard was written before."""

    def write(self, shard: int, rows: Any) -> None:
        """Write a shard (an Arrow table), which is there as a whole afterwards, or not at all.

        Raises:
            DataError: it cannot be written.
        """


@dataclass
class Delta:
    """A Delta table; shards are written in their order, each a version that tells the table's log of its number."""

    uri: str
    identity: str
    """What these shards, and no others, are called in the table's log."""
    schema: Any
    overwrite: bool = False
    """Whether the first shard takes the place of what was there before."""

    def __post_init__(self) -> None:
        tables.check(self.uri)
        try:
            table = deltalake.DeltaTable(self.uri)
        except TableNotFoundError:
            self._last, self.stale = -1, False
            return
        except (DeltaError, OSError) as error:
            raise DataError(f"The table {self.uri} cannot be opened: {_line(error)}.") from error
        self._last = _written(table, self.identity)
        self.stale = self.overwrite and self._last < 0
        there, ours = {field.name for field in table.schema().fields}, set(self.schema.names)
        if there != ours and not self.stale:
            raise DataError(
                f"The table {self.uri} has other columns than these predictions: {', '.join(sorted(there ^ ours))}.",
                hint="Name another one, or mode=overwrite.",
            )

    def has(self, shard: int) -> bool:
        return shard <= self._last

    def write(self, shard: int, rows: Any) -> None:
        done = CommitProperties(
            {_KEY: json.dumps({"predictions": self.identity, "shard": shard})},
            app_transactions=[Transaction(self.identity, shard)],
        )
        try:
            with tables.alone(self.uri):
                deltalake.write_deltalake(
                    self.uri,
                    rows.cast(self.schema),
                    mode="overwrite" if self.stale else "append",
                    schema_mode="overwrite" if self.stale else None,
                    commit_properties=done,
                )
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise DataError(f"The table {self.uri} cannot be written: {_line(error)}.") from error
        self._last, self.stale = shard, False


def _written(table: deltalake.DeltaTable, identity: str) -> int:
    """Give the last shard of these predictions that the table has; -1 for none, or if all was overwritten since."""
    last = -1
    for entry in table.history():  # the newest first
        told = json.loads(entry.get(_KEY) or "{}")
        if told.get("predictions") == identity:
            last = max(last, int(told["shard"]))
        if (entry.get("operationParameters") or {}).get("mode") == "Overwrite":
            return last
    found = table.transaction_version(identity)  # also where the log is cut off, as it is after a month
    return last if found is None else max(last, int(found))


@dataclass
class Parquet:
    """A folder of Parquet files, one for each shard; what else is there stays."""

    folder: Path
    identity: str
    schema: Any
    stale: bool = False

    def __post_init__(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{self.folder} cannot be made: {error.strerror}.") from error

    def has(self, shard: int) -> bool:
        return self._file(shard).is_file()

    def write(self, shard: int, rows: Any) -> None:
        file = self._file(shard)
        beside = file.with_name(f".{file.name}.{os.getpid()}")
        try:
            pyarrow.parquet.write_table(rows.cast(self.schema), beside, compression="zstd")
            with beside.open("rb") as written:
                os.fsync(written.fileno())
            beside.replace(file)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise DataError(f"{file} cannot be written: {error.strerror or error}.") from error

    def _file(self, shard: int) -> Path:
        return self.folder / f"part-{self.identity[:12]}-{shard:06}.parquet"


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".")
