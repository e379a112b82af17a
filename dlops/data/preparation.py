"""From rows as they were read to rows as they are written: cleaned, labelled, each once, split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import columns, labels, splits, staging
from dlops.data.cleaning import Cleaning
from dlops.data.columns import Roles, Wanted
from dlops.data.labels import Labels
from dlops.data.rows import Chunk, OnReject, Reject
from dlops.data.sources import Source
from dlops.data.staging import Dropped, Staging, Table
from dlops.errors import DataError

_LABEL_TYPES = {"classes": pa.string(), "multilabel": pa.list_(pa.string()), "number": pa.float64()}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is made of the rows."""

    wanted: Wanted
    cleaning: Cleaning
    target: str = "auto"
    label_separator: str = ","
    label_map: tuple[str, ...] = ()
    shares: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0


@dataclass
class Counts:
    """Where the rows went: `rows_in` is the sum of `rows` and of all that were left out."""

    rows_in: int = 0
    rejects: int = 0
    """Rows that could not be read or used."""
    empty: int = 0
    """Rows without a text or without a label."""
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


class Preparation:
    """Reads a source into staging, and gives its rows as they are to be written, in the order of their ids."""

    def __init__(self, recipe: Recipe, source: Source, reject: OnReject) -> None:
        self.recipe, self._source, self._on_reject = recipe, source, reject
        self.counts = Counts()
        self.roles: Roles
        self.labels: Labels

    def read(self, staged: Staging, progress: Callable[[Chunk], None]) -> None:
        """Read all rows.

        Raises:
            DataError: the columns cannot be matched, no row is there, or (where rejects end the work) a row is wrong.
        """
        chosen = False
        for chunk in self._source.chunks(self._reject):
            if not chosen:
                chosen = self._choose(chunk)
            self._stage(chunk, staged)
            progress(chunk)
        if not chosen:
            raise DataError(f"{self._source.where} holds no rows.", hint="Is it the right file?")

    def finished(self, staged: Staging) -> Iterator[Table]:
        """Give the rows as they are to be written, a part at a time, each text once."""
        for part in staged.parts():
            kept, dropped = staging.once(part)
            self._count(dropped)
            yield self._finished(kept)

    def _reject(self, reject: Reject) -> None:
        self._on_reject(reject)
        self.counts.rejects += 1
        self.counts.rows_in += 1

    def _choose(self, chunk: Chunk) -> bool:
        recipe = self.recipe
        self.roles = columns.choose(tuple(chunk.columns), recipe.wanted, where=self._source.where)
        first = next((value for value in chunk.columns[self.roles.label] if value is not None), None)
        self.labels = labels.reader(recipe.target, first, recipe.label_separator, recipe.label_map)
        return True

    def _stage(self, chunk: Chunk, staged: Staging) -> None:
        roles, counts = self.roles, self.counts
        missing = [name for name in roles.columns() if name not in chunk.columns]
        if missing:
            there = ", ".join(chunk.columns)
            raise DataError(f"{chunk.file} has no column {missing[0]!r}.", hint=f"Its columns are {there}.")
        problems: dict[int, str] = {}
        texts = _texts(chunk, roles.text, problems)
        found: dict[str, list[Any]] = {"label": self.labels.column(chunk.columns[roles.label])}
        if roles.text_pair:
            found["text_pair"] = self.recipe.cleaning.texts(_texts(chunk, roles.text_pair, problems))
        if roles.group:
            found["group"] = [_written(value) for value in chunk.columns[roles.group]]
        if roles.split:
            found["own_split"] = [_caught(splits.own, value) for value in chunk.columns[roles.split]]
        for name in ("label", "own_split"):
            wrong = [(place, value) for place, value in enumerate(found.get(name, ())) if isinstance(value, ValueError)]
            problems |= {place: f"column {getattr(roles, name.removeprefix('own_'))!r}: {why}" for place, why in wrong}
        for name in roles.keep:
            found[name] = [_written(value) for value in chunk.columns[name]]
        found = {"text": self.recipe.cleaning.texts(texts), **found}
        counts.rows_in += len(chunk.lines) - len(problems)
        for place, reason in sorted(problems.items()):
            self._reject(Reject(chunk.file, chunk.lines[place], reason))
        self._add(found, problems, staged)

    def _add(self, found: dict[str, list[Any]], problems: dict[int, str], staged: Staging) -> None:
        bounds, counts = self.recipe.cleaning, self.counts
        usable = []
        for place, (text, label) in enumerate(zip(found["text"], found["label"], strict=True)):
            if place in problems:
                continue
            if not text or label is None:
                counts.empty += 1
            elif len(text) < bounds.min_characters:
                counts.short += 1
            elif bounds.max_characters and len(text) > bounds.max_characters:
                counts.long += 1
            else:
                usable.append(place)
        if not usable:
            return
        if len(usable) < len(found["text"]):
            found = {name: [values[place] for place in usable] for name, values in found.items()}
        key = staging.keys(found["text"], found.get("text_pair"))
        arrays = {name: pa.array(values, pa.string()) for name, values in found.items()}
        staged.add(pa.table({"key": pa.array(key), **arrays}))

    def _count(self, dropped: Dropped) -> None:
        self.counts.duplicates += dropped.duplicates
        self.counts.conflicting += dropped.conflicting
        self.counts.leaking += dropped.leaking

    def _finished(self, rows: Table) -> Table:
        roles = self.roles
        made = {"id": pa.array([f"{key:016x}" for key in rows["key"].to_pylist()]), "text": rows["text"]}
        if roles.text_pair:
            made["text_pair"] = rows["text_pair"]
        made["label"] = self._label_column(rows["label"])
        made["split"] = rows["own_split"] if roles.split else self._dealt(rows["group" if roles.group else "text"])
        if roles.group:
            made["group"] = rows["group"]
        return pa.table(made | {name: rows[name] for name in roles.keep})

    def _label_column(self, texts: Any) -> Any:
        if self.labels.kind == "number":
            return pc.cast(texts, pa.float64())
        if self.labels.kind == "multilabel":
            return pa.array([json.loads(text) for text in texts.to_pylist()], _LABEL_TYPES["multilabel"])
        return texts

    def _dealt(self, by: Any) -> Any:
        """Deal rows to splits: the same text, or the same group, always goes to the same one."""
        recipe = self.recipe
        return pa.array([splits.assign(text or "", recipe.shares, recipe.seed) for text in by.to_pylist()])


