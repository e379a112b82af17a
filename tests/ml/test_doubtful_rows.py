"""Lists of rows: the worst answers first, and labels that were turned are found."""

from __future__ import annotations

import numpy as np

from dlops.ml import doubtful_rows
from dlops.ml.datasets import Split
from dlops.ml.evaluation import Classification, MultiLabel, Regression

TURNED = (3, 40, 77)


def answered(count=200):
    """Rows whose labels are as the scores say, but for some that were turned."""
    generator = np.random.default_rng(0)
    truth = np.arange(count) % 3
    scores = np.eye(3)[truth] * 6 + generator.random((count, 3))
    scores = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = truth.copy()
    labels[list(TURNED)] = (labels[list(TURNED)] + 1) % 3
    names = ("a", "b", "c")
    split = Split([f"text {place}" for place in range(count)], [names[label] for label in labels])
    return Classification(names, labels, scores, 0.1), split


def test_turned_labels_are_the_hardest_rows_and_the_likeliest_errors():
    judged, split = answered()
    for listed in (doubtful_rows.hardest, doubtful_rows.label_errors):
        rows = listed(judged, split, 50, texts=True)
        assert {row.text for row in rows} == {f"text {place}" for place in TURNED}
        assert all(row.label != row.answer for row in rows)
        assert [row.score for row in rows] == sorted(row.score for row in rows)
        assert {row.id for row in rows} == {split.ids()[place] for place in TURNED}
    (one,) = doubtful_rows.hardest(judged, split, 1, texts=False)
    assert one.text == ""


def test_several_labels_and_numbers():
    truth = np.tile([[True, False], [False, True]], (60, 1))
    scores = np.where(truth, 0.95, 0.05)
    truth[7] = ~truth[7]
    split = Split([f"text {place}" for place in range(120)], [["a"] if row[0] else ["b"] for row in truth])
    judged = MultiLabel(("a", "b"), truth, scores, 0.1)
    for listed in (doubtful_rows.hardest, doubtful_rows.label_errors):
        assert [row.text for row in listed(judged, split, 50, texts=True)] == ["text 7"]
    assert doubtful_rows.hardest(judged, split, 1, texts=True)[0].answer == ["b"] if truth[7][0] else ["a"]
    numbers = Regression(np.zeros(3), np.array([0.1, 5.0, 0.0]), 1.0)
    split = Split(["x", "y", "z"], [0.0, 0.0, 0.0])
    assert [(row.text, row.score) for row in doubtful_rows.hardest(numbers, split, 9, texts=True)] == [
        ("y", 5.0),
        ("x", 0.1),
    ]
    assert doubtful_rows.label_errors(numbers, split, 9, texts=True) == []


def test_where_confident_learning_says_nothing_nothing_is_listed():
    truth = np.array([[True, True], [True, False], [True, True]])
    split = Split(["x", "y", "z"], [["a", "b"], ["a"], ["a", "b"]])
    judged = MultiLabel(("a", "b"), truth, np.where(truth, 0.4, 0.6), 0.1)
    assert doubtful_rows.label_errors(judged, split, 9, texts=True) == []
    assert len(doubtful_rows.hardest(judged, split, 9, texts=True)) == 3


def test_a_long_text_is_cut():
    judged = Regression(np.zeros(1), np.ones(1), 1.0)
    (row,) = doubtful_rows.hardest(judged, Split(["x" * 2000], [0.0]), 1, texts=True)
    assert len(row.text) == 500
