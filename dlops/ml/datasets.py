"""Ingested datasets by reference: a table, one of its versions or moments, the output of a run, or a name."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from dlops.config import locations
from dlops.data import splits, tables
from dlops.data.labels import NONE
from dlops.errors import DataError

_OUTPUT = re.compile(r"runs:/([^/]+)/dataset")
_OWN = frozenset({"id", "text", "text_pair", "label", "split"})


@dataclass(frozen=True)
class Split:
    """Texts and their labels, row by row; a split may be empty."""

    texts: list[str]
    labels: list[Any]
    """A class, a list of classes or a number each; empty where no labels are read."""
    pairs: list[str] | None = None
    """Second texts, where a row is a pair."""
    columns: Mapping[str, list[Any]] = field(default_factory=dict)
    """Further columns that were asked for."""

    def __len__(self) -> int:
        return len(self.texts)

    def __add__(self, other: Split) -> Split:
        return Split(
            self.texts + other.texts,
            self.labels + other.labels,
            None if self.pairs is None or other.pairs is None else self.pairs + other.pairs,
            {name: values + other.columns[name] for name, values in self.columns.items()},
        )

    def at(self, places: Sequence[int]) -> Split:
        """Give some of the rows."""

        def those(values: list[Any]) -> list[Any]:
            return [values[place] for place in places]

        return Split(
            those(self.texts),
            those(self.labels) if self.labels else [],
            None if self.pairs is None else those(self.pairs),
            {name: those(values) for name, values in self.columns.items()},
        )

    def ids(self) -> list[str]:
        """Give the rows' ids."""
        pairs = self.pairs or itertools.repeat(None, len(self))
        return [identity(text, pair) for text, pair in zip(self.texts, pairs, strict=True)]


class Row(NamedTuple):
    """One row as the table has it."""

    id: str
    label: Any
    split: str
    text: str
    pair: str | None
    more: tuple[Any, ...]


@dataclass(frozen=True)
class Dataset:
    """One version of an ingested dataset, in memory; rows are ordered by id, so that equal data trains equally."""

    uri: str
    version: int
    digest: str
    source: str
    """What the data was made from, in words or as a path."""
    synthetic: bool
    labels: tuple[str, ...]
    """The classes, in alphabetical order; their places are the model's outputs. A number has none, nor has `none`."""
    train: Split
    val: Split
    test: Split
    kind: str = "classes"
    """What a label is: `classes` (one of them), `multilabel` (any number of them) or `number`; `none` where no labels
    are read."""
    cleaning: Mapping[str, Any] | None = None
    """How the texts were cleaned (`dlops.data.cleaning.Cleaning.as_dict`), where the table says so."""

    @property
    def name(self) -> str:
        return Path(self.uri).name

    @property
    def unit(self) -> float:
        """The variance of the train rows' numbers, in which errors are told; 1 where labels are no numbers."""
        return float(np.var(self.train.labels)) or 1.0 if self.kind == "number" else 1.0

    @property
    def reference(self) -> str:
        return f"{self.uri}@{self.version}"

    @property
    def rows(self) -> int:
        return len(self.train) + len(self.val) + len(self.test)


def open(  # noqa: A001 (read as `datasets.open`)
    reference: str, *, labelled: bool = True, more: Sequence[str] = (), optional: Sequence[str] = ()
) -> Dataset:
    """Read the dataset that `reference` names, with `more` columns of those that were kept; some are `optional`.

    Without `labelled` its texts are read alone, whether it has labels or not, and only train rows must be there.

    Raises:
        DataError: it is not there, is no ingested dataset, has no labels or no such column, or cannot be trained and
            tested on.
    """
    uri, version = locate(reference)
    table, description = tables.read(uri, version)
    there = [field.name for field in table.schema().fields]
    wanted = ("text", "label", "split") if labelled else ("text", "split")
    missing = [name for name in wanted if name not in there]
    if missing == ["label"]:
        raise DataError(f"{uri} has no labels.", hint="Ingest it with label=…, or train with objective=mlm.")
    if missing:
        raise DataError(
            f"{uri} is no ingested dataset: it has no column {', '.join(missing)}.",
            hint=f"Its columns are {', '.join(there)}. Run `dlops ingest` on the data it was made from.",
        )
    more = [name for name in dict.fromkeys(more) if name in there or name not in optional]
    if unknown := [name for name in more if name not in there or name in _OWN]:
        kept = ", ".join(name for name in there if name not in _OWN) or "none"
        raise DataError(
            f"{uri} has no column {', '.join(unknown)}; beside text and label it has {kept}.",
            hint="Ingest it with keep=COLUMN.",
        )
    paired = "text_pair" in there
    columns = [*wanted, *(["text_pair"] if paired else []), *more]
    content = table.to_pyarrow_table(columns=columns, filesystem=tables.filesystem(table))
    kind = _kind(content.schema.field("label").type) if labelled else NONE
    rows = sorted(
        (
            Row(identity(text, pair), label, split, text, pair, others)
            for text, pair, label, split, others in zip(
                content["text"].to_pylist(),
                content["text_pair"].to_pylist() if paired else itertools.repeat(None, len(content)),
                content["label"].to_pylist() if labelled else itertools.repeat(None, len(content)),
                content["split"].to_pylist(),
                _rows_of([content[name].to_pylist() for name in more], len(content)),
                strict=True,
            )
        ),
        key=lambda row: (row.id, row.split, str(row.label)),
    )
    return Dataset(
        uri=uri,
        version=table.version(),
        digest=description.get("digest") or tables.digest(map(_digested, rows)),
        source=str(description.get("source", uri)),
        synthetic=bool(description.get("synthetic", False)),
        labels=_labels(rows, uri, kind),
        train=_split(rows, "train", uri, kind, more),
        val=_split(rows, "val", uri, kind, more),
        test=_split(rows, "test", uri, kind, more),
        kind=kind,
        cleaning=description.get("cleaning"),
    )