@dataclass
class Fingerprint:
    """The digest of a dataset: a hash over all that stands in its rows but the texts, which the ids stand for."""

    _hashed: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def update(self, rows: Table) -> None:
        """Take rows in the order of their ids."""
        names = [name for name in ("id", "label", "split", "group") if name in rows.column_names]
        names += [name for name in rows.column_names if name not in columns.OURS]
        values = [[_written(value) or "" for value in rows[name].to_pylist()] for name in names]
        lines = ["\0".join(row) for row in zip(*values, strict=True)]
        self._hashed.update(("\n".join(lines) + "\n").encode() if lines else b"")

    def hexdigest(self) -> str:
        return str(self._hashed.hexdigest())


def without(rows: Iterable[Table], ids: frozenset[str]) -> Iterator[Table]:
    """Give the rows but those of these ids."""
    if not ids:
        yield from rows
        return
    unwanted = pa.array(sorted(ids))
    for part in rows:
        yield part.filter(pc.invert(pc.is_in(part["id"], value_set=unwanted)))


def _texts(chunk: Chunk, column: str, problems: dict[int, str]) -> list[str]:
    """Give a column's texts, a missing one as an empty one; what is no text is a problem of its row."""
    values: Sequence[Any] = chunk.columns[column]
    if set(map(type, values)) <= {str} and _encodes("".join(values)):
        return list(values)
    texts = []
    for place, value in enumerate(values):
        if value is not None and not isinstance(value, str):
            problems[place] = f"column {column!r} holds a {type(value).__name__}, not a text"
        elif value and not _encodes(value):
            problems[place] = f"column {column!r} holds half a character (a lone surrogate)"
        texts.append(value if isinstance(value, str) and place not in problems else "")
    return texts


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _written(value: Any) -> str | None:
    """Write a value as a text: what is no text as JSON."""
    if value is None or (isinstance(value, str) and _encodes(value)):
        return value
    return json.dumps(value, default=str)


def _caught(read: Callable[[object], str], value: object) -> Any:
    try:
        return read(value)
    except ValueError as error:
        return error
