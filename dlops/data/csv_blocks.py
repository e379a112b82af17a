"""CSV files a block at a time: Arrow reads what is well formed, Python's `csv` the rest from the first flaw on."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from dlops.data import csv_records
from dlops.data.csv_records import Columns, OnProblem
from dlops.data.damage import DAMAGE, told
from dlops.data.text_lines import Lines

BLOCK = 1 << 22
"""Bytes that are read at once; a longer record is left to `csv_records`."""
_QUOTE, _LINE, _RETURN = b'"\n\r'

_Bytes = np.ndarray[Any, np.dtype[np.uint8]]
_Places = np.ndarray[Any, np.dtype[np.int64]]


class _Header(NamedTuple):
    names: list[str]
    delimiter: str
    lines: int
    """Lines up to the first row."""
    end: int
    """Bytes up to the first row."""


class _Rows(NamedTuple):
    lines: list[int]
    """Line of each row, counted from 1 at the block's beginning."""
    columns: dict[str, Any]
    end: int
    """Bytes of the block that the rows take: what follows is the beginning of another row."""


def chunks(
    stream: BinaryIO, encoding: str, problem: OnProblem, *, delimiter: str = "", block: int = BLOCK
) -> Iterator[Columns]:
    """Read the rows below the header: those that `csv_records.chunks` gives, with the same problems, only sooner.

    A block is well formed where each quote opens a field, closes one or is doubled, all rows have as many fields as the
    header, and all is UTF-8 without NUL bytes. From the first that is not, rows are read one by one to find the flaw.
    """
    source = _Source(stream)
    read = source.read(block)
    if not read and source.damage:
        problem(0, told(source.damage), "")
        return
    line = 0
    header = _header(read, encoding, delimiter)
    if header:
        read, line = read[header.end :], header.lines
        while rows := _rows(read if not source.is_at_end else _ended(read), header):
            if rows.lines:
                yield [line + number for number in rows.lines], rows.columns
            line += read.count(b"\n", 0, rows.end)
            read = read[rows.end :] + source.read(block)
        if not read and source.is_at_end:
            return
    with Lines(_Rest(read, source), "utf-8" if header else encoding, number=line) as lines:
        if header:
            yield from csv_records.rows(lines, header.names, problem, delimiter=header.delimiter)
        else:
            yield from csv_records.chunks(lines, problem, delimiter=delimiter)


class _Source:
    """A stream that keeps what goes wrong in it until all bytes before it were taken."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.damage: BaseException | None = None
        """What ended the reading before all was read."""
        self.is_at_end = False
        """Whether all was read, and nothing went wrong."""

    def read(self, count: int) -> bytes:
        """Read so many bytes, fewer only at the end or before what is damaged."""
        parts: list[bytes] = []
        while count and not self.is_at_end and self.damage is None:
            try:
                parts.append(self._stream.read(count))
            except DAMAGE as error:
                self.damage = error
                break
            count -= len(parts[-1])
            self.is_at_end = not parts[-1]
        return b"".join(parts)


class _Rest(io.RawIOBase):
    """What was read and not used, then the rest of its source."""

    def __init__(self, read: bytes, source: _Source) -> None:
        self._read, self._source = memoryview(read), source

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if not self._read:
            self._read = memoryview(self._source.read(len(room)))
        if not self._read and self._source.damage:
            raise self._source.damage
        count = min(len(room), len(self._read))
        room[:count] = self._read[:count]
        self._read = self._read[count:]
        return count


def _header(read: bytes, encoding: str, delimiter: str) -> _Header | None:
    """Read the header as `csv_records` does; give none where something is wrong with it, or the encoding is another."""
    flaws: list[str] = []
    with Lines(io.BytesIO(read), encoding) as lines:
        if codecs.lookup(lines.encoding).name not in ("utf-8", "utf-8-sig"):
            return None
        names, delimiter = csv_records.header(lines, lambda _line, reason, _raw: flaws.append(reason), delimiter)
        count = lines.number
    end = 0
    for _ in range(count):
        end = read.find(b"\n", end) + 1
        if not end:
            return None
    return None if flaws or b"\r" in read[:end].replace(b"\r\n", b"") else _Header(names, delimiter, count, end)


def _ended(read: bytes) -> bytes:
    """Give the end of a file with a line end, which the last row need not have."""
    return read if not read or read.endswith(b"\n") else read + b"\n"


def _rows(block: bytes, header: _Header) -> _Rows | None:
    """Read the rows that end in a block; give none where it is not well formed, or no row ends in it."""
    raw = np.frombuffer(block, np.uint8)
    quotes, breaks = np.flatnonzero(raw == _QUOTE), np.flatnonzero(raw == _LINE)
    between = np.flatnonzero(np.searchsorted(quotes, breaks) % 2 == 0)
    ends = breaks[between]
    if not len(ends):
        return None
    end = int(ends[-1]) + 1
    used = memoryview(block)[:end]
    if block.startswith(codecs.BOM_UTF8) or block.find(b"\0", 0, end) >= 0:  # Arrow would leave the mark out
        return None
    if not _is_well_formed(raw[:end], quotes[quotes < end], ord(header.delimiter)):
        return None
    filled = np.diff(ends, prepend=-1) > 1 + (raw[ends - 1] == _RETURN)
    lines = (np.concatenate([[0], between[:-1] + 1]) + 1)[filled]
    columns = _parsed(used, header, len(lines))
    return _Rows(lines.tolist(), columns, end) if columns else None


def _is_well_formed(raw: _Bytes, quotes: _Places, delimiter: int) -> bool:
    returns = np.flatnonzero(raw == _RETURN)
    before, behind = raw[quotes[::2] - 1], raw[quotes[1::2] + 1]
    if len(quotes) and quotes[0] == 0:
        before[0] = _LINE
    opens = (before == delimiter) | (before == _LINE) | (before == _QUOTE)
    closes = (behind == delimiter) | (behind == _LINE) | (behind == _QUOTE) | (behind == _RETURN)
    return bool(opens.all() and closes.all() and (raw[returns + 1] == _LINE).all())


def _parsed(used: memoryview, header: _Header, rows: int) -> dict[str, Any] | None:
    """Let Arrow parse whole rows; give none where it refuses them, as ragged ones or what is no UTF-8."""
    if not rows:
        return {name: [] for name in header.names}
    try:
        table = pyarrow.csv.read_csv(
            pa.py_buffer(used),
            pyarrow.csv.ReadOptions(column_names=header.names, block_size=len(used) + 1),
            pyarrow.csv.ParseOptions(delimiter=header.delimiter, newlines_in_values=True),
            pyarrow.csv.ConvertOptions(
                column_types=dict.fromkeys(header.names, pa.string()), strings_can_be_null=False, check_utf8=True
            ),
        )
    except pa.ArrowInvalid:
        return None
    if len(table) != rows:
        return None
    return {name: table[name].combine_chunks() for name in header.names}
