"""Rows on their way to a table: dealt by the hash of their text onto disk, each part then small enough for memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc

from dlops.data import raw_bytes, scratch
from dlops.data.raw_bytes import Hashes

Table: TypeAlias = Any
"""A `pyarrow.Table`, whose package has no types."""

_GATHERED = 32 << 20
"""Bytes of rows that are dealt at once."""
_IN_MEMORY = 96 << 20
"""Bytes of rows up to which nothing goes to disk."""
_PARTS = 128
"""Parts of what goes to disk, each a file that is open: 5 GB make 40 MB each."""
_READ = 32 << 20
"""Bytes of rows that are read at once at least: memory stays as it is while parts grow to that."""


@dataclass
class Dropped:
    """Rows that went because their text had come before."""

    duplicates: int = 0
    conflicting: int = 0
    """Those among them whose label is another one than that of the row which stays."""
    leaking: int = 0
    """Those among them whose own split is another one."""


def keys(texts: Any, pairs: Any = None) -> Hashes:
    """Give each row's key: a hash of its text, or of text and pair (Arrow arrays); `splits.identity` as a number."""
    return raw_bytes.hashes(texts if pairs is None else pc.binary_join_element_wise(texts, pairs, "\0"))


class Staging:
    """Takes rows in the order they are read and gives them back in the order of their keys, part by part.

    Dealing by hash (a Grace hash join's first half) makes equal texts meet in one part, so that duplicates are found
    exactly, however many rows there are, in the memory of one part.
    """

    def __init__(self) -> None:
        self._stack = contextlib.ExitStack()
        self._folder = self._stack.enter_context(scratch.folder())
        self._gathered: list[Table] = []
        self._bytes = 0
        self._rows = 0
        self._parts: list[_Part] = []

    def __enter__(self) -> Staging:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for part in self._parts:
            part.close()
        self._stack.close()

    def add(self, rows: Table) -> None:
        """Take rows: a column `key` (uint64), and whatever else, the same columns each time."""
        numbers = pa.array(np.arange(self._rows, self._rows + len(rows)), pa.int64())
        self._gathered.append(rows.append_column("number", numbers))
        self._rows += len(rows)
        self._bytes += rows.nbytes
        if self._bytes > (_GATHERED if self._parts else _IN_MEMORY):
            self._deal()

    def parts(self) -> Iterator[Table]:
        """Give all rows, those of one key in one part; they can be read again, but none can be added afterwards.

        The columns are those that were added, and `number`: the place of the row among all that were added.
        """
        if not self._parts:
            if self._gathered:
                yield pa.concat_tables(self._gathered).combine_chunks()
            return
        self._deal()
        tables: list[Table] = []
        for part in self._parts:
            if (table := part.read()) is not None:
                tables.append(table)
            if sum(table.nbytes for table in tables) >= _READ:
                yield _joined(tables)
                tables = []
        if tables:
            yield _joined(tables)

    def _deal(self) -> None:
        if not self._gathered:
            return
        if not self._parts:
            self._parts = [_Part(self._folder / f"{number:03d}.arrow") for number in range(_PARTS)]
        rows = pa.concat_tables(self._gathered)
        self._gathered, self._bytes = [], 0
        places = (rows["key"].to_numpy() >> np.uint64(64 - (_PARTS - 1).bit_length())).astype(np.uint8)
        order = np.argsort(places, kind="stable")
        rows = rows.take(pa.array(order)).combine_chunks()
        ends = np.searchsorted(places[order], np.arange(_PARTS), side="right")
        start = 0
        for part, end in zip(self._parts, ends.tolist(), strict=True):
            if end > start:
                part.write(rows.slice(start, end - start))
            start = end


def _joined(tables: list[Table]) -> Table:
    return tables[0] if len(tables) == 1 else pa.concat_tables(tables).combine_chunks()


def once(rows: Table) -> tuple[Table, Dropped]:
    """Keep, of the rows of one key, the one that came first; give them in the order of their keys.

    Columns `label` and `own_split`, where they are there, are compared with those of the row that stays.
    """
    keys, numbers = rows["key"].to_numpy(), rows["number"].to_numpy()
    order = np.lexsort((numbers, keys))
    ordered = keys[order]
    first = np.ones(len(ordered), dtype=bool)
    first[1:] = ordered[1:] != ordered[:-1]
    kept = order[first]
    dropped = Dropped(duplicates=int(len(order) - len(kept)))
    if dropped.duplicates:
        stays = kept[np.cumsum(first) - 1]
        if "label" in rows.column_names:
            dropped.conflicting = _differing(rows["label"], order, stays)
        if "own_split" in rows.column_names:
            dropped.leaking = _differing(rows["own_split"], order, stays)
    return rows.take(pa.array(kept)), dropped


def _differing(column: Any, these: np.ndarray[Any, Any], those: np.ndarray[Any, Any]) -> int:
    codes = column.combine_chunks().dictionary_encode()
    places = (codes.combine_chunks() if isinstance(codes, pa.ChunkedArray) else codes).indices
    numbers = places.to_numpy(zero_copy_only=False)
    return int((numbers[these] != numbers[those]).sum())


class _Part:
    """The rows of one range of keys, on disk."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: Any = None

    def write(self, rows: Table) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_stream(str(self._path), rows.schema)
        self._writer.write_table(rows)

    def read(self) -> Table | None:
        self.close()
        if not self._path.exists():
            return None
        with pa.ipc.open_stream(str(self._path)) as reader:
            return reader.read_all().combine_chunks()

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None
