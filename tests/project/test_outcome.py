"""An outcome's document, and the error that its end amounts to."""

from __future__ import annotations

import json

import pytest

from dlops.errors import UsageError
from dlops.project.outcome import Outcome, error_of, problem

FACTS = {"step": "finetune", "target": "local", "entry_point": "main"}
KEYS = {"run_id", "status", "step", "target", "entry_point", "params", "metrics", "outputs", "tracking_uri", "url"}


def outcome(**fields):
    return Outcome(**{**FACTS, "tracking_uri": "http://me:secret-word@h:5000/", "status": "FINISHED", **fields})


def test_the_document_has_every_key_and_no_secret():
    document = outcome(run_id="r", experiment_id="3").as_dict()
    assert set(document) == KEYS | {"duration_s"}
    assert document["url"] == "http://h:5000/#/experiments/3/runs/r"
    assert "secret-word" not in json.dumps(document)


def test_without_a_run_there_is_no_page():
    assert outcome().as_dict()["run_id"] is None
    assert outcome().url is None
    assert outcome(run_id="r", tracking_uri="sqlite:////x.db").url is None


def test_a_failure_is_in_the_document():
    document = outcome(error=UsageError("Two.", problems=["a", "b"], hint="h")).as_dict()
    assert document["error"] == {"kind": "usage", "message": "Two.\n  - a\n  - b", "hint": "h"}
    assert problem(UsageError("x"))["hint"] == ""


def ended(status="FAILED", exit_code=1, **more):
    return {"status": status, "exit_code": exit_code, "error": "its own words", **more}


@pytest.mark.parametrize(
    ("event", "exit_code"),
    [
        (ended("FINISHED", 0), 0),
        (ended(), 4),
        (ended(exit_code=3), 4),
        (ended(exit_code=3, gate="accuracy below 0.9"), 3),
        (ended(exit_code=4, gate="accuracy below 0.9"), 4),
        (ended("KILLED", 143), 130),
        (ended("KILLED", 3, gate="x"), 130),
        (ended("FINISHED", 0, unreachable="the store is away"), 5),
    ],
)
def test_the_end_as_an_exit_code(event, exit_code):
    error = error_of(event, "finetune", "r")
    assert outcome(error=error).exit_code == exit_code
    if error:
        assert error.hint


def test_a_failed_step_is_told_in_its_own_words():
    assert str(error_of(ended(), "finetune", "r")).endswith("its own words")
