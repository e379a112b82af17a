"""Rows as the Parquet files that a table will be made of: written while they are looked at, read as often as needed."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet

from dlops.data import scratch
from dlops.data.staging import Table

_FILE_SIZE = 64 << 20
"""Bytes at which a next file is begun."""
_ROW_GROUP = 16_384
"""Rows that are compressed, and later read, together."""
_WAITING = 2
"""Tables that may wait to be written."""


@dataclass(frozen=True)
class ParquetFile:
    """One file that is complete."""

    path: Path
    rows: int


class ParquetFiles:
    """Takes tables of the same columns; a thread of its own compresses them, since Arrow lets others work meanwhile."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._folder = self._stack.enter_context(scratch.folder())
        self._thread = self._stack.enter_context(ThreadPoolExecutor(1))
        self._waiting: deque[Future[None]] = deque()
        self._writer: Any = None
        self._files: list[ParquetFile] = []
        self.schema: Any = None
        """That of the first table; `None` as long as there is none."""
        self.bytes = 0
        """Of all tables, as they were in memory."""

    def __enter__(self) -> ParquetFiles:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._settle(0)
        finally:
            self._stack.close()

    def add(self, table: Table) -> None:
        """Take one more table, after all that were finished.

        Raises:
            ValueError: its columns are not those of the first.
            OSError: the disk is full.
        """
        self.schema = self.schema or table.schema
        if not table.schema.equals(self.schema):
            raise ValueError(f"rows of the columns {table.schema} came after rows of {self.schema}")
        self.bytes += table.nbytes
        self._settle(_WAITING)
        self._waiting.append(self._thread.submit(self._write, table))

    def through(self, tables: Iterable[Table]) -> Iterator[Table]:
        """Give tables on while they are taken."""
        for table in tables:
            self.add(table)
            yield table

    def files(self) -> list[ParquetFile]:
        """Finish all files, and give them; there is at least one if any table was taken."""
        self._waiting.append(self._thread.submit(self._finish))
        self._settle(0)
        return self._files

    def tables(self) -> Iterator[Table]:
        """Give all rows in the order they were added, a row group at a time."""
        for file in self.files():
            with pa.parquet.ParquetFile(file.path) as opened:
                for number in range(opened.num_row_groups):
                    yield opened.read_row_group(number)

    def _settle(self, waiting: int) -> None:
        """Wait until no more than so many tables wait; raises what went wrong with one."""
        while len(self._waiting) > waiting:
            self._waiting.popleft().result()

    def _write(self, table: Table) -> None:
        if self._writer is None:
            self._path = self._folder / f"{len(self._files):06d}.parquet"
            self._writer = pa.parquet.ParquetWriter(
                self._path, table.schema, compression="zstd", compression_level=1, store_schema=False
            )
            self._rows = 0
        self._writer.write_table(table, row_group_size=_ROW_GROUP)
        self._rows += len(table)
        if self._path.stat().st_size >= _FILE_SIZE:
            self._finish()

    def _finish(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
            self._files.append(ParquetFile(self._path, self._rows))
