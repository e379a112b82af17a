"""Rows of texts as they lie in a source, a window of them after the other, each with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from dlops.data import columns, conversion
from dlops.data.columns import Roles, Wanted
from dlops.data.rows import Chunk, Reject
from dlops.data.sources import Source

EMPTY = "the text is empty"


@dataclass(frozen=True)
class Place:
    """Where a row lies."""

    row: int
    """Its number in the whole source, counted from 0; what could not be read has none and is -1."""
    file: str
    line: int


@dataclass
class Window:
    """Some rows that follow each other."""

    number: int
    places: list[Place] = field(default_factory=list)
    texts: list[tuple[str, ...]] = field(default_factory=list)
    """A text, or a pair of them, for each place."""
    kept: dict[str, list[Any]] = field(default_factory=dict)
    """Further columns, as texts."""
    rejected: list[tuple[Place, str]] = field(default_factory=list)
    """Rows that cannot be answered, and why."""
    position: int = 0
    """Bytes of the source that were read so far; 0 where that is not known."""

    @property
    def rows(self) -> int:
        """Rows of the source that are in it, answered or not."""
        return len(self.places) + sum(place.row >= 0 for place, _ in self.rejected)


def windows(source: Source, wanted: Wanted, rows: int) -> Iterator[Window]:
    """Read a source, so many rows at a time: the same rows in the same windows each time.

    Raises:
        DataError: its columns cannot be matched, or reading ends.
    """
    unread: list[Reject] = []
    window, row, before = Window(0), 0, 0
    roles: Roles | None = None
    for chunk in source.chunks(unread.append):
        roles = roles or columns.choose(tuple(chunk.columns), wanted, where=source.where)
        texts, problems, kept = _columns(chunk, roles)
        for number, line in enumerate(chunk.lines):
            if len(window.places) + len(window.rejected) >= rows:
                window.position = before + (chunk.position - before) * number // len(chunk.lines)
                yield window
                window = Window(window.number + 1)
            place = Place(row, chunk.file, line)
            row += 1
            text = tuple(column[number] for column in texts)
            if reason := problems.get(number) or (not text[0].strip() and EMPTY):
                window.rejected.append((place, reason))
                continue
            window.places.append(place)
            window.texts.append(text)
            for name, values in kept.items():
                window.kept.setdefault(name, []).append(values[number])
        window.position = before = chunk.position
        _take(unread, window)
    _take(unread, window)
    if window.places or window.rejected:
        yield window


def _take(unread: list[Reject], window: Window) -> None:
    window.rejected += [(Place(-1, one.file, one.line), one.reason) for one in unread]
    unread.clear()


def _columns(chunk: Chunk, roles: Roles) -> tuple[list[list[str]], dict[int, str], dict[str, list[Any]]]:
    """Give the texts of a chunk by their roles, what is wrong with a row, and the columns that are kept."""
    conversion.check_columns(chunk, roles)
    problems: dict[int, str] = {}
    texts = [conversion.texts_of(chunk, column, problems).to_pylist() for column in roles.texts().values()]
    kept = {name: conversion.written(chunk.columns[name]).to_pylist() for name in roles.keep}
    return texts, problems, kept


def table(window: Window, names: Sequence[str]) -> Any:
    """Give the places and kept columns of a window as an Arrow table."""
    found = {
        "row": pa.array([place.row for place in window.places], pa.int64()),
        "file": pa.array([place.file for place in window.places], pa.string()),
        "line": pa.array([place.line for place in window.places], pa.int64()),
    }
    kept = {name: pa.array(window.kept.get(name, []), pa.string()) for name in names}
    return pa.table(found | kept)
