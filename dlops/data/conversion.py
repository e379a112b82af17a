"""From a chunk of rows as they were read to rows that can be used: cleaned, labelled, keyed; each chunk on its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import splits, staging
from dlops.data.cleaning import Changes, Cleaning
from dlops.data.columns import Roles
from dlops.data.distributions import Lengths
from dlops.data.labels import Labels
from dlops.data.rows import Chunk, Reject, Values, distinct
from dlops.data.staging import Table
from dlops.data.tally import Tally
from dlops.errors import DataError


@dataclass
class Counts(Tally):
    """Where the rows went: `rows_in` is the sum of `rows` and of all that were left out."""

    rows_in: int = 0
    rejects: int = 0
    """Rows that could not be read or used."""
    empty: int = 0
    """Rows without a text, or without a label where there are labels."""
    short: int = 0
    long: int = 0
    """Rows whose text is beyond the bounds."""
    duplicates: int = 0
    near_duplicates: int = 0
    rows: int = 0
    conflicting: int = 0
    """Those among the duplicates whose label is another one; the first stays."""
    leaking: int = 0
    """Those among the duplicates that the source has in another split."""


@dataclass
class Converted:
    """What became of a chunk."""

    rows: Table
    """Rows that can be used: `key` (uint64), `text`, and where the roles name them `label`, `text_pair`, `own_split`,
    `group` and kept columns; all but the key are texts, labels in canonical form."""
    counts: Counts
    changes: Changes
    as_read: Lengths
    """Lengths of the texts before they were cleaned."""
    rejects: list[Reject]
    """Rows that cannot be used, and those before them that could not be read."""
    position: int = 0
    """Bytes of the source that were read so far; 0 where that is not known."""
    node: str = ""
    """The node of a cluster that converted it; nothing where this process did."""


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """Converts chunks. It keeps nothing between them, so that they can be converted side by side."""

    roles: Roles
    labels: Labels | None
    """How labels are read; `None` where no column holds any."""
    cleaning: Cleaning

    def __call__(self, chunk: Chunk, unread: Sequence[Reject] = ()) -> Converted:
        """Convert a chunk; `unread` are rows before it that could not be read.

        Raises:
            DataError: it lacks a column that the first chunk had.
        """
        roles = self.roles
        check_columns(chunk, roles)
        problems: dict[int, str] = {}
        changes, as_read = Changes(), Lengths()
        raw = {name: texts_of(chunk, column, problems) for name, column in roles.texts().items()}
        as_read.add(raw["text"].filter(pc.not_equal(raw["text"], "")))
        found = {name: self.cleaning.column(column, changes) for name, column in raw.items()}
        if self.labels:
            found["label"] = _read(chunk, roles.label, self.labels.canonical, problems)
        if roles.split:
            found["own_split"] = _read(chunk, roles.split, splits.own, problems)
        if roles.group:
            found["group"] = written(chunk.columns[roles.group])
        found |= {name: written(chunk.columns[name]) for name in roles.keep}
        rejects = [Reject(chunk.file, chunk.lines[place], reason) for place, reason in sorted(problems.items())]
        counts = Counts(rows_in=len(unread) + len(chunk.lines), rejects=len(unread) + len(rejects))
        rows = self._usable(pa.table(found), list(problems), counts)
        return Converted(rows, counts, changes, as_read, [*unread, *rejects], chunk.position)

    def nothing(self, unread: Sequence[Reject]) -> Converted:
        """Give what becomes of rows that could not be read, behind the last chunk."""
        counts = Counts(rows_in=len(unread), rejects=len(unread))
        return Converted(pa.table({}), counts, Changes(), Lengths(), list(unread))

    def _usable(self, rows: Table, problems: list[int], counts: Counts) -> Table:
        left = np.ones(len(rows), bool)
        left[problems] = False

        def leave_out(these: Any) -> int:
            going = left & these
            left[going] = False
            return int(going.sum())

        characters = pc.utf8_length(rows["text"]).to_numpy()
        unlabelled = rows["label"].is_null().to_numpy() if self.labels else False
        counts.empty = leave_out((characters == 0) | unlabelled)
        counts.short = leave_out(characters < self.cleaning.min_characters)
        counts.long = leave_out(characters > (self.cleaning.max_characters or np.inf))
        usable = rows if left.all() else rows.filter(pa.array(left))
        texts = [usable[name].combine_chunks() for name in self.roles.texts()]
        return usable.add_column(0, "key", pa.array(staging.keys(*texts)))


def check_columns(chunk: Chunk, roles: Roles) -> None:
    """Refuse a chunk without a column that plays a role.

    Raises:
        DataError: it lacks one.
    """
    missing = [name for name in roles.columns() if name not in chunk.columns]
    if missing:
        there = ", ".join(chunk.columns)
        raise DataError(f"{chunk.file} has no column {missing[0]!r}.", hint=f"Its columns are {there}.")


def written(values: Values) -> Any:
    """Give a column's values as Arrow texts, what is no text as JSON."""
    if isinstance(values, pa.Array):
        return values if pa.types.is_string(values.type) else written(values.to_pylist())
    return pa.array(map(_written, values), pa.string())


def texts_of(chunk: Chunk, column: str, problems: dict[int, str]) -> Any:
    """Give a column's texts as an Arrow array, a missing one empty; what is no text is a problem of its row."""
    values = chunk.columns[column]
    if isinstance(values, pa.Array):
        return pc.fill_null(values, "")
    texts = []
    for place, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            problems[place] = f"column {column!r} holds a {type(value).__name__}, not a text"
        elif value and not _encodes(value):
            problems[place] = f"column {column!r} holds half a character (a lone surrogate)"
        texts.append(value if isinstance(value, str) and place not in problems else "")
    return pa.array(texts, pa.string())


def _read(chunk: Chunk, column: str, read: Callable[[Any], str | None], problems: dict[int, str]) -> Any:
    """Read a column's values as canonical texts, each different one once; one that is wrong is a problem of its row."""
    places, different = distinct(chunk.columns[column])
    texts: list[str | None] = []
    wrong: dict[int, str] = {}
    for value in different:
        try:
            texts.append(read(value))
        except ValueError as error:
            wrong[len(texts)] = f"column {column!r}: {error}"
            texts.append(None)
    for place in np.flatnonzero(np.isin(places, list(wrong))).tolist() if wrong else ():
        problems.setdefault(place, wrong[int(places[place])])
    return pa.array(texts, pa.string()).take(pa.array(places))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _written(value: Any) -> str | None:
    if value is None or (isinstance(value, str) and _encodes(value)):
        return value
    return json.dumps(value, default=str)
