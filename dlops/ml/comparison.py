"""Two models on the same rows: is one better, how sure is that, and how many rows would it take to tell."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Literal, TypeAlias

import numpy as np

from dlops.ml.evaluation import Array, Labelled, Regression

Verdict: TypeAlias = Literal["better", "worse", "not_distinguishable"]

_SURE, _POWER = 0.95, 0.8
"""Of the interval, and that a difference which is there is found."""


@dataclass(frozen=True)
class Comparison:
    """How much a model's headline is above another's, on the same rows."""

    name: str
    """Of the headline."""
    value: float
    other: float
    low: float
    """End of the difference's 95 % interval (paired bootstrap over the rows)."""
    high: float
    rows: int
    needed: int | None
    """Rows that it would take to tell a difference as large as this, 80 times of 100; `None` where there is none."""
    mcnemar: float | None
    """Two-sided p-value of McNemar's exact test over the rows that one of them got right; `None` for numbers."""
    right_alone: tuple[int, int] | None
    """Rows that this model alone got right, and those that the other alone did; `None` for numbers."""

    @property
    def difference(self) -> float:
        return self.value - self.other

    @property
    def verdict(self) -> Verdict:
        """Better or worse where the interval does not hold zero."""
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "not_distinguishable"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "difference": self.difference, "verdict": self.verdict}


def compare(model: Labelled, other: Labelled) -> Comparison:
    """Compare two models' answers to the same rows."""
    low, high = model.difference(other)
    alone = None if isinstance(model, Regression) else _right_alone(model.right, other.right)
    difference = model.value - other.value
    return Comparison(
        name=model.headline,
        value=model.value,
        other=other.value,
        low=low,
        high=high,
        rows=model.rows,
        needed=rows_needed(difference, (high - low) / (2 * NormalDist().inv_cdf((1 + _SURE) / 2)), model.rows),
        mcnemar=None if alone is None else mcnemar(*alone),
        right_alone=alone,
    )


def mcnemar(one: int, other: int) -> float:
    """Give the two-sided p-value of McNemar's exact test (McNemar, 1947).

    `one` and `other` count the rows that one model got right and the other did not.
    """
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0


def rows_needed(difference: float, error: float, rows: int) -> int | None:
    """Give how many rows would tell a difference, whose standard error on `rows` is known, with a power of 80 %.

    The error falls with the root of the rows, so n = rows · ((z_0.975 + z_0.8) · error / difference)².
    """
    if not difference:
        return None
    z = NormalDist().inv_cdf((1 + _SURE) / 2) + NormalDist().inv_cdf(_POWER)
    return max(1, int(np.ceil(rows * (z * error / difference) ** 2)))


def _right_alone(one: Array, other: Array) -> tuple[int, int]:
    return int((one & ~other).sum()), int((other & ~one).sum())
