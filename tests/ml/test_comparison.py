"""Two models on the same rows, held against references and against what chance does."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dlops.ml import comparison
from dlops.ml.evaluation import Classification, MultiLabel, Regression


def classes(right, actual=None):
    """Two classes, of which each row's answer is right or not."""
    right = np.asarray(right, bool)
    actual = np.zeros(len(right), int) if actual is None else actual
    places = np.where(right, actual, 1 - actual)
    return Classification(("a", "b"), actual, np.eye(2)[places] * 0.8 + 0.1, 0.5)


def test_mcnemar_is_the_exact_test():
    assert comparison.mcnemar(10, 2) == pytest.approx(2 * stats.binom.cdf(2, 12, 0.5))
    assert comparison.mcnemar(2, 10) == comparison.mcnemar(10, 2)
    assert comparison.mcnemar(5, 5) == 1.0
    assert comparison.mcnemar(0, 0) == 1.0
    assert comparison.mcnemar(25, 8) == pytest.approx(0.004551, abs=1e-6), "2 · P(X <= 8), X ~ B(33, 1/2)"


def test_the_difference_has_the_interval_that_its_variance_says():
    generator = np.random.default_rng(1)
    one, other = generator.random(2000) < 0.85, generator.random(2000) < 0.80
    found = comparison.compare(classes(one), classes(other))
    each = one.astype(float) - other
    error = each.std() / np.sqrt(len(each))
    assert found.difference == pytest.approx(each.mean())
    assert found.low == pytest.approx(each.mean() - 1.96 * error, abs=0.15 * error)
    assert found.high == pytest.approx(each.mean() + 1.96 * error, abs=0.15 * error)
    assert found.right_alone == ((one & ~other).sum(), (other & ~one).sum())
    assert found.mcnemar == pytest.approx(stats.binomtest(found.right_alone[0], sum(found.right_alone)).pvalue)
    assert found.verdict == "better"


def test_three_verdicts():
    good, bad = np.arange(400) % 20 > 0, np.arange(400) % 4 > 0
    assert comparison.compare(classes(good), classes(bad)).verdict == "better"
    assert comparison.compare(classes(bad), classes(good)).verdict == "worse"
    alike = np.roll(good, 1)
    found = comparison.compare(classes(good), classes(alike))
    assert found.verdict == "not_distinguishable"
    assert found.needed is None, "there is no difference to tell"
    same = comparison.compare(classes(good), classes(good))
    assert (same.low, same.high, same.verdict) == (0.0, 0.0, "not_distinguishable")


def test_as_many_rows_as_are_said_to_be_needed_tell_the_difference_four_times_of_five():
    generator = np.random.default_rng(2)

    def drawn(rows):
        both = generator.random(rows)
        return both < 0.86, np.where(generator.random(rows) < 0.9, both < 0.86, generator.random(rows) < 0.5)

    one, other = drawn(100_000)
    each = one.astype(float) - other
    needed = comparison.rows_needed(each.mean(), each.std() / np.sqrt(len(each)), len(each))
    told = 0
    for _ in range(1000):
        one, other = drawn(needed)
        each = one.astype(float) - other
        told += each.mean() - 1.96 * each.std() / np.sqrt(needed) > 0
    assert 0.76 < told / 1000 < 0.84


def test_several_labels_and_numbers_are_compared_too():
    truth = np.random.default_rng(0).random((300, 3)) < 0.5
    good, bad = (MultiLabel(("a", "b", "c"), truth, np.where(truth, high, 1 - high), 0.1) for high in (0.9, 0.4))
    found = comparison.compare(good, bad)
    assert (found.name, found.verdict, found.right_alone) == ("micro_f1", "better", (300, 0))
    numbers = np.linspace(0, 10, 200)
    near, far = (Regression(numbers, numbers + shift * np.sin(numbers * 9), 0.1) for shift in (0.1, 2.0))
    found = comparison.compare(near, far)
    assert (found.name, found.verdict, found.mcnemar, found.right_alone) == ("r2", "better", None, None)


@pytest.mark.slow
@pytest.mark.parametrize("rows", [200, 500])
def test_95_of_100_intervals_hold_the_truth(rows):
    generator = np.random.default_rng(3)
    held = 0
    for _ in range(1000):
        low, high = classes(generator.random(rows) < 0.8).intervals()["accuracy"]
        held += low <= 0.8 <= high
    assert 930 <= held <= 970
