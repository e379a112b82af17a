from __future__ import annotations

import json

import pytest

from dlops.config import space
from dlops.config.parameters import Parameter
from dlops.config.space import Axis

KNOWN = {
    parameter.name: parameter
    for parameter in (
        Parameter(name="rate", type="float", default="0.001", minimum=1e-9, maximum=1),
        Parameter(name="rows", type="int", default="16", minimum=1, maximum=512),
        Parameter(name="strategy", default="freeze", choices=("freeze", "no_freeze", "lora")),
        Parameter(name="rank", type="int", default="8", minimum=1),
        Parameter(name="stages", type="list[int]", default="1,2"),
        Parameter(name="careful", type="bool", default="false"),
    )
}


def read(**axes):
    problems: list[str] = []
    return space.parse(json.dumps(axes), KNOWN, problems), problems


def told(axes):
    return read(**axes)[1]


def test_each_distribution_is_read_in_canonical_texts():
    found, problems = read(
        rate={"loguniform": ["1e-5", "1e-3"]},
        rows={"quniform": ["8", "65", "8"]},
        rank={"randint": [2, 16]},
        strategy={"choice": ["freeze", "lora"]},
        stages={"choice": [["1", "2"], "2,3"]},
        careful={"grid": ["yes", "no"]},
    )
    assert problems == []
    assert found.axes == (
        Axis("rate", "loguniform", (1e-5, 1e-3)),
        Axis("rows", "quniform", (8.0, 64.0, 8.0)),
        Axis("rank", "randint", (2.0, 16.0)),
        Axis("strategy", "choice", values=("freeze", "lora")),
        Axis("stages", "choice", values=("1,2", "2,3")),
        Axis("careful", "grid", values=("true", "false")),
    )
    assert [axis.name for axis in found.grid()] == ["careful"]


def test_an_axis_counts_beside_some_values_of_another_alone():
    found, problems = read(
        rank={"randint": [2, 16], "when": {"strategy": "lora"}},
        rate={"uniform": [0.1, 0.2], "when": {"strategy": ["no_freeze", "lora"], "careful": "true"}},
        strategy={"choice": ["freeze", "lora"]},
    )
    assert problems == []
    assert found.axes[0].name == "strategy", "what others depend on is drawn first"

    def counting(**fixed):
        given = dict(fixed)
        seen = []
        for axis in found.counting(given):
            seen.append(axis.name)
            given.setdefault(axis.name, "lora")
        return sorted(seen)

    assert counting(careful="false") == ["rank", "strategy"]
    assert counting(careful="true") == ["rank", "rate", "strategy"]
    assert counting(careful="true", strategy="freeze") == ["strategy"]


@pytest.mark.parametrize(
    ("axes", "problem"),
    [
        ({"raet": {"uniform": [0, 1]}}, "'raet' is no parameter; did you mean 'rate'?"),
        ({"rate": [1, 2]}, "rate: takes one of uniform, loguniform"),
        ({"rate": {"uniform": [0.1, 0.2], "choice": [1]}}, "rate: takes one of"),
        ({"rate": {"loguniforn": [1, 2]}}, "'loguniforn' is no distribution; did you mean 'loguniform'?"),
        ({"rate": {"beta": [1, 2]}}, "there are uniform, loguniform, quniform, randint, choice, grid"),
        ({"rate": {"uniform": [0.1]}}, "rate: uniform takes two numbers"),
        ({"rate": {"uniform": "0.1"}}, "rate: uniform takes two numbers"),
        ({"rate": {"uniform": [0.2, 0.1]}}, "the least first"),
        ({"rate": {"uniform": [0.1, 2]}}, "must be at most 1, not 2"),
        ({"rate": {"uniform": ["a", 1]}}, "takes a number, not 'a'"),
        ({"rate": {"randint": [0.1, 1]}}, "randint draws whole numbers"),
        ({"rate": {"quniform": [0.1, 0.2]}}, "quniform takes three numbers"),
        ({"rate": {"quniform": [0.1, 0.2, 0.5]}}, "a step above 0 and within the bounds"),
        ({"rows": {"uniform": [1, 2]}}, "whole number: take randint"),
        ({"rows": {"randint": [0, 2]}}, "must be at least 1, not 0"),
        ({"strategy": {"uniform": [1, 2]}}, "this parameter is a str: take choice"),
        ({"strategy": {"choice": ["freze"]}}, "did you mean 'freeze'?"),
        ({"strategy": {"choice": []}}, "choice takes a list of values"),
        ({"careful": {"choice": ["yes", "true"]}}, "names a value twice"),
        ({"rank": {"randint": [1, 2], "when": {"strtegy": "lora"}}}, "when: 'strtegy' is no parameter"),
        ({"rank": {"randint": [1, 2], "when": {"strategy": "laura"}}}, "when: strategy 'laura' is not one of"),
        ({"rank": {"randint": [1, 2], "when": "lora"}}, "when takes a mapping"),
        ({"rank": {"randint": [1, 2], "when": {"strategy": []}}}, "when: strategy names no value"),
        ({"rate": {"quniform": [0.1, 1, 1e-8]}}, "a step above 0 and within the bounds"),
        ({"strategy": {"choice": [""]}}, "needs a value"),
        (
            {
                "rank": {"randint": [1, 2], "when": {"rows": 3}},
                "rows": {"randint": [1, 9], "when": {"rank": 1}},
            },
            "wait for each other",
        ),
    ],
)
def test_what_is_wrong_is_said(axes, problem):
    found = told(axes)
    assert len(found) == 1
    assert problem in found[0]


