from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from dlops.ml import exports
from dlops.ml.comparison import compare
from dlops.ml.evaluation import Classification


def test_agreement_is_of_labels():
    before = [{"a": 0.6, "b": 0.4}, {"a": 0.4, "b": 0.6}, {"a": 0.51, "b": 0.49}, {"a": 0.9, "b": 0.1}]
    after = [{"a": 0.9, "b": 0.1}, {"a": 0.3, "b": 0.7}, {"a": 0.49, "b": 0.51}, {"a": 0.9, "b": 0.1}]
    assert exports.agreement(before, after, "classes") == 0.75


def test_three_classes_agree_by_the_likeliest_one():
    assert exports.agreement([{"a": 0.51, "b": 0.3}], [{"a": 0.49, "b": 0.31}], "classes") == 1


def test_of_several_labels_all_must_be_the_same():
    before = [{"a": 0.6, "b": 0.4}, {"a": 0.6, "b": 0.6}]
    assert exports.agreement(before, [{"a": 0.7, "b": 0.1}, {"a": 0.6, "b": 0.4}], "multilabel") == 0.5


def test_numbers_agree_within_a_tenth_of_their_spread():
    before = [0.0, 10.0, 20.0, 30.0]  # a standard deviation of 11.2
    assert exports.agreement(before, [1.1, 10.0, 20.0, 31.2], "number") == 0.75


def found(**given):
    truth = np.array([0, 1])
    judged = Classification(("a", "b"), truth, np.array([[0.9, 0.1], [0.2, 0.8]]), 0.1)
    return exports.Export(
        **{
            "form": "onnx-int8",
            "uri": "models:/m-1",
            "rows": 500,
            "agreement": 0.99,
            "largest": 0.05,
            "compared": compare(judged, judged),
            "milliseconds": (2.0, 6.0),
            **given,
        }
    )


SETTINGS = SimpleNamespace(export_agreement=0.985)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, []),
        ({"agreement": 0.98}, ["export=onnx-int8: 98.00% of 500 labels are the same, not 98.5%"]),
        ({"form": "onnx", "largest": 1e-5}, []),
        ({"form": "onnx"}, ["export=onnx: a score is 0.05 off, more than 0.001"]),
        ({"form": "onnx", "largest": float("nan")}, ["export=onnx: a score is nan off, more than 0.001"]),
    ],
)
def test_what_is_refused(given, told):
    assert found(**given).problems(SETTINGS) == told


def test_a_version_is_told_of_it():
    assert found().tags == {"dlops_export_onnx_int8": "models:/m-1", "dlops_export_onnx_int8_agreement": "0.9900"}
    assert exports.missing(("onnx", "onnx-int8", "onnx"), found().tags) == ["onnx"]
    assert "99.00% of 500 labels are the model's" in str(found())
    assert "2.0 ms a text instead of 6.0" in str(found())
    assert " ms a text" not in str(found(milliseconds=None))
    assert found().document()["compared"]["verdict"] == "not_distinguishable"


def test_what_the_model_does_not_answer_counts_for_nothing():
    before = [{"(no answer)": 1.0}, {"a": 0.9, "b": 0.1}]
    after = [{"(no answer)": 1.0}, {"a": 0.1, "b": 0.9}]
    assert exports.agreement(*exports._answered(before, after), "classes") == 0
    assert exports.agreement(*exports._answered(before[:1], after[:1]), "classes") != 1
    assert found(agreement=float("nan")).problems(SETTINGS)
