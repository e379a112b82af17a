"""How the rows of a dataset are spread over splits and labels."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import splits, tables

ALL = "all"
"""The split of a table that has none."""


@dataclass
class Numbers:
    """Labels that are numbers, told by their bounds and their mean."""

    count: int = 0
    total: float = 0.0
    smallest: float = float("inf")
    largest: float = float("-inf")

    def add(self, values: Any) -> None:
        """Take an Arrow array of numbers."""
        if count := len(values) - values.null_count:
            bounds = pc.min_max(values).as_py()
            self.count += count
            self.total += pc.sum(values).as_py()
            self.smallest, self.largest = min(self.smallest, bounds["min"]), max(self.largest, bounds["max"])

    def as_dict(self) -> dict[str, float]:
        """Give what can be printed."""
        if not self.count:
            return {}
        return {"minimum": self.smallest, "mean": self.total / self.count, "maximum": self.largest}


@dataclass
class Shares:
    """Rows by split, and within each split by label."""

    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    labels: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Label → split → rows; a row of several labels counts for each of them."""
    numbers: dict[str, Numbers] = field(default_factory=lambda: defaultdict(Numbers))
    """Split → its labels, where labels are numbers."""
    labelled: bool = False
    """Whether there is a column of labels."""

    @property
    def total(self) -> int:
        return sum(self.rows.values())

    def add(self, label: Any, split: Any) -> None:
        """Take as many labels as splits, as Arrow arrays; `None` where the table has no such column."""
        self.labelled |= not pa.types.is_null(label.type)
        for name, here in _by_split(split, label):
            self.rows[name] += len(here)
            if pa.types.is_floating(here.type):
                self.numbers[name].add(here)
            elif not pa.types.is_null(here.type):
                values = pc.list_flatten(here) if _is_list(here.type) else here
                for entry in pc.value_counts(pc.cast(values, pa.string())).to_pylist():
                    self.labels[entry["values"] or ""][name] += entry["counts"]

    def share(self, label: str, split: str) -> float:
        """Give the part of a split's rows that have a label."""
        rows = self.rows.get(split, 0)
        return self.labels.get(label, {}).get(split, 0) / rows if rows else 0.0

    def splits(self) -> list[str]:
        """Give the splits that have rows, in the order of their use."""
        return sorted(self.rows, key=lambda name: (splits.NAMES.index(name) if name in splits.NAMES else 99, name))

    def as_dict(self) -> dict[str, Any]:
        """Give rows as plain values, and shares and numbers where there are labels."""
        names = self.splits()
        rows = {"rows": self.total, "rows_by_split": {name: self.rows[name] for name in names}}
        if not self.labelled:
            return rows
        return {
            **rows,
            "label_shares": {label: {name: self.share(label, name) for name in names} for label in sorted(self.labels)},
            "label_numbers": {name: self.numbers[name].as_dict() for name in names if name in self.numbers},
        }


def count(table: deltalake.DeltaTable) -> Shares:
    """Count the rows of an open table; only labels and splits are read.

    Raises:
        DataError: they cannot be read.
    """
    found = Shares()
    names = [field.name for field in table.schema().fields]
    wanted = [name for name in ("label", "split") if name in names]
    for batch in tables.batches(table, wanted or names[:1]):
        found.add(*of_batch(batch))
    return found


def of_batch(batch: Any) -> tuple[Any, Any]:
    """Give the columns `label` and `split` of a batch, nothing where it has none."""
    names = batch.schema.names
    label = batch.column("label") if "label" in names else pa.nulls(len(batch))
    return label, batch.column("split") if "split" in names else None


def written(labels: Any) -> Any:
    """Give an Arrow array of labels as texts, several of one row as a JSON list."""
    if _is_list(labels.type):
        texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in labels.to_pylist()]
        return pa.array(texts, pa.string())
    return pc.cast(labels, pa.string())


def _by_split(split: Any, label: Any) -> Iterator[tuple[str, Any]]:
    if split is None:
        yield ALL, label
        return
    for value in pc.unique(split).to_pylist():
        here = pc.is_null(split) if value is None else pc.fill_null(pc.equal(split, value), False)
        yield str(value or ""), label.filter(here)


def _is_list(kind: Any) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))
