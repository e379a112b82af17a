"""How good predictions are: of classes, of a number, of hidden tokens; each figure with its 95 % interval."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Judged = TypeVar("Judged", "Classification", "MultiLabel")
Matrix: TypeAlias = npt.NDArray[np.int64]

THRESHOLD = 0.5
"""Probability from which on one of several classes is given."""

_RESAMPLES, _FEWEST, _DRAWN = 1000, 100, 10**8
"""Resamples, how many at least, and rows drawn in all beyond which there are no more than those."""
_BINS = 15
_LEAST = 1e-12
"""Probability that stands for none, whose logarithm is infinite."""


@dataclass(frozen=True)
class ClassScores:
    """Figures of one class; a class without rows or without predictions has zeros."""

    precision: float
    recall: float
    f1: float
    rows: int


class Evaluation(ABC):
    """Predictions of one split against the truth; what kind of target it is, its subclasses know."""

    headline: str
    """Name of the figure that is quoted first, and compared with the baselines."""
    loss: float
    """Mean, over the rows or over the hidden tokens, of what the training made small."""

    @property
    @abstractmethod
    def rows(self) -> int:
        """How many rows there are."""

    @property
    @abstractmethod
    def figures(self) -> dict[str, float]:
        """Every figure of all rows together, by name."""

    @property
    @abstractmethod
    def score(self) -> float:
        """What the best epoch is chosen by: the higher, the better."""

    @property
    def classes(self) -> dict[str, ClassScores]:
        """Precision, recall and F1 of each label; a number has none."""
        return {}

    @abstractmethod
    def resampled(self, draws: Array) -> dict[str, Array]:
        """Give the figures that have an interval, once for each row of `draws`.

        `draws` is [resamples, rows], how often each row was drawn.
        """

    @property
    def value(self) -> float:
        """The headline's figure."""
        return self.figures[self.headline]

    def _of_all_rows(self) -> dict[str, float]:
        """Give the figures that have an interval, every row being drawn once."""
        return {name: float(values[0]) for name, values in self.resampled(np.ones((1, self.rows))).items()}

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Give low and high end of each figure's 95 % interval (Efron, 1979: percentile bootstrap over the rows)."""
        found: dict[str, list[Array]] = {}
        for draws in _draws(self.rows):
            for name, values in self.resampled(draws).items():
                found.setdefault(name, []).append(values)
        return {name: _ends(values) for name, values in found.items()}

    def difference(self, other: Evaluation) -> tuple[float, float]:
        """Give the 95 % interval of how much the headline is above that of another model on the same rows."""
        name = self.headline
        return _ends([self.resampled(draws)[name] - other.resampled(draws)[name] for draws in _draws(self.rows)])

    def metrics(self, split: str, *, per_class: bool = False) -> dict[str, float]:
        """Name the figures as MLflow keeps them: `SPLIT_accuracy`, `SPLIT_f1_LABEL` …"""
        found = {f"{split}_{name}": value for name, value in {"loss": self.loss, **self.figures}.items()}
        classes = self.classes if per_class else {}
        for name, scores in zip(metric_names(classes), classes.values(), strict=True):
            found[f"{split}_precision_{name}"] = scores.precision
            found[f"{split}_recall_{name}"] = scores.recall
            found[f"{split}_f1_{name}"] = scores.f1
        return found


@dataclass(frozen=True)
class Classification(Evaluation):
    """One class a row."""

    labels: tuple[str, ...]
    actual: Array
    """[rows], places among the labels."""
    probabilities: Array
    """[rows, labels]."""
    loss: float
    """Mean cross-entropy in nats."""
    headline = "accuracy"

    @property
    def rows(self) -> int:
        return len(self.actual)

    @property
    def predicted(self) -> Array:
        """The most likely places, [rows]."""
        places: Array = self.probabilities.argmax(axis=1)
        return places

    @property
    def right(self) -> Array:
        """Whether each row is right, [rows]."""
        same: Array = self.predicted == self.actual
        return same

    @property
    def losses(self) -> Array:
        """Cross-entropy of each row in nats."""
        return cross_entropy(self.actual, self.probabilities)

    def at(self, places: Array) -> Classification:
        """Judge some of the rows alone."""
        return _of_rows(Classification(self.labels, self.actual[places], self.probabilities[places], 0.0))

    @property
    def confusion(self) -> Matrix:
        """[labels, labels]: rows are the truth, columns the predictions."""
        matrix = np.zeros((len(self.labels), len(self.labels)), dtype=np.int64)
        np.add.at(matrix, (self.actual, self.predicted), 1)
        return matrix

    @property
    def figures(self) -> dict[str, float]:
        return {**self._of_all_rows(), "calibration_error": calibration_error(*self.confidences)}

    @property
    def confidences(self) -> tuple[Array, Array]:
        """How sure each answer is, and whether it is right, [rows] each."""
        return self.probabilities.max(axis=1), self.right

    @property
    def score(self) -> float:
        return self.figures["macro_f1"]

    @property
    def classes(self) -> dict[str, ClassScores]:
        hits = np.diag(self.confusion)
        return _scores(self.labels, hits, self.confusion.sum(axis=0), self.confusion.sum(axis=1))

    def resampled(self, draws: Array) -> dict[str, Array]:
        """Macro F1 is the mean over labels that occur, in the truth or among the predictions; each counts alike."""
        right, count = self.actual == self.predicted, len(self.labels)
        hits = _summed(draws[:, right], self.actual[right], count)
        seen = _summed(draws, self.actual, count) + _summed(draws, self.predicted, count)
        return {
            "accuracy": hits.sum(axis=1) / draws.sum(axis=1),
            "macro_f1": _mean_where(_shares(2 * hits, seen), seen > 0),
        }


