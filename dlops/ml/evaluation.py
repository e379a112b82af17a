"""How good predictions are: accuracy, F1 and their parts, from one confusion matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Matrix = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassScores:
    """Figures of one class; a class without rows or without predictions has zeros."""

    precision: float
    recall: float
    f1: float
    rows: int


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one split against the truth."""

    labels: tuple[str, ...]
    confusion: Matrix
    """[labels, labels]: rows are the truth, columns the predictions."""
    loss: float
    """Mean cross-entropy in nats."""

    @property
    def rows(self) -> int:
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        return float(np.trace(self.confusion) / self.rows)

    @property
    def standard_error(self) -> float:
        """Standard error of the accuracy, as that of a share."""
        return math.sqrt(self.accuracy * (1 - self.accuracy) / self.rows)

    @property
    def classes(self) -> dict[str, ClassScores]:
        """Precision, recall and F1 of each label."""
        hits = np.diag(self.confusion)
        predicted, actual = self.confusion.sum(axis=0), self.confusion.sum(axis=1)
        return {
            label: ClassScores(
                precision=_share(hits[place], predicted[place]),
                recall=_share(hits[place], actual[place]),
                f1=_share(2 * hits[place], predicted[place] + actual[place]),
                rows=int(actual[place]),
            )
            for place, label in enumerate(self.labels)
        }

    @property
    def macro_f1(self) -> float:
        """Mean F1 of the labels that occur, in the truth or among the predictions; each counts alike."""
        seen = (self.confusion.sum(axis=0) + self.confusion.sum(axis=1)) > 0
        scores = [found.f1 for found, here in zip(self.classes.values(), seen, strict=True) if here]
        return sum(scores) / len(scores)

    def metrics(self, split: str, *, per_class: bool = False) -> dict[str, float]:
        """Name the figures as MLflow keeps them: `SPLIT_accuracy`, `SPLIT_f1_LABEL` …"""
        found = {
            f"{split}_loss": self.loss,
            f"{split}_accuracy": self.accuracy,
            f"{split}_macro_f1": self.macro_f1,
        }
        for label, scores in self.classes.items() if per_class else ():
            name = metric_name(label)
            found[f"{split}_precision_{name}"] = scores.precision
            found[f"{split}_recall_{name}"] = scores.recall
            found[f"{split}_f1_{name}"] = scores.f1
        return found


def confusion(actual: Sequence[int], predicted: Sequence[int], labels: int) -> Matrix:
    """Count pairs of true and predicted places into a [labels, labels] matrix."""
    matrix = np.zeros((labels, labels), dtype=np.int64)
    np.add.at(matrix, (np.asarray(actual, dtype=np.int64), np.asarray(predicted, dtype=np.int64)), 1)
    return matrix


def metric_name(label: str) -> str:
    """Make a label fit for a metric's name: MLflow takes letters, digits, and `_-./ `."""
    return "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in label)[:80]


def _share(part: int, whole: int) -> float:
    return float(part / whole) if whole else 0.0
