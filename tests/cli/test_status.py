"""`dlops status`: runs as a table, one run, a document."""

from __future__ import annotations

import pytest

from dlops.cli import console, status
from dlops.project.runs import Run


def run(**fields):
    facts = {"run_id": "0" * 32, "name": "n", "step": "finetune", "status": "RUNNING", "target": "local"}
    return Run(**{**facts, "started": 0.0, "duration_s": 61.0, "heartbeat_s": 1.0, **fields})


def test_the_latest_runs_and_one(looking, recorded):
    run_id = recorded[1]["run_id"]
    (listed,) = looking.json("status")
    assert (listed["run_id"], listed["status"], listed["step"]) == (run_id, "FINISHED", "finetune")
    shown = looking.run("status", run_id[:8]).stdout
    assert "[red] ünï" in shown
    assert "FINISHED for" in shown


def test_without_a_store_it_says_so(shell):
    assert "Nothing is recorded in" in shell.run("status", exit_code=2).stderr


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({}, ""),
        ({"progress": {"done": 3, "total": 10, "text": "epoch [1]"}}, "3/10 epoch [1]"),
        ({"progress": {"done": 3}}, "3/?"),
        ({"heartbeat_s": 600.0, "progress": {"done": 3}}, "no sign for 10 min 0 s"),
    ],
)
def test_progress_in_words(fields, shown):
    assert status._progress(run(**fields)) == shown


@pytest.mark.parametrize("odd", ["[red]x", "[/x]", ":smile:"])
def test_odd_words_are_shown_as_they_are(odd):
    found = run(step=odd, target=odd, name=odd, error=odd, params={odd: odd}, outputs={odd: odd}, metrics={odd: 1.0})
    with console.out().capture() as captured:
        console.out().print(status._many([found]), status._one(found))
    assert captured.get().count(odd) >= 10
