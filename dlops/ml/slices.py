"""Parts of the rows that a model may be worse on: by a column, by length, by language, by words it never saw."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dlops.data import languages
from dlops.ml.datasets import Split
from dlops.ml.evaluation import Array, Labelled

FEWEST = 20
"""Rows below which a part is told, and is neither the worst nor has a gap to others: its figures say too little."""
_QUARTERS = (0.25, 0.5, 0.75)
_DISTINCT, _LISTED = 12, 20
"""Numbers of a column that stand for themselves; values of a column that are told apart, the most frequent ones."""
_WORD = re.compile(r"\w+")
_OTHERS, _NONE = "(others)", "(none)"


@dataclass(frozen=True)
class Slice:
    """The rows that have one value in common, judged alone."""

    column: str
    value: str
    judged: Labelled

    @property
    def name(self) -> str:
        return f"{self.column} = {self.value}"

    @property
    def counts(self) -> bool:
        """Whether there are enough rows to say something."""
        return self.judged.rows >= FEWEST

    @cached_property
    def figures(self) -> dict[str, float]:
        """Give every figure of its rows."""
        return self.judged.figures

    @cached_property
    def interval(self) -> tuple[float, float]:
        """Give the 95 % interval of its headline."""
        return self.judged.intervals()[self.judged.headline]


@dataclass(frozen=True)
class Slices:
    """All parts, by all that the rows are told apart by."""

    parts: tuple[Slice, ...]
    gaps: Mapping[str, float]
    """By figure, the greatest difference between two parts of the same column that count (fairlearn's MetricFrame)."""

    alike: tuple[str, ...] = ()
    """What told no rows apart, in words."""

    def worst(self, figure: str) -> Slice | None:
        """Give the part with the worst of a figure, of those that count."""
        counting = [part for part in self.parts if part.counts]
        return min(counting, key=lambda part: goodness(figure, part.figures[figure]), default=None)

    def figures(self) -> dict[str, float]:
        """Give `worst_slice.FIGURE` and `gap.FIGURE` of every figure; none where no part counts."""
        names = self.parts[0].figures if self.parts else ()
        worst = {name: part.figures[name] for name in names if (part := self.worst(name))}
        return {
            **{f"worst_slice.{name}": value for name, value in worst.items()},
            **{f"gap.{name}": value for name, value in self.gaps.items()},
        }


def goodness(figure: str, value: float) -> float:
    """Give a number that is the higher the better, whatever the figure."""
    return -value if figure in ("calibration_error", "rmse", "mae") else value


def of(judged: Labelled, split: Split, by: Sequence[str], train: Split) -> Slices:
    """Judge the parts of the rows; `train` says which words the model saw."""
    parts: list[Slice] = []
    alike: list[str] = []
    gaps: dict[str, float] = {}
    for column in by:
        values = np.array(_values(column, split, train), dtype=object)
        named = [value for value, _ in Counter(values.tolist()).most_common()]
        if len(named) < 2:
            alike.append(f"slice_by={column} tells no rows apart: all are {''.join(named)}")
            continue
        found = [
            Slice(column, value, judged.at(np.flatnonzero(values == value))) for value in sorted(named, key=_order)
        ]
        parts += found
        counting = [part.value for part in found if part.counts]
        if len(counting) > 1:
            for name, gap in _gaps(judged, values, counting).items():
                gaps[name] = max(gap, gaps.get(name, 0.0))
    return Slices(tuple(parts), gaps, tuple(alike))


def _gaps(judged: Labelled, values: Array, counting: Sequence[str]) -> dict[str, float]:
    """Give the greatest difference of each figure between two values."""
    from fairlearn.metrics import MetricFrame

    rows = np.flatnonzero(np.isin(values, counting))
    figure_of = {name: _figure(judged, name) for name in judged.figures}
    frame = MetricFrame(metrics=figure_of, y_true=rows, y_pred=rows, sensitive_features=values[rows])
    return {name: float(gap) for name, gap in frame.difference(method="between_groups").items()}


def _figure(judged: Labelled, name: str) -> Callable[[Any, Any], float]:
    def of_rows(rows: Any, _: Any) -> float:
        return judged.at(np.asarray(rows)).figures[name]

    return of_rows


def _values(column: str, split: Split, train: Split) -> list[str]:
    """Give the value that tells each row apart."""
    if column in split.columns:
        return _of_column(split.columns[column])
    match column:
        case "length":
            return _ranges([len(text.split()) for text in split.texts], "{} to {} words")
        case "language":
            return [languages.of(text) or "(too short)" for text in split.texts]
        case "rare_words":
            seen = {word for text in train.texts for word in _words(text)}
            unseen = [_share([word not in seen for word in _words(text)]) for text in split.texts]
            return _ranges([round(100 * share, 1) for share in unseen], "{} to {} % unseen words")
    raise ValueError(column)


BUILT_IN = ("length", "language", "rare_words")
"""What rows can be told apart by without a column."""


def _of_column(values: Sequence[Any]) -> list[str]:
    numbers = all(isinstance(value, int | float | None) and not isinstance(value, bool) for value in values)
    there = {value for value in values if value is not None} if numbers else set()
    if numbers and len(there) > _DISTINCT:
        known = iter(_ranges([value for value in values if value is not None], "{} to {}"))
        return [_NONE if value is None else next(known) for value in values]
    texts = [_NONE if value is None else str(value) for value in values]
    listed = {name for name, _ in Counter(texts).most_common(_LISTED)}
    return [text if text in listed else _OTHERS for text in texts]


def _ranges(numbers: Sequence[float], told: str) -> list[str]:
    """Name the quarter that each number is in by its least and greatest number; of numbers alike there are fewer."""
    found = np.asarray(numbers, float)
    edges = np.unique(np.quantile(found, _QUARTERS, method="lower"))
    places = np.searchsorted(edges, found, side="left")
    series = pd.Series(found).groupby(places)
    names = {place: told.format(f"{some.min():g}", f"{some.max():g}") for place, some in series}
    return [names[place] for place in places]


def _order(value: str) -> tuple[bool, float, str]:
    """Sort ranges by their beginning, and names by their letters."""
    begins = re.match(r"-?\d+(\.\d+)?(e[+-]?\d+)?(?=( to |$))", value)
    return (begins is None, float(begins[0]) if begins else 0.0, value)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0
