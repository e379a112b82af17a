"""Raw data as people have it: CSV, JSON Lines, Parquet or the sample, read as rows of text and label."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlops.data import sample
from dlops.errors import DataError

_FIELD_LIMIT = 10_000_000
"""Characters of one CSV field; Python's own limit of 131,072 refuses long documents."""


@dataclass(frozen=True)
class Row:
    """One row as it was read; a value that is missing is an empty text."""

    line: int
    """Line of a text file, or row of a Parquet file, counted from 1."""
    text: str
    label: str


@dataclass(frozen=True)
class Source:
    """Raw data that has been opened: its columns are known, its rows are not yet read."""

    name: str
    """What the data is called: the stem of the file's name."""
    where: str
    """The file's absolute path, or the description of the sample."""
    columns: tuple[str, ...]
    rows: Callable[[str, str], Iterator[Row]]
    """Reads the rows, given the names of the text column and the label column."""
    synthetic: bool = False


def open(location: str, *, seed: int) -> Source:  # noqa: A001 (read as `sources.open`)
    """Open a file by its suffix, or the sample; `seed` is the sample's.

    Raises:
        DataError: it is not there, cannot be read, or is of a kind that is not known.
    """
    if location == sample.NAME:
        return _sample(seed)
    if "://" in location and not location.startswith("file://"):
        raise DataError(f"{location} is not on this machine.", hint="Download the file and name its path.")
    path = Path(location.removeprefix("file://")).expanduser().absolute()
    reader = _READERS.get(path.suffix.lower())
    if not path.exists():
        raise DataError(f"{path} does not exist.", hint="Name a file, or source=sample for the synthetic reviews.")
    if not path.is_file() or reader is None:
        what = "a folder" if path.is_dir() else f"of a kind that is not known ({path.suffix or 'no suffix'})"
        raise DataError(f"{path} is {what}.", hint=f"Name a file that ends in {', '.join(_READERS)}.")
    try:
        columns, rows = reader(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    return Source(name=path.stem, where=str(path), columns=columns, rows=rows)


def _sample(seed: int) -> Source:
    def rows(text: str, label: str) -> Iterator[Row]:
        columns = {"text": 0, "label": 1}
        for number, pair in enumerate(sample.generate(seed), start=1):
            yield Row(number, pair[columns[text]], pair[columns[label]])

    where = f"{sample.DESCRIPTION}, seed {seed}"
    return Source(name=sample.NAME, where=where, columns=("text", "label"), rows=rows, synthetic=True)


_Opened = tuple[tuple[str, ...], Callable[[str, str], Iterator[Row]]]


def _csv(path: Path) -> _Opened:
    content = _decoded(path)
    header = next(_csv_records(path, content), None)
    if header is None or not any(header[1]):
        raise DataError(f"{path} is empty.", hint="Its first line should name the columns.")
    columns = tuple(header[1])

    def rows(text: str, label: str) -> Iterator[Row]:
        at_text, at_label = columns.index(text), columns.index(label)
        records = _csv_records(path, content)
        next(records)
        for line, fields in records:
            if not fields:
                continue
            if len(fields) != len(columns):
                raise DataError(
                    f"{path}:{line}: {len(fields)} fields, where the header names {len(columns)} columns.",
                    hint="A text with a comma, a quote or a line break must stand in double quotes.",
                )
            yield Row(line, fields[at_text], fields[at_label].strip())

    return columns, rows


def _csv_records(path: Path, content: str) -> Iterator[tuple[int, list[str]]]:
    """Read records with the line each begins on: one record may span several lines."""
    csv.field_size_limit(_FIELD_LIMIT)
    reader = csv.reader(io.StringIO(content, newline=""), strict=True)
    line = 1
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(f"{path}:{line}: {error}.", hint="A quote in a quoted text is written twice.") from error
        if fields is None:
            return
        yield line, fields
        line = reader.line_num + 1


def _json(path: Path) -> _Opened:
    content = _decoded(path)
    records = _json_array if content.lstrip().startswith("[") else _json_lines
    columns = dict.fromkeys(name for _, record in records(path, content) for name in record)
    if not columns:
        raise DataError(
            f"{path} is empty.", hint='Each line should hold one object, such as {"text": "…", "label": "…"}.'
        )

    def rows(text: str, label: str) -> Iterator[Row]:
        for line, record in records(path, content):
            yield Row(line, _text(record.get(text), path, line, text), _label(record.get(label), path, line, label))

    return tuple(columns), rows


def _json_lines(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for line, entry in enumerate(content.split("\n"), start=1):
        if entry.strip():
            yield line, _record(_parsed(path, entry, line), path, line)


def _json_array(path: Path, content: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, entry in enumerate(_parsed(path, content, 1), start=1):
        yield number, _record(entry, path, number)


def _parsed(path: Path, text: str, line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{line + error.lineno - 1}: no valid JSON: {error.msg}.") from error


def _record(value: Any, path: Path, line: int) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise DataError(f"{path}:{line}: an object such as {{…}} should stand here, not a {type(value).__name__}.")
    return value


def _parquet(path: Path) -> _Opened:
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(path)
    except pyarrow.ArrowInvalid as error:
        raise DataError(f"{path} is no Parquet file, or is damaged: {error}.") from error

    def rows(text: str, label: str) -> Iterator[Row]:
        line = 0
        for batch in file.iter_batches(columns=[text, label]):
            for pair in zip(batch.column(text).to_pylist(), batch.column(label).to_pylist(), strict=True):
                line += 1
                yield Row(line, _text(pair[0], path, line, text), _label(pair[1], path, line, label))

    return tuple(file.schema_arrow.names), rows


def _decoded(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{path}:{line}: byte {content[error.start]:#04x} is no UTF-8.", hint="Save the file as UTF-8."
        ) from error


def _text(value: Any, path: Path, line: int, column: str) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    raise DataError(f"{path}:{line}: column {column!r} holds a {type(value).__name__}, not a text.")


def _label(value: Any, path: Path, line: int, column: str) -> str:
    """Give a class name: 1 and 1.0 are one class, true and True another."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if value is None or (isinstance(value, float) and value != value):
        return ""
    if isinstance(value, str | int | float):
        return str(value).strip()
    raise DataError(f"{path}:{line}: column {column!r} holds a {type(value).__name__}, not one class name or number.")


_READERS: dict[str, Callable[[Path], _Opened]] = {
    ".csv": _csv,
    ".jsonl": _json,
    ".ndjson": _json,
    ".json": _json,
    ".parquet": _parquet,
}