def drawn(rows: int, most: int, seed: int) -> list[int]:
    """Draw at most so many of the rows by chance; give their places, in their order."""
    return sorted(np.random.default_rng(seed).choice(rows, min(rows, most), replace=False).tolist())


def locate(reference: str) -> tuple[str, int | str | None]:
    """Give the table's place, and the version (a number), the time (ISO 8601) or `None` for the last.

    Raises:
        DataError: a run is named that has no dataset.
    """
    output = _OUTPUT.fullmatch(reference)
    if output:
        return locate(_output(output[1]))
    name, version = locations.versioned(reference)
    return name if "://" in name else str(locations.place(name)), version


def cleaning(reference: str) -> Mapping[str, Any] | None:
    """Say how the texts of a dataset were cleaned, where its table says so.

    Raises:
        DataError: there is none.
    """
    found: Mapping[str, Any] | None = tables.read(*locate(reference))[1].get("cleaning")
    return found


def _output(run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    from dlops.ml import record

    try:
        reference = record.output_of(run_id, "dataset")
    except MlflowException as error:
        raise DataError(f"The run {run_id} cannot be read: {error.message}.") from error
    if reference is None:
        raise DataError(f"The run {run_id} has no dataset among its outputs.", hint="Name a run of `dlops ingest`.")
    return reference


def _kind(column: Any) -> str:
    """Tell what labels are by the type of their column."""
    if pa.types.is_floating(column) or pa.types.is_integer(column):
        return "number"
    return "multilabel" if pa.types.is_list(column) or pa.types.is_large_list(column) else "classes"


def _digested(row: Row) -> tuple[str, ...]:
    return (row.id, row.split) if row.label is None else (row.id, str(row.label), row.split)


def identity(text: str, pair: str | None = None) -> str:
    """Give the id of a row: of a pair, that of both texts."""
    return splits.identity(text if pair is None else f"{text}\0{pair}")


def _rows_of(columns: list[list[Any]], count: int) -> Iterable[tuple[Any, ...]]:
    return zip(*columns, strict=True) if columns else itertools.repeat((), count)


def _split(rows: list[Row], name: str, uri: str, kind: str, more: Sequence[str]) -> Split:
    chosen = [row for row in rows if row.split == name]
    if not chosen and name in (splits.NEEDED if kind != NONE else splits.NEEDED[:1]):
        raise DataError(f"{uri} has no {name} rows.", hint="Ingest more rows, or other shares: splits=0.7,0.1,0.2.")
    pairs = None if rows[0].pair is None else [row.pair or "" for row in chosen]
    labels = [row.label for row in chosen] if kind != NONE else []
    columns = {column: [row.more[place] for row in chosen] for place, column in enumerate(more)}
    return Split([row.text for row in chosen], labels, pairs, columns)


def _labels(rows: list[Row], uri: str, kind: str) -> tuple[str, ...]:
    if kind in ("number", NONE):
        return ()
    several = kind == "multilabel"
    found, trained = (
        {label for row in some for label in (row.label if several else [row.label])}
        for some in (rows, [row for row in rows if row.split == "train"])
    )
    if len(trained) < (1 if several else 2):
        raise DataError(
            f"The train rows of {uri} are all of one class ({', '.join(trained) or 'none'}).",
            hint="A classifier needs two classes at least; ingest rows of another one.",
        )
    return tuple(sorted(found))
