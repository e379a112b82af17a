"""What many explanations come to: strongest words of each label, errors, rows that model and data disagree on."""

from __future__ import annotations

import heapq
import itertools
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlops.ml.explanations import Explanation

_WORDS = 15
"""Words of each label that are listed."""
_TIMES = 2
"""That a word must occur to be listed: what one text says once is no pattern."""


@dataclass(frozen=True)
class Word:
    """What a word adds to a label's probability."""

    word: str
    mean: float
    """Over its occurrences."""
    count: int
    total: float

    def as_dict(self) -> dict[str, Any]:
        return {"word": self.word, "mean": self.mean, "count": self.count}


class Collected:
    """Takes explanations as they come, and keeps few of them."""

    def __init__(self, *, shown: int, listed: int) -> None:
        """Keep the first `shown`, and those `listed` that model and data disagree on most surely."""
        self._shown, self._listed = shown, listed
        self.rows = 0
        self.labels: Counter[str] = Counter()
        self.first: list[Explanation] = []
        self.largest_error = 0.0
        self._errors = 0.0
        self._wrong: list[tuple[float, int, Explanation]] = []
        self._number = itertools.count()
        self._sums: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)

    def add(self, found: Iterable[Explanation]) -> None:
        """Take some more."""
        for one in found:
            self.rows += 1
            self.labels[one.target] += 1
            self._errors += one.error
            self.largest_error = max(self.largest_error, one.error)
            if len(self.first) < self._shown:
                self.first.append(one)
            if one.disagrees and self._listed:
                heapq.heappush(self._wrong, (one.output, -next(self._number), one))
                if len(self._wrong) > self._listed:
                    heapq.heappop(self._wrong)
            for word, value in one.words():
                self._sums[one.target][word.lower()] += value  # type: ignore[assignment]
                self._counts[one.target][word.lower()] += 1

    @property
    def mean_error(self) -> float:
        """How far base and values together are from the output, on average."""
        return self._errors / max(1, self.rows)

    @property
    def wrong(self) -> list[Explanation]:
        """Rows whose label in the data is another one, the surest answers first."""
        return [one for *_, one in sorted(self._wrong, key=lambda entry: (-entry[0], -entry[1]))]

    def means(self, label: str) -> dict[str, float]:
        """Give what each word that occurs often enough adds to a label, on average."""
        counts = self._counts[label]
        return {word: total / counts[word] for word, total in self._sums[label].items() if counts[word] >= _TIMES}

    def words(self, label: str) -> list[Word]:
        """Give the words that add most to a label in all, the strongest first."""
        counts = self._counts[label]
        found = [
            Word(word, total / counts[word], counts[word], total)
            for word, total in self._sums[label].items()
            if counts[word] >= _TIMES and total > 0
        ]
        return sorted(found, key=lambda one: (-one.total, one.word))[:_WORDS]


@dataclass(frozen=True)
class Contrast:
    """What two models look at in the same texts, for the same labels."""

    rows: int
    """That could be compared word by word."""
    correlation: float
    """Spearman's rank correlation of the words' values, the mean over the rows."""
    gained: tuple[tuple[str, float], ...]
    """Words that add more to the labels with this model, by how much on average."""
    lost: tuple[tuple[str, float], ...]
    correlations: Mapping[str, float]
    """By row."""

    def as_dict(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "correlation": self.correlation if self.rows else None,
            "gained": [{"word": word, "difference": value} for word, value in self.gained],
            "lost": [{"word": word, "difference": value} for word, value in self.lost],
        }


def contrast(model: Sequence[Explanation], other: Sequence[Explanation]) -> Contrast:
    """Compare two models' explanations of the same texts, row by row; rows that they part otherwise are left out."""
    from scipy.stats import spearmanr

    differences: defaultdict[str, list[float]] = defaultdict(list)
    correlations: dict[str, float] = {}
    for one, another in zip(model, other, strict=True):
        mine, its = one.words(), another.words()
        if [word for word, _ in mine] != [word for word, _ in its] or len(mine) < 2:
            continue
        values = np.array([[value for _, value in mine], [value for _, value in its]])
        rank = float(spearmanr(*values).statistic)
        if np.isfinite(rank):
            correlations[one.id] = rank
        for (word, value), (_, before) in zip(mine, its, strict=True):
            differences[word.lower()].append(value - before)
    means = {word: float(np.mean(some)) for word, some in differences.items() if len(some) >= _TIMES}
    ranked = sorted(means.items(), key=lambda entry: (-entry[1], entry[0]))
    return Contrast(
        rows=len(correlations),
        correlation=float(np.mean(list(correlations.values()))) if correlations else float("nan"),
        gained=tuple(entry for entry in ranked[:_WORDS] if entry[1] > 0),
        lost=tuple(entry for entry in ranked[::-1][:_WORDS] if entry[1] < 0),
        correlations=correlations,
    )
