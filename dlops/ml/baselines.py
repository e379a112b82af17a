"""What a fine-tuned model must beat to be worth its price: no knowledge of the text, and a bag of words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import (
    Classification,
    Labelled,
    MultiLabel,
    Regression,
    binary_cross_entropy,
    cross_entropy,
)

_WORD = r"(?u)\b\w+\b"
_FEATURES = 2**18
"""Words and pairs that are looked at, the most frequent ones: a weight each, of each class."""
_KINDS = {"classes": "majority", "multilabel": "frequent", "number": "mean"}

TITLES = {
    "majority": "most frequent class",
    "frequent": "most frequent classes",
    "mean": "mean",
    "bag_of_words": "bag of words",
}


def evaluations(dataset: Dataset) -> dict[str, Labelled]:
    """Judge each baseline on the test rows, trained on the same rows as the model."""
    return {_KINDS[dataset.kind]: uninformed(dataset), "bag_of_words": bag_of_words(dataset)}


def uninformed(dataset: Dataset) -> Labelled:
    """Answer each row alike: the most frequent class, the classes that half of the train rows have, or their mean."""
    rows = len(dataset.test)
    if dataset.kind == "number":
        return _regression(dataset, np.full(rows, np.mean(dataset.train.labels)))
    several = dataset.kind == "multilabel"
    labels = [label for row in dataset.train.labels for label in row] if several else dataset.train.labels
    counts = Counter(sorted(labels))
    if several:
        shares = np.array([counts[name] / len(dataset.train) for name in dataset.labels])
        return _multilabel(dataset, np.tile(shares, (rows, 1)))
    answer = np.array([name == counts.most_common(1)[0][0] for name in dataset.labels], float)
    return _classification(dataset, np.tile(answer, (rows, 1)))


def bag_of_words(dataset: Dataset) -> Labelled:
    """TF-IDF of words and pairs of words under a linear model (Wang & Manning, 2012, "Baselines and Bigrams").

    Logistic regression of the class, or of each class; ridge regression of a number. Texts without a word tell nothing.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.multiclass import OneVsRestClassifier

    texts = _texts(dataset.train)
    if not any(re.search(_WORD, text) for text in texts):
        return uninformed(dataset)
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_WORD, max_features=_FEATURES)
    train, test = words.fit_transform(texts), words.transform(_texts(dataset.test))
    if dataset.kind == "number":
        fitted = Ridge(alpha=1.0).fit(train, np.asarray(dataset.train.labels, float))
        return _regression(dataset, fitted.predict(test))
    logistic = LogisticRegression(C=10, max_iter=1000)
    if dataset.kind == "multilabel":
        constant = _constant(dataset)
        varied = np.flatnonzero(np.isnan(constant))
        scores = np.tile(constant, (len(dataset.test), 1))
        if len(varied):
            given = _given(dataset, dataset.train.labels)[:, varied]
            scores[:, varied] = OneVsRestClassifier(logistic).fit(train, given).predict_proba(test)[:, -len(varied) :]
        return _multilabel(dataset, scores)
    fitted = logistic.fit(train, dataset.train.labels)
    scores = np.zeros((len(dataset.test), len(dataset.labels)))
    scores[:, [dataset.labels.index(name) for name in fitted.classes_]] = fitted.predict_proba(test)
    return _classification(dataset, scores)


def _texts(split: Split) -> list[str]:
    return split.texts if split.pairs is None else [f"{a} {b}" for a, b in zip(split.texts, split.pairs, strict=True)]


def _constant(dataset: Dataset) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Give 0 or 1 for each class that no or every train row has, and no number for those that vary."""
    shares = _given(dataset, dataset.train.labels).mean(axis=0)
    return np.where((shares == 0) | (shares == 1), shares, np.nan)


def _given(dataset: Dataset, labels: Sequence[Sequence[str]]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.array([[name in row for name in dataset.labels] for row in labels], bool)


def _classification(dataset: Dataset, scores: Any) -> Labelled:
    actual = np.array([dataset.labels.index(label) for label in dataset.test.labels])
    return Classification(dataset.labels, actual, scores, float(cross_entropy(actual, scores).mean()))


def _multilabel(dataset: Dataset, scores: Any) -> Labelled:
    actual = _given(dataset, dataset.test.labels)
    return MultiLabel(dataset.labels, actual, scores, float(binary_cross_entropy(actual, scores).mean()))


def _regression(dataset: Dataset, predicted: Any) -> Labelled:
    actual = np.asarray(dataset.test.labels, float)
    deviation = float(np.std(dataset.train.labels)) or 1.0
    return Regression(actual, np.asarray(predicted), float((((predicted - actual) / deviation) ** 2).mean()))
