from __future__ import annotations

import pytest
from sklearn import metrics as known

from dlops.ml.evaluation import Evaluation, confusion, metric_name

ACTUAL = [0, 0, 0, 1, 1, 2, 2, 2, 2, 0]
PREDICTED = [0, 1, 0, 1, 1, 2, 0, 2, 2, 2]
LABELS = ("bad", "so-so", "good")


@pytest.fixture
def evaluation():
    return Evaluation(LABELS, confusion(ACTUAL, PREDICTED, 3), loss=0.5)


def test_figures_are_those_of_scikit_learn(evaluation):
    assert evaluation.confusion.tolist() == known.confusion_matrix(ACTUAL, PREDICTED).tolist()
    assert evaluation.accuracy == pytest.approx(known.accuracy_score(ACTUAL, PREDICTED))
    assert evaluation.macro_f1 == pytest.approx(known.f1_score(ACTUAL, PREDICTED, average="macro"))
    precision, recall, f1, rows = known.precision_recall_fscore_support(ACTUAL, PREDICTED)
    for place, found in enumerate(evaluation.classes.values()):
        assert (found.precision, found.recall, found.f1) == pytest.approx((precision[place], recall[place], f1[place]))
        assert found.rows == rows[place]


def test_a_class_that_never_occurs_is_no_division_by_zero():
    found = Evaluation(("a", "b", "never"), confusion([0, 1], [0, 0], 3), loss=0.0)
    assert found.classes["never"].f1 == 0
    assert found.macro_f1 == pytest.approx(known.f1_score([0, 1], [0, 0], average="macro", zero_division=0))


def test_the_standard_error_is_that_of_a_share():
    found = Evaluation(("a", "b"), confusion([0] * 750, [0] * 600 + [1] * 150, 2), loss=0.0)
    assert found.standard_error == pytest.approx(0.0146, abs=1e-4)


def test_names_of_metrics(evaluation):
    names = set(evaluation.metrics("test", per_class=True))
    assert {"test_loss", "test_accuracy", "test_macro_f1", "test_precision_bad", "test_recall_so-so"} <= names
    assert set(evaluation.metrics("val")) == {"val_loss", "val_accuracy", "val_macro_f1"}
    assert metric_name("très bien? 5*") == "très bien_ 5_"
