from __future__ import annotations

import math

import pytest

from dlops.project import comparison
from dlops.project.comparison import Difference


def test_metrics_stand_beside_one_another():
    found = comparison.of({"b": 1.0, "a": 0.5, "gone": 2.0}, {"a": 0.75, "b": 1.0, "new": 3.0})
    assert [(one.name, one.before, one.now, one.difference) for one in found] == [
        ("a", 0.5, 0.75, 0.25),
        ("b", 1.0, 1.0, 0.0),
        ("gone", 2.0, None, None),
        ("new", None, 3.0, None),
    ]
    assert found[0].document() == {"metric": "a", "before": 0.5, "now": 0.75, "difference": 0.25}


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan])
def test_what_has_no_size_may_be_equal(value):
    assert Difference("m", value, value).difference == 0.0


@pytest.mark.parametrize(
    ("before", "now", "within"),
    [(0.5, 0.5, True), (0.5, 0.6, True), (0.5, 0.7, False), (0.7, 0.5, False), (None, 1.0, False), (1.0, None, False)],
)
def test_a_tolerance(before, now, within):
    assert Difference("m", before, now).is_within(0.11) is within


@pytest.mark.parametrize(
    ("before", "now", "within"), [(math.nan, math.nan, True), (math.nan, 0.9, False), (0.9, math.nan, False)]
)
def test_what_is_no_number_equals_itself_only(before, now, within):
    assert Difference("m", before, now).is_within(0.5) is within


@pytest.mark.parametrize(
    ("name", "timed"),
    [
        ("system/cpu_utilization_percentage", True),
        ("one/system/memory", True),
        ("train_seconds", True),
        ("finetune/rows_per_second", True),
        ("latency_ms", True),
        ("test_accuracy", False),
        ("f1_classes", False),
        ("steps", False),
    ],
)
def test_what_measures_the_machine(name, timed):
    assert Difference(name, 1.0, 2.0).is_timed is timed
