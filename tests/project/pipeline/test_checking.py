"""All mistakes of a pipeline are told at once; a good one is planned whole."""

from __future__ import annotations

import re

import pytest

from dlops.errors import UsageError
from dlops.project.pipeline import checking


def edit(folder, old, new, name="configs/run.yaml"):
    text = (folder / name).read_text()
    assert old in text
    (folder / name).write_text(text.replace(old, new))


def checked(planner):
    return checking.check(planner.asked, planner.pipeline)


def test_everything_wrong_is_told_at_once(planner, folder):
    edit(folder, "{n: 3}", "{n: many, rat: 1}")
    edit(folder, '"${one.x}"', '"${one.y} ${one.run_id} ${one.metrics.any}"')
    edit(folder, "k: 5", "k: 5, z: 1")
    with pytest.raises(UsageError) as caught:
        checked(planner(given={"fuor": {"k": "1"}, "two": {"k": "x"}}, targets={"oen": "local"}))
    told = re.sub(r"/\S*/", "", "\n".join(caught.value.problems))
    for expected in (
        "one: configs/run.yaml: 'n' takes",
        "'rat' is no parameter of this entry point; did you mean 'rate'?",
        "two: ${one.y}: one gives no output 'y'; it gives x",
        "three: configs/run.yaml: 'z' is no parameter",
        "fuor.k=1: there is no step 'fuor'",
        "--on oen=local: there is no such step; did you mean 'one'?",
    ):
        assert expected in told
    assert "run_id" not in told
    assert "metrics" not in told


def test_a_good_pipeline_is_planned_whole(planner):
    plans = checked(planner(given={"two": {"k": "9"}}))
    assert plans["two"].values["k"] == "9"
    assert plans["one"].values["n"] == "3"
    assert plans["three"].values["x"] == "", "known later"
