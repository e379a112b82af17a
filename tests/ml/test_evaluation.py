from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from sklearn import metrics as known

from dlops.ml.evaluation import Classification, MaskedLanguage, MultiLabel, Regression, calibration_error, metric_names

ACTUAL = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2, 0])
PREDICTED = np.array([0, 1, 0, 1, 1, 2, 0, 2, 2, 2])
LABELS = ("bad", "so-so", "good")


def classified(actual, predicted, labels=LABELS, sure=0.9):
    probabilities = np.full((len(actual), len(labels)), (1 - sure) / (len(labels) - 1))
    probabilities[np.arange(len(actual)), predicted] = sure
    return Classification(labels, np.asarray(actual), probabilities, loss=0.5)


@pytest.fixture
def evaluation():
    return classified(ACTUAL, PREDICTED)


@pytest.fixture
def several():
    generator = np.random.default_rng(0)
    actual, noise = generator.random((50, 3)) < (0.5, 0.2, 0.05), generator.random((50, 3))
    return MultiLabel(LABELS, actual, np.clip(0.6 * actual + 0.5 * noise, 0, 1), loss=0.3)


@pytest.fixture
def numbers():
    generator = np.random.default_rng(0)
    actual = generator.normal(3, 2, 80)
    return Regression(actual, actual + generator.normal(0.3, 1, 80), loss=0.2)


def test_figures_of_classes_are_those_of_scikit_learn(evaluation):
    assert evaluation.confusion.tolist() == known.confusion_matrix(ACTUAL, PREDICTED).tolist()
    assert evaluation.figures["accuracy"] == pytest.approx(known.accuracy_score(ACTUAL, PREDICTED))
    assert evaluation.figures["macro_f1"] == pytest.approx(known.f1_score(ACTUAL, PREDICTED, average="macro"))
    precision, recall, f1, rows = known.precision_recall_fscore_support(ACTUAL, PREDICTED)
    for place, found in enumerate(evaluation.classes.values()):
        assert (found.precision, found.recall, found.f1) == pytest.approx((precision[place], recall[place], f1[place]))
        assert found.rows == rows[place]


def test_figures_of_several_classes_are_those_of_scikit_learn(several):
    actual, predicted = several.actual, several.predicted
    for average in ("micro", "macro"):
        expected = known.f1_score(actual, predicted, average=average)
        assert several.figures[f"{average}_f1"] == pytest.approx(expected)
    assert several.figures["accuracy"] == pytest.approx(known.accuracy_score(actual, predicted))
    precision = known.precision_score(actual, predicted, average=None, zero_division=0)
    assert [found.precision for found in several.classes.values()] == pytest.approx(precision.tolist())


def test_figures_of_numbers_are_those_of_scikit_learn(numbers):
    figures = numbers.figures
    assert figures["r2"] == pytest.approx(known.r2_score(numbers.actual, numbers.predicted))
    assert figures["rmse"] == pytest.approx(known.root_mean_squared_error(numbers.actual, numbers.predicted))
    assert figures["mae"] == pytest.approx(known.mean_absolute_error(numbers.actual, numbers.predicted))
    assert figures["pearson"] == pytest.approx(np.corrcoef(numbers.actual, numbers.predicted)[0, 1])
    assert numbers.classes == {}


def test_a_class_that_never_occurs_is_no_division_by_zero():
    found = classified([0, 1], [0, 0], ("a", "b", "never"))
    assert found.classes["never"].f1 == 0
    expected = known.f1_score([0, 1], [0, 0], average="macro", zero_division=0)
    assert found.figures["macro_f1"] == pytest.approx(expected)


def test_a_mean_that_is_always_given_correlates_with_nothing():
    found = Regression(np.array([1.0, 2.0, 3.0]), np.full(3, 2.0), loss=1.0).figures
    assert (found["r2"], found["pearson"]) == pytest.approx((0, 0))


@pytest.mark.parametrize("value", [5.3, 3.0, 0.1, 0.0, 1.7e9])
def test_numbers_that_are_all_alike_explain_nothing(value):
    actual = np.full(40, value)
    assert Regression(actual, actual + 2, loss=1.0).figures["r2"] == 0
    assert Regression(actual, actual, loss=0.0).figures["r2"] == 1
    assert Regression(actual[:1], actual[:1] + 2, loss=1.0).intervals()["r2"] == (0, 0)


def test_a_resample_of_equal_numbers_leaves_the_interval_finite():
    found = Regression(np.array([5.0, 5.0, 4.0]), np.array([4.8, 5.1, 4.5]), loss=1.0)
    low, high = found.intervals()["r2"]
    assert -100 < low < found.value <= high <= 1


def test_a_small_spread_of_large_numbers_is_seen():
    actual = 1.7e9 + np.arange(50.0)
    predicted = actual + np.tile([1.0, -1.0], 25)
    found = Regression(actual, predicted, loss=1.0).figures
    assert found["r2"] == pytest.approx(known.r2_score(actual, predicted), abs=1e-6)
    assert found["pearson"] == pytest.approx(np.corrcoef(actual, predicted)[0, 1], abs=1e-6)


