"""Rows worth keeping: no empty ones, and each text once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from dlops.data.sources import Row


@dataclass
class Cleaned:
    """What is left of the rows, in the order they came, and how many went for what reason."""

    labels: dict[str, str] = field(default_factory=dict)
    """The label of each text."""
    rows_in: int = 0
    empty: int = 0
    """Rows without a text or without a label."""
    duplicates: int = 0
    """Rows whose text had come before."""
    conflicting: int = 0
    """Those among the duplicates whose label is another one; the first stays."""


def clean(rows: Iterable[Row]) -> Cleaned:
    """Drop empty rows and exact duplicates of a text; `rows_in` = rows kept + `empty` + `duplicates`."""
    result = Cleaned()
    for row in rows:
        result.rows_in += 1
        if not row.text.strip() or not row.label:
            result.empty += 1
        elif row.text in result.labels:
            result.duplicates += 1
            result.conflicting += result.labels[row.text] != row.label
        else:
            result.labels[row.text] = row.label
    return result
