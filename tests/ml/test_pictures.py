from __future__ import annotations

import io

import numpy as np
import pytest

from dlops.ml import pictures
from dlops.ml.callbacks import Epoch
from tests.ml.test_evaluation import classified, numbers, several  # noqa: F401 (fixtures)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def drawn(figure):
    """Draw it in earnest: a layout that does not fit warns, and warnings are errors."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


@pytest.mark.parametrize("count", [1, 2, 40])
def test_curves_have_names_on_their_axes(count):
    metrics = {"train_loss": 0.5, "val_loss": 0.6, "val_accuracy": 0.7, "val_macro_f1": 0.7}
    figure = pictures.curves([Epoch(number, 1.0, metrics) for number in range(1, count + 1)], 1, "title")
    assert [axes.get_xlabel() for axes in figure.axes] == ["epoch", "epoch"]
    assert figure.axes[0].get_ylabel() == "loss"
    assert len(figure.axes[0].lines) == 3
    assert drawn(figure)


def test_curves_without_val_rows():
    assert drawn(pictures.curves([Epoch(1, 1.0, {"train_loss": 0.5})], 1, "title"))


@pytest.mark.parametrize("count", [2, 5, 30])
def test_a_confusion_matrix_of_any_size(count):
    labels = tuple(f"a label with a long name {number}" for number in range(count))
    actual = np.arange(count * 9) % count
    figure = pictures.predictions(classified(actual, np.where(actual % 3, actual, 0), labels), "title")
    assert figure.axes[0].get_xlabel() == "predicted"
    assert len(figure.axes[0].get_xticklabels()) == count
    assert drawn(figure)


def test_a_class_without_rows_is_no_division_by_zero():
    assert drawn(pictures.confusion(classified([0, 0, 0], [0, 0, 1], ("a", "b")), "title"))


def test_bars_carry_their_figures():
    figure = pictures.baselines(
        {"bag of words": 0.6, "mean": -0.1, "this model": 0.912}, (0.9, 1.2), "accuracy", "title"
    )
    assert texts(figure) == ["0.600", "-0.100", "0.912"]
    assert drawn(figure)


def test_several_classes_and_numbers(several, numbers):  # noqa: F811 (fixtures)
    assert len(pictures.predictions(several, "title").axes[0].patches) == 3
    assert pictures.predictions(numbers, "title").axes[0].get_ylabel() == "predicted"
    assert drawn(pictures.predictions(several, "title"))
    assert drawn(pictures.predictions(numbers, "title"))


def test_without_a_score_between_0_and_1_there_is_one_panel():
    metrics = {"train_loss": 0.5, "val_loss": 0.6, "val_perplexity": 4.0}
    figure = pictures.curves([Epoch(1, 1.0, metrics), Epoch(2, 1.0, metrics)], 1, "title")
    assert [axes.get_ylabel() for axes in figure.axes] == ["loss"]
    assert len(figure.axes[0].lines) == 3
    assert drawn(figure)