def test_a_thousand_classes_take_little_memory():
    generator = np.random.default_rng(0)
    actual = generator.integers(0, 1000, 3000)
    predicted = np.where(generator.random(3000) < 0.7, actual, generator.integers(0, 1000, 3000))
    found = Classification(tuple(map(str, range(1000))), actual, np.eye(1000, dtype=np.float32)[predicted], 0.5)
    tracemalloc.start()
    try:
        intervals = found.intervals()
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 500e6, "1,000 resamples of a confusion matrix would be 8 GB"
    for name in ("accuracy", "macro_f1"):
        low, high = intervals[name]
        assert low < found.figures[name] + 0.02
        assert found.figures[name] - 0.02 < high
    assert found.figures["macro_f1"] == pytest.approx(known.f1_score(actual, predicted, average="macro"))


def test_nothing_right_is_no_error():
    assert classified([0, 0], [1, 1]).intervals()["accuracy"] == (0, 0)


def test_resampled_figures_are_those_of_the_rows_drawn(evaluation, several, numbers):
    rows = np.array([0, 0, 3, 5, 6, 6, 6, 7, 8, 9])
    draws = np.bincount(rows, minlength=10)[None]
    drawn = classified(ACTUAL[rows], PREDICTED[rows]).figures
    assert {name: values[0] for name, values in evaluation.resampled(draws).items()} == pytest.approx(
        {name: drawn[name] for name in ("accuracy", "macro_f1")}
    )
    draws = np.bincount(rows, minlength=50)[None]
    drawn = MultiLabel(LABELS, several.actual[rows], several.probabilities[rows], 0.0).figures
    for name, values in several.resampled(draws).items():
        assert values[0] == pytest.approx(drawn[name])
    draws = np.bincount(rows, minlength=80)[None]
    drawn = Regression(numbers.actual[rows], numbers.predicted[rows], 0.0).figures
    for name, values in numbers.resampled(draws).items():
        assert values[0] == pytest.approx(drawn[name])


def test_the_interval_of_an_accuracy_is_that_of_a_share():
    right = np.arange(750) < 600
    low, high = classified(np.zeros(750, int), np.where(right, 0, 1)).intervals()["accuracy"]
    assert (high - low) / 2 == pytest.approx(1.96 * (0.8 * 0.2 / 750) ** 0.5, rel=0.1)
    assert low < 0.8 < high


def test_models_are_compared_on_the_same_rows():
    """Alone, each interval is ten points wide; that of the difference knows that they err on the same rows."""
    actual = np.zeros(400, int)
    poor, better = np.where(np.arange(400) < 100, 1, 0), np.where(np.arange(400) < 90, 1, 0)
    low, high = classified(actual, better).difference(classified(actual, poor))
    assert 0 < low < 0.025 < high < 0.045
    assert classified(actual, poor).difference(classified(actual, poor)) == (0, 0)


def test_confidence_that_is_right_has_no_calibration_error():
    generator = np.random.default_rng(0)
    confidence = generator.uniform(0.5, 1, 200_000)
    assert calibration_error(confidence, generator.random(200_000) < confidence) < 0.01
    assert calibration_error(np.full(100, 0.9), np.arange(100) < 60) == pytest.approx(0.3)


def test_names_of_metrics(evaluation):
    names = set(evaluation.metrics("test", per_class=True))
    assert {"test_loss", "test_accuracy", "test_macro_f1", "test_precision_bad", "test_recall_so-so"} <= names
    assert set(evaluation.metrics("val")) == {"val_loss", "val_accuracy", "val_macro_f1", "val_calibration_error"}


def test_no_two_labels_share_a_metric():
    assert metric_names(["très bien? 5*", "b"]) == ["très bien_ 5_", "b"]
    assert metric_names(["C++", "C//", "C__", "x" * 90, "x" * 90 + "y"]) == [
        "C__",
        "C___1",
        "C___2",
        "x" * 80,
        "x" * 80 + "_4",
    ]
    found = classified([0, 1], [0, 0], ("C++", "C//")).metrics("test", per_class=True)
    assert (found["test_recall_C__"], found["test_recall_C___1"]) == (1.0, 0.0)


def test_the_perplexity_weighs_tokens_not_rows():
    """A row of 9 hidden tokens at 1 nat each beside one of a single token at 3: the mean is 1.2 nats."""
    found = MaskedLanguage(np.array([9.0, 3.0, 0.0]), np.array([9, 1, 0]), loss=1.2)
    assert found.value == found.figures["perplexity"] == pytest.approx(np.exp(1.2))
    assert found.score == -1.2
    assert found.metrics("val") == {"val_loss": 1.2, "val_perplexity": pytest.approx(np.exp(1.2))}
    draws = np.array([[0, 3, 0], [1, 0, 2]])
    assert found.resampled(draws)["perplexity"].tolist() == pytest.approx([np.exp(3), np.exp(1)])
