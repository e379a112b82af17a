"""Rows of opened files, in chunks: text by lines, Parquet by batches of records."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet

from dlops.data import archives, csv_blocks, files, json_records, plain_texts
from dlops.data.archives import Member
from dlops.data.csv_records import OnProblem
from dlops.data.damage import DAMAGE, told
from dlops.data.files import File
from dlops.data.rows import Chunk, OnReject, Reject, Values, values
from dlops.data.text_lines import Lines
from dlops.errors import DataError

_SIZE = 4_000_000
"""Bytes of a batch, as far as a Parquet file tells them."""
_ROWS = 8_192


@dataclass(frozen=True)
class Part:
    """A file that can be read on its own, by another process or on another machine that sees it."""

    file: File
    encoding: str
    before: int = 0
    """Bytes of the files that come before it."""

    def chunks(self, reject: OnReject) -> Iterator[Chunk]:
        """Read its rows, as `read` does."""
        return read(self.file, reject, encoding=self.encoding, before=self.before)


def read(file: File, reject: OnReject, *, encoding: str, before: int = 0) -> Iterator[Chunk]:
    """Read the rows of a file, or of all files in it; `before` are the bytes of those that were read earlier.

    Raises:
        DataError: it is a bomb, is encrypted, changes while it is read, or `reject` says so.
    """

    def problem(name: str, reason: str) -> None:
        reject(Reject(name, 0, reason))

    try:
        raw = file.path.open("rb")
    except OSError as error:
        problem(file.name, told(error))
        return
    with raw:
        begun = _state(file)
        for member in archives.members(file, raw, problem):
            for lines, columns, share in _READERS[member.kind](member, reject, encoding):
                done = raw.tell() if share is None else int(share * file.size)
                yield Chunk(member.name, lines, columns, before + min(done, file.size))
        if _state(file) not in (begun, None):
            raise DataError(
                f"{file.name} changed while it was read.", hint="Run it again when nobody writes to the file any more."
            )


def _state(file: File) -> tuple[int, int] | None:
    """Give what changes when somebody writes to a file; nothing where it is gone, which harms no open one."""
    try:
        status = file.path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


_Rows = Iterator[tuple[list[int], dict[str, Values], float | None]]
"""Lines, columns, and the share of the file that is read where the place in it does not tell."""


def _csv(member: Member, reject: OnReject, encoding: str) -> _Rows:
    def problem(line: int, reason: str, raw: str) -> None:
        reject(Reject(member.name, line, reason, raw))

    delimiter = "\t" if member.kind == "tsv" else ""
    with contextlib.closing(member.stream):
        for numbers, columns in csv_blocks.chunks(member.stream, encoding, problem, delimiter=delimiter):
            yield numbers, columns, None


def _json(member: Member, reject: OnReject, encoding: str) -> _Rows:
    def problem(line: int, reason: str, raw: str) -> None:
        reject(Reject(member.name, line, reason, raw))

    with _lines(member, encoding, problem) as lines:
        for numbers, columns in json_records.chunks(lines, problem, array=member.kind == "json") if lines else ():
            yield numbers, columns, None


def _plain(member: Member, reject: OnReject, encoding: str) -> _Rows:
    def problem(line: int, reason: str, raw: str) -> None:
        reject(Reject(member.name, line, reason, raw))

    with _lines(member, encoding, problem) as lines:
        for numbers, columns in plain_texts.chunks(lines, problem) if lines else ():
            yield numbers, columns, None


@contextlib.contextmanager
def _lines(member: Member, encoding: str, problem: OnProblem) -> Iterator[Lines | None]:
    """Open a member as lines; give none where its first bytes are damaged, which is told."""
    try:
        lines = Lines(member.stream, encoding, newline="\n")
    except DAMAGE as error:
        problem(0, told(error), "")
        yield None
        return
    with lines:
        yield lines


def _parquet(member: Member, reject: OnReject, encoding: str) -> _Rows:  # noqa: ARG001 - says its encoding itself
    row = 0
    try:
        with (
            _seekable(member) as stream,
            pa.parquet.ParquetFile(
                stream, buffer_size=1 << 20, pre_buffer=False, page_checksum_verification=True
            ) as table,
        ):
            names = table.schema_arrow.names
            if double := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"it has two columns {double[0]!r}")
            total = max(1, table.metadata.num_rows)
            for batch in table.iter_batches(batch_size=_batch_size(table.metadata)):
                lines, columns = _values(batch, row, member, reject)
                row += batch.num_rows
                if lines:
                    yield lines, columns, row / total if member.is_plain else None
    except DAMAGE as error:
        reject(Reject(member.name, row + 1, f"no Parquet file, or a damaged one: {told(error)}"))


@contextlib.contextmanager
def _seekable(member: Member) -> Iterator[BinaryIO]:
    """Give a Parquet file so that its end can be read first: one that is packed goes through a temporary file."""
    if member.is_plain:
        yield member.stream
        return
    with tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(member.stream, copy, 1 << 20)
        copy.seek(0)
        yield copy


def _batch_size(metadata: Any) -> int:
    groups = [metadata.row_group(place) for place in range(metadata.num_row_groups)]
    widest = max((group.total_byte_size / max(1, group.num_rows) for group in groups), default=1)
    return max(1, min(_ROWS, int(_SIZE / max(1, widest))))


def _values(batch: Any, before: int, member: Member, reject: OnReject) -> tuple[list[int], dict[str, Values]]:
    lines = list(range(before + 1, before + batch.num_rows + 1))
    try:
        return lines, {name: values(batch.column(name)) for name in batch.schema.names}
    except DAMAGE:  # a text that is no UTF-8, a time that is none: some rows can be read all the same
        rows: dict[int, dict[str, Any]] = {}
        for place in range(batch.num_rows):
            try:
                rows[lines[place]] = {name: batch.column(name)[place].as_py() for name in batch.schema.names}
            except DAMAGE as error:
                reject(Reject(member.name, lines[place], f"a value cannot be read: {told(error)}"))
        return list(rows), {name: [values[name] for values in rows.values()] for name in batch.schema.names}


_READERS = {
    **{"csv": _csv, "tsv": _csv, "json": _json, "jsonl": _json, "ndjson": _json, "parquet": _parquet},
    files.PLAIN: _plain,
}