@dataclass(frozen=True)
class MultiLabel(Evaluation):
    """Any number of classes a row."""

    labels: tuple[str, ...]
    actual: Array
    """[rows, labels], whether the row has the label."""
    probabilities: Array
    """[rows, labels], each on its own."""
    loss: float
    """Mean binary cross-entropy in nats, over rows and labels."""
    headline = "micro_f1"

    @property
    def rows(self) -> int:
        return len(self.actual)

    @property
    def right(self) -> Array:
        """Whether all labels of each row are right, [rows]."""
        same: Array = (self.predicted == self.actual).all(axis=1)
        return same

    @property
    def losses(self) -> Array:
        """Binary cross-entropy of each row in nats, the mean over its labels."""
        return binary_cross_entropy(self.actual, self.probabilities)

    def at(self, places: Array) -> MultiLabel:
        """Judge some of the rows alone."""
        return _of_rows(MultiLabel(self.labels, self.actual[places], self.probabilities[places], 0.0))

    @property
    def predicted(self) -> Array:
        """Whether each label is given, [rows, labels]."""
        given: Array = self.probabilities >= THRESHOLD
        return given

    @property
    def figures(self) -> dict[str, float]:
        return {**self._of_all_rows(), "calibration_error": calibration_error(*self.confidences)}

    @property
    def confidences(self) -> tuple[Array, Array]:
        """How sure each answer is, and whether it is right, [rows · labels] each: every label is an answer."""
        sure = np.where(self.predicted, self.probabilities, 1 - self.probabilities)
        return sure.ravel(), (self.predicted == self.actual).ravel()

    @property
    def score(self) -> float:
        return self.figures["macro_f1"]

    @property
    def classes(self) -> dict[str, ClassScores]:
        hits = (self.predicted & self.actual).sum(axis=0)
        return _scores(self.labels, hits, self.predicted.sum(axis=0), self.actual.sum(axis=0))

    def resampled(self, draws: Array) -> dict[str, Array]:
        weights = draws.astype(np.float64)
        hits, given, there = (
            weights @ mask.astype(np.float64)
            for mask in (self.predicted & self.actual, self.predicted, self.actual.astype(bool))
        )
        exact = (self.predicted == self.actual).all(axis=1)
        return {
            "micro_f1": _shares(2 * hits.sum(axis=1), (given + there).sum(axis=1)),
            "macro_f1": _mean_where(_shares(2 * hits, given + there), given + there > 0),
            "accuracy": weights @ exact / weights.sum(axis=1),
        }


@dataclass(frozen=True)
class Regression(Evaluation):
    """A number a row."""

    actual: Array
    """[rows]."""
    predicted: Array
    """[rows]."""
    loss: float
    """Mean squared error, in units of the train rows' variance."""
    headline = "r2"

    @property
    def rows(self) -> int:
        return len(self.actual)

    @property
    def right(self) -> Array:
        """Whether each row is right to the last digit, [rows]."""
        same: Array = self.predicted == self.actual
        return same

    @property
    def losses(self) -> Array:
        """Squared error of each row."""
        squares: Array = (self.predicted - self.actual) ** 2
        return squares

    def at(self, places: Array) -> Regression:
        """Judge some of the rows alone."""
        some = Regression(self.actual[places], self.predicted[places], 0.0)
        unit = self.losses.mean() / self.loss if self.loss else 1.0
        return replace(some, loss=float(some.losses.mean() / unit))

    @property
    def figures(self) -> dict[str, float]:
        return self._of_all_rows()

    @property
    def score(self) -> float:
        return -self.figures["rmse"]

    def resampled(self, draws: Array) -> dict[str, Array]:
        weights = draws / draws.sum(axis=1, keepdims=True)
        error = self.predicted - self.actual
        squares = weights @ error**2
        actual, predicted = (values - values.mean() for values in (self.actual, self.predicted))
        variance, others = (_variance(weights, values) for values in (actual, predicted))
        together = weights @ (predicted * actual) - (weights @ actual) * (weights @ predicted)
        return {
            "r2": np.where(variance > 0, 1 - _shares(squares, variance), squares == 0),
            "rmse": np.sqrt(squares),
            "mae": weights @ np.abs(error),
            "pearson": _shares(together, np.sqrt(variance * others)),
        }


