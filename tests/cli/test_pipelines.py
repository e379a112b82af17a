"""How a pipeline looks on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dlops.cli import pipelines
from dlops.project.outcome import Outcome

STEPS = (
    {"name": "ingest", "state": "cached", "seconds": 90.0, "why": "nothing has changed", "target": "local"},
    {
        "name": "finetune",
        "state": "finished",
        "seconds": 2.5,
        "needs": ["ingest"],
        "target": "gpu",
        "why": "epochs 2 → 3",
    },
    {
        "name": "evaluate",
        "state": "refused",
        "needs": ["ingest", "finetune"],
        "target": "local",
        "error": "too low\nmore",
    },
    {"name": "other", "state": "running", "progress": "epoch 1/3", "seconds": 1.0, "why": "--force", "target": "local"},
)


def shown(renderable):
    console = Console(file=io.StringIO(), width=150)
    console.print(renderable)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_a_summary_tells_each_step_and_what_the_cache_saved():
    facts = {"step": "run", "entry_point": "main", "target": "local", "tracking_uri": "", "run_id": "a"}
    lines = shown(pipelines.summary(Outcome(status="FAILED", duration_s=3.0, steps=STEPS, **facts)))
    assert lines[0] == "run FAILED in 3.0 s; 1 step was taken from the cache, which saved 1 min 30 s"
    assert lines[2].split() == ["ingest", "↺", "cached", "nothing", "has", "changed"], "no seconds: it took none"
    assert lines[3].startswith("└─ finetune")
    assert lines[4].startswith("   └─ evaluate")
    assert "too low" in lines[4]
    assert "more" not in lines[4]


def test_what_goes_on_tells_its_progress():
    lines = shown(pipelines.live(STEPS))
    assert "epoch 1/3" in lines[3]
    assert "--force" not in lines[3]


def test_a_plan_tells_where_and_why():
    lines = shown(pipelines.plan([{**step, "state": "will run"} for step in STEPS[:2]]))
    assert lines[0] == "The pipeline would run like this; nothing was created."
    assert "on gpu" in lines[2]
    assert "epochs 2 → 3" in lines[2]
    assert "on local" not in lines[1]


@pytest.mark.parametrize(
    "state", ["cached", "finished", "refused", "running", "failed", "ended", "skipped", "left out"]
)
def test_every_state_can_be_shown(state):
    assert state in " ".join(shown(pipelines.live([{"name": "a", "state": state}])))
