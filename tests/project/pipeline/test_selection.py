from __future__ import annotations

from pathlib import Path

import pytest

from dlops.errors import UsageError
from dlops.project.pipeline import definition
from dlops.project.pipeline.selection import Selection

PIPELINE = definition.parse(
    {"steps": {"a": {}, "b": {"needs": "a"}, "c": {"needs": "b"}, "other": {}}}, file="run.yaml", base=Path()
)


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({}, {"a", "b", "c", "other"}),
        ({"start": "b"}, {"b", "c"}),
        ({"end": "b"}, {"a", "b"}),
        ({"start": "b", "end": "b"}, {"b"}),
        ({"only": ("c", "other")}, {"c", "other"}),
        ({"force": ("c",)}, {"a", "b", "c", "other"}),
    ],
)
def test_what_is_chosen(asked, chosen):
    assert Selection(**asked).names(PIPELINE) == chosen


def test_steps_that_there_are_not_are_told_at_once():
    with pytest.raises(UsageError) as caught:
        Selection(start="x", end="othr", force=("y",)).names(PIPELINE)
    assert caught.value.problems == (
        "--from x: there is no such step",
        "--to othr: there is no such step; did you mean 'other'?",
        "--force y: there is no such step",
    )
    assert caught.value.hint == "The pipeline has a, b, c, other."


def test_a_step_that_is_not_to_run_cannot_be_forced():
    with pytest.raises(UsageError, match="not among the steps"):
        Selection(start="b", force=("a",)).names(PIPELINE)


def test_what_contradicts_itself_is_refused():
    with pytest.raises(UsageError, match="--from and --to say nothing beside it"):
        Selection(only=("a",), end="b")
    with pytest.raises(UsageError, match="both from c on and up to a"):
        Selection(start="c", end="a").names(PIPELINE)