def test_everything_that_is_wrong_is_said_at_once():
    assert len(told({"raet": {}, "rate": {"uniform": [1]}, "rows": {"choice": ["x"]}, "careful": 3})) == 4
    problems: list[str] = []
    space.parse("[]", KNOWN, problems)
    assert "takes a mapping" in problems[0]


def test_what_never_holds_is_refused_and_a_list_is_one_value():
    found, problems = read(
        strategy={"choice": ["freeze"]},
        rank={"randint": [1, 2], "when": {"strategy": "lora"}},
    )
    assert problems == ["rank: when: strategy never is lora"]
    found, problems = read(rank={"randint": [1, 2], "when": {"stages": ["1", "2"]}})
    assert problems == []
    assert found.axes[0].when == {"stages": ("1,2",)}


def test_a_fraction_has_one_text_and_the_last_step_is_met():
    found, problems = read(rate={"choice": ["1", "0.5"]})
    assert (found.axes[0].values, problems) == (("1.0", "0.5"), [])
    assert read(rate={"choice": ["1", "1.0"]})[1] == ["rate: choice names a value twice"]
    found, problems = read(rate={"quniform": ["0.1", "1", "0.3"]})
    assert (found.axes[0].figures, problems) == ((0.1, 1.0, 0.3), [])


@pytest.mark.parametrize(
    ("axis", "text", "holds"),
    [
        (Axis("rate", "uniform", (0.1, 0.2)), "0.2", True),
        (Axis("rate", "uniform", (0.1, 0.2)), "0.21", False),
        (Axis("rows", "quniform", (8.0, 64.0, 8.0)), "24", True),
        (Axis("rows", "quniform", (8.0, 64.0, 8.0)), "25", False),
        (Axis("rate", "quniform", (0.1, 0.4, 0.1)), "0.3", True),
        (Axis("strategy", "choice", values=("a",)), "b", False),
    ],
)
def test_what_an_axis_holds(axis, text, holds):
    assert axis.holds(text) == holds


def test_points_are_held_to_the_space():
    found, _ = read(rate={"uniform": [0.1, 0.2]}, rows={"choice": [8, 16]})
    problems: list[str] = []
    assert space.points('[{"rate": "1e-1", "rows": 8}, {}]', found, KNOWN, problems) == (
        {"rate": "0.1", "rows": "8"},
        {},
    )
    assert problems == []
    space.points('[{"rate": 0.3, "rows": "x"}, {"rank": 2, "rats": 1}]', found, KNOWN, problems)
    assert problems == [
        "point 1: rate=0.3 is outside of what is searched",
        "point 1: rows takes a whole number, not 'x'",
        "point 2: 'rank' is not searched",
        "point 2: 'rats' is not searched; did you mean 'rate'?",
    ]
    problems = []
    space.points('{"rate": 1}', found, KNOWN, problems)
    assert problems == ["takes a list of mappings: of parameters to the values to try"]