@dataclass(frozen=True)
class MaskedLanguage(Evaluation):
    """Some hidden tokens a row."""

    losses: Array
    """[rows], cross-entropy in nats, summed over the row's hidden tokens."""
    hidden: Array
    """[rows], how many tokens were hidden."""
    loss: float
    """Mean cross-entropy in nats, over the hidden tokens."""
    headline = "perplexity"

    @property
    def rows(self) -> int:
        return len(self.losses)

    @property
    def figures(self) -> dict[str, float]:
        """The perplexity of hidden tokens: the lower, the better; 1 is certainty."""
        return self._of_all_rows()

    @property
    def score(self) -> float:
        return -self.loss

    def resampled(self, draws: Array) -> dict[str, Array]:
        return {"perplexity": np.exp(_shares(draws @ self.losses, draws @ self.hidden))}


Labelled: TypeAlias = Classification | MultiLabel | Regression
"""What is judged row by row against a label."""


def cross_entropy(actual: Array, probabilities: Array) -> Array:
    """Give each row's cross-entropy in nats; `actual` are places among [rows, labels]."""
    likely: Array = -np.log(np.clip(probabilities[np.arange(len(actual)), actual], _LEAST, 1))
    return likely


def binary_cross_entropy(actual: Array, probabilities: Array) -> Array:
    """Give each row's binary cross-entropy in nats, the mean over its labels; both are [rows, labels]."""
    likely: Array = -np.log(np.clip(np.where(actual, probabilities, 1 - probabilities), _LEAST, 1)).mean(axis=1)
    return likely


def calibration_error(confidence: Array, right: Array) -> float:
    """Mean gap between confidence and share of right answers, over bins of equal width (Naeini et al., 2015)."""
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    gaps = np.bincount(bins, weights=confidence - right, minlength=_BINS)
    return float(np.abs(gaps).sum() / max(1, counts.sum()))


def metric_names(labels: Iterable[str]) -> list[str]:
    """Make labels fit for metrics' names: MLflow takes letters, digits, and `_-./ `; no two become one."""
    found: dict[str, None] = {}
    for place, label in enumerate(labels):
        name = "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in label)[:80]
        found[name if name not in found else f"{name}_{place}"] = None
    return list(found)


def _of_rows(some: Judged) -> Judged:
    return replace(some, loss=float(some.losses.mean()) if some.rows else 0.0)


def _draws(rows: int) -> Iterator[Array]:
    """Draw rows with replacement: how often each was drawn, [resamples, rows]; the same draws each time."""
    generator = np.random.default_rng(0)
    resamples = min(_RESAMPLES, max(_FEWEST, _DRAWN // rows))
    batch = max(1, 10**7 // rows)
    for start in range(0, resamples, batch):
        yield generator.multinomial(rows, np.full(rows, 1 / rows), size=min(batch, resamples - start))


def _ends(values: Sequence[Array]) -> tuple[float, float]:
    low, high = np.percentile(np.concatenate(values), [2.5, 97.5])
    return float(low), float(high)


def _summed(draws: Array, places: Array, count: int) -> Array:
    """Add up, for each of `count` places, the columns of `draws` that belong to it: [resamples, count].

    A product with a matrix of ones would take rows times labels of memory.
    """
    order = np.argsort(places, kind="stable")
    starts = np.flatnonzero(np.diff(places[order], prepend=-1))
    found = np.zeros((len(draws), count))
    if len(starts):
        found[:, places[order][starts]] = np.add.reduceat(draws[:, order], starts, axis=1)
    return found


def _scores(labels: Sequence[str], hits: Array, given: Array, there: Array) -> dict[str, ClassScores]:
    parts = (_shares(hits, given), _shares(hits, there), _shares(2 * hits, given + there))
    rows = zip(labels, *parts, there, strict=True)
    return {
        label: ClassScores(float(precision), float(recall), float(f1), int(count))
        for label, precision, recall, f1, count in rows
    }


def _shares(parts: Array, wholes: Array) -> Array:
    """Divide; nothing of nothing is 0."""
    return np.divide(parts, wholes, out=np.zeros(np.shape(parts)), where=np.asarray(wholes) != 0)


def _variance(weights: Array, centred: Array) -> Array:
    """Give the variance of numbers of mean 0, weighted; of numbers that are all alike 0, and not what rounding left."""
    squares = weights @ centred**2
    variance = squares - (weights @ centred) ** 2
    found: Array = np.where(variance > 1e-12 * (centred**2).mean(), variance, 0.0)
    return found


def _mean_where(values: Array, there: Array) -> Array:
    mean: Array = (values * there).sum(axis=-1) / np.maximum(1, there.sum(axis=-1))
    return mean
