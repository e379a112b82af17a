"""Requirements: read with all that is wrong, held against what was found, all failures listed."""

from __future__ import annotations

import pytest

from dlops.errors import GateFailed, UsageError
from dlops.ml import gates

KNOWN = ("accuracy", "recall.very good", "verdict", "latency_p95_ms", "gap.accuracy")


@pytest.mark.parametrize(
    ("text", "found", "holds"),
    [
        ("accuracy>=0.8", 0.8, True),
        ("accuracy>0.8", 0.8, False),
        ("accuracy >= 0.8", 0.79, False),
        ("latency_p95_ms<=50", 49.9, True),
        ("latency_p95_ms<50", 50.0, False),
        ("recall.very good>=0.5", 0.6, True),
        ("verdict=better", "better", True),
        ("verdict==better", "worse", False),
        ("verdict!=worse", "not_distinguishable", True),
        ("verdict!=worse", "worse", False),
        ("accuracy=1", 1.0, True),
        ("accuracy!=1", float("nan"), False),
        ("accuracy>=0", float("nan"), False),
    ],
)
def test_what_holds(text, found, holds):
    (requirement,) = gates.parse([text], KNOWN)
    (answer,) = gates.answered([requirement], {requirement.name: found})
    assert answer.holds is holds
    assert str(answer).startswith(text)


def test_a_label_may_look_like_a_requirement():
    known = ("recall.C++", "recall.a=b", "recall.a", "accuracy")
    found = gates.parse(["recall.C++>=0.5", "recall.a=b >= 0.5", "recall.a=1"], known)
    assert [(one.name, one.sign, one.value) for one in found] == [
        *(("recall.C++", ">=", 0.5), ("recall.a=b", ">=", 0.5), ("recall.a", "=", 1.0)),
    ]


def test_everything_that_is_wrong_is_told():
    wrong = ["acuracy>=0.8", "accuracy", "accuracy>=high", "verdict=best", "verdict>=better", "accuracy>=nan", "x=1"]
    with pytest.raises(UsageError) as caught:
        gates.parse(["accuracy>=0.5", *wrong], KNOWN)
    told = caught.value.problems
    assert len(told) == len(wrong)
    assert "did you mean 'accuracy'?" in told[0]
    assert "is no requirement" in told[1]
    assert "takes a number, not 'high'" in told[2]
    assert "one of better, worse, not_distinguishable" in told[3]


def test_all_failures_are_listed():
    requirements = gates.parse(["accuracy>=0.8", "gap.accuracy<=0.1", "verdict=better"], KNOWN)
    facts = {"accuracy": 0.7, "gap.accuracy": 0.05, "verdict": "worse"}
    with pytest.raises(GateFailed, match="2 of 3 requirements do not hold") as caught:
        gates.check(gates.answered(requirements, facts))
    assert [problem.split(":")[0] for problem in caught.value.problems] == ["accuracy>=0.8", "verdict=better"]
    gates.check(gates.answered(requirements[1:2], facts))
    gates.check(())
