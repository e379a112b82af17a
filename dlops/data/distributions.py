"""How long texts are and which labels they have, by split and by slice, counted exactly while rows stream past."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import raw_bytes, shares
from dlops.data.shares import Shares
from dlops.data.staging import Table

_LONGEST = 1_000_000
"""Words from which on lengths are not told apart."""
_SLICES = 100_000
"""Values of a column of slices that are counted; later ones are left out."""


@dataclass
class Lengths:
    """How many texts have how many words, a word being what stands between blanks."""

    counts: Any = field(default_factory=lambda: np.zeros(1, np.int64))
    """Texts at each number of words."""

    def add(self, texts: Any) -> None:
        """Take an Arrow array of texts."""
        self.merge(Lengths(np.bincount(np.minimum(words(texts), _LONGEST), minlength=1)))

    def merge(self, other: Lengths) -> None:
        """Take those of other texts."""
        short, long = sorted((self.counts, other.counts), key=len)
        self.counts = long.copy()
        self.counts[: len(short)] += short

    @property
    def texts(self) -> int:
        return int(self.counts.sum())

    @property
    def shortest(self) -> int:
        return int(np.flatnonzero(self.counts)[0]) if self.texts else 0

    @property
    def longest(self) -> int:
        return int(np.flatnonzero(self.counts)[-1]) if self.texts else 0

    def quantile(self, share: float) -> int:
        """Give the number of words that this share of the texts does not exceed."""
        return int(np.searchsorted(np.cumsum(self.counts), share * self.texts)) if self.texts else 0

    def beyond(self, length: float) -> int:
        """Count the texts with more words than this."""
        return int(self.counts[int(length) + 1 :].sum())

    def histogram(self, bins: int = 30) -> list[tuple[int, int, int]]:
        """Give bins of equal ratios, since lengths spread over magnitudes: first and last words, and texts."""
        if not self.texts:
            return []
        edges = np.geomspace(max(1, self.shortest), self.longest + 1, bins + 1).round().astype(int)
        edges = np.unique(np.concatenate([[self.shortest], edges[1:]]))
        pairs = zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)
        return [(start, end - 1, int(self.counts[start:end].sum())) for start, end in pairs]

    def as_dict(self) -> dict[str, Any]:
        quantiles = {f"p{share}": self.quantile(share / 100) for share in (5, 25, 50, 75, 95, 99)}
        mean = float((self.counts * np.arange(len(self.counts))).sum() / max(1, self.texts))
        bins = [{"from": first, "to": last, "texts": texts} for first, last, texts in self.histogram()]
        return {"min": self.shortest, "max": self.longest, "mean": mean, **quantiles, "histogram": bins}


@dataclass
class Slices:
    """Rows by the values of one column, and within each by label."""

    rows: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    labels: dict[str, dict[str, int]] = field(default_factory=lambda: defaultdict(lambda: defaultdict(int)))
    """Value → label → rows."""
    left_out: int = 0
    """Rows with a value that came after so many others that it is not counted."""

    def add(self, values: Any, labels: Any) -> None:
        """Take Arrow arrays of values and of labels."""
        values = pc.cast(values, pa.string())
        for entry in pc.value_counts(values).to_pylist():
            value, count = entry["values"] or "", entry["counts"]
            if value in self.rows or len(self.rows) < _SLICES:
                self.rows[value] += count
            else:
                self.left_out += count
        if pa.types.is_list(labels.type):
            values, labels = values.take(pc.list_parent_indices(labels)), pc.list_flatten(labels)
        counted = (
            pa.table({"value": values, "label": labels}).group_by(["value", "label"]).aggregate([([], "count_all")])
        )
        for entry in counted.to_pylist():
            if (value := entry["value"] or "") in self.rows:
                self.labels[value][entry["label"] or ""] += entry["count_all"]

    def largest(self, count: int) -> list[str]:
        """Give the values with the most rows."""
        return sorted(self.rows, key=lambda value: (-self.rows[value], value))[:count]


@dataclass
class Distributions:
    """What a data card draws."""

    slice_by: Sequence[str] = ()
    """Columns whose values are slices."""
    lengths: Lengths = field(default_factory=Lengths)
    shares: Shares = field(default_factory=Shares)
    slices: dict[str, Slices] = field(default_factory=lambda: defaultdict(Slices))
    """By column, for labels that are classes."""

    def add(self, table: Table) -> None:
        """Take rows."""
        self.lengths.add(table["text"])
        label, split = shares.of_batch(table)
        self.shares.add(label, split)
        for column in self.slice_by:
            if column in table.column_names and not (pa.types.is_floating(label.type) or pa.types.is_null(label.type)):
                self.slices[column].add(table[column].combine_chunks(), label.combine_chunks())

    def as_dict(self) -> dict[str, Any]:
        slices = {
            column: [
                {"value": value, "rows": found.rows[value], "labels": dict(found.labels[value])}
                for value in found.largest(50)
            ]
            for column, found in self.slices.items()
        }
        return {"words": self.lengths.as_dict(), **self.shares.as_dict(), "slices": slices}


def words(texts: Any) -> Any:
    """Count the words of each text of an Arrow array: where a byte that is no blank follows one that is."""
    parts = texts.chunks if isinstance(texts, pa.ChunkedArray) else [texts]
    return np.concatenate([np.zeros(0, np.int64), *(_words(part) for part in parts)])


def _words(texts: Any) -> Any:
    raw, bounds = raw_bytes.of(texts)
    filled = np.packbits(raw > ord(" "))
    before = filled >> 1
    before[1:] |= filled[:-1] << 7
    counts = raw_bytes.count(filled & ~before, bounds)
    joined = np.flatnonzero((bounds[:-1] > 0) & (bounds[:-1] < bounds[1:]))  # texts with no blank between them
    first = bounds[joined]
    counts[joined] += (raw[first] > ord(" ")) & (raw[first - 1] > ord(" "))
    return counts
