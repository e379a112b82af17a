from __future__ import annotations

import numpy as np
import pytest

from dlops.ml import baselines
from dlops.ml.datasets import Dataset, Split
from tests.ml.conftest import simple_rows


def dataset(train, test, labels, kind="classes"):
    return Dataset("/t", 0, "d", "made up", False, labels, train, train, test, kind)


def test_the_majority_is_the_training_rows():
    train, test = Split(["x"] * 3, ["a", "a", "b"]), Split(["x"] * 4, ["b", "b", "a", "b"])
    assert baselines.uninformed(dataset(train, test, ("a", "b"))).value == 0.25


def test_words_that_tell_are_learned():
    given = dataset(Split(*simple_rows(200)), Split(*simple_rows(100, seed=1)), ("negative", "positive"))
    found = baselines.evaluations(given)
    assert set(found) == {"majority", "bag_of_words"} <= set(baselines.TITLES)
    assert found["bag_of_words"].value == pytest.approx(1.0)
    assert found["majority"].value < 0.7


def test_a_class_that_only_the_test_has_is_missed_and_no_error():
    train = Split(["red red", "green leaf", "blue sky"] * 5, ["r", "g", "b"] * 5)
    found = baselines.bag_of_words(
        dataset(train, Split(["green", "sky", "x"], ["g", "b", "new"]), ("b", "g", "new", "r"))
    )
    assert found.figures["accuracy"] == pytest.approx(2 / 3)


def test_several_classes():
    texts, given = ["red", "red sky", "sky", "leaf"] * 10, [["r"], ["r", "s"], ["s"], []] * 10
    always = [[*row, "always"] for row in given]
    labels = ("always", "never", "r", "s")
    found = baselines.evaluations(dataset(Split(texts, always), Split(texts[:4], always[:4]), labels, "multilabel"))
    assert found["bag_of_words"].value == pytest.approx(1.0)
    assert found["bag_of_words"].probabilities[:, :2].tolist() == [[1, 0]] * 4
    assert found["frequent"].predicted.tolist() == [[True, False, True, True]] * 4, "half of the rows have r, half s"


@pytest.mark.parametrize("labels", [("r",), ("always", "never", "r")])
def test_one_class_that_varies(labels):
    always = [label for label in labels if label == "always"]
    texts, given = ["red", "sky"] * 10, [["r", *always], always] * 10
    found = baselines.bag_of_words(dataset(Split(texts, given), Split(texts[:2], given[:2]), labels, "multilabel"))
    assert found.value == 1.0
    assert found.probabilities[0, -1] > 0.8 > 0.2 > found.probabilities[1, -1]


def test_texts_without_a_word_tell_nothing():
    train = Split(["🙂", "!!", "🙂"], ["a", "b", "a"])
    found = baselines.evaluations(dataset(train, Split(["🙂", "word"], ["a", "b"]), ("a", "b")))
    assert found["bag_of_words"].value == found["majority"].value == 0.5


def test_numbers():
    texts = [f"{'good ' * count}film" for count in range(10)] * 4
    numbers = [float(count) for count in range(10)] * 4
    found = baselines.evaluations(dataset(Split(texts, numbers), Split(texts[:10], numbers[:10]), (), "number"))
    assert found["mean"].value == pytest.approx(0)
    assert found["bag_of_words"].value > 0.5
    assert np.isfinite(found["bag_of_words"].loss)


def test_pairs_are_read_whole():
    train = Split(["x"] * 20, ["a", "b"] * 10, ["red", "blue"] * 10)
    assert baselines.bag_of_words(dataset(train, Split(["x"], ["b"], ["blue"]), ("a", "b"))).value == 1.0
