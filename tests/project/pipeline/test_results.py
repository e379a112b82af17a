"""What a step has given, where another asks for it."""

from __future__ import annotations

import pytest

from dlops.errors import StepFailed
from dlops.project.pipeline import results
from dlops.project.pipeline.references import Reference
from dlops.project.pipeline.results import Result


def test_a_whole_metric_fills_a_parameter_that_counts():
    found = Result(run_id="r", metrics={"best_epoch": 7.0, "accuracy": 0.5})
    assert found.value(Reference("tune", "best_epoch", metric=True)) == "7"
    assert found.value(Reference("tune", "accuracy", metric=True)) == "0.5"


def test_what_a_step_has_not_given():
    result = Result(run_id="1", outputs={"model": "m"}, metrics={"f1": 0.1 + 0.2})
    assert result.value(Reference("a", "run_id")) == "1"
    assert float(result.value(Reference("a", "f1", metric=True))) == 0.1 + 0.2
    with pytest.raises(StepFailed, match="a has given no output 'modle'; did you mean 'model'"):
        result.value(Reference("a", "modle"))
    with pytest.raises(StepFailed, match="a has given no metric 'x'; it has f1"):
        result.value(Reference("a", "x", metric=True))


def test_references_in_lists_and_mappings_are_filled():
    put = results.of_all({"a": Result(run_id="1", outputs={"x": "X"})})
    found = results.filled({"k": ["${a.x}", 1, {"of": "run ${a.run_id}"}]}, put)
    assert found == {"k": ["X", 1, {"of": "run 1"}]}
