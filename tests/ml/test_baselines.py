from __future__ import annotations

import pytest

from dlops.ml import baselines
from dlops.ml.datasets import Split
from tests.ml.conftest import simple_rows


def test_the_majority_is_the_training_rows():
    assert baselines.majority(["a", "a", "b"], ["b", "b", "a", "b"]) == 0.25


def test_words_that_tell_are_learned():
    found = baselines.accuracies(Split(*simple_rows(200)), Split(*simple_rows(100, seed=1)))
    assert set(found) == set(baselines.TITLES)
    assert found["bag_of_words"] == pytest.approx(1.0)
    assert found["majority"] < 0.7


def test_three_classes():
    train = Split(["red red", "green leaf", "blue sky"] * 5, ["r", "g", "b"] * 5)
    assert baselines.bag_of_words(train, Split(["green", "sky"], ["g", "b"])) == 1.0
