from __future__ import annotations

import json
import time

from dlops.project.pipeline import progress
from dlops.project.pipeline.progress import StepProgress


def test_the_account_counts_what_is_over_and_names_what_runs(tmp_path):
    place = tmp_path / "progress.json"
    running = StepProgress(
        name="b", before=("a",), state=progress.RUNNING, began=time.monotonic() - 5, told="epoch 1/3"
    )
    steps = [StepProgress(name="a", state=progress.CACHED, seconds=3.14159), running, StepProgress(name="c")]
    progress.write(place, steps)
    told = json.loads(place.read_text())
    assert (told["done"], told["total"], told["unit"], told["text"]) == (1, 3, "steps", "b epoch 1/3")
    assert told["steps"][0] == {"name": "a", "state": "cached", "seconds": 3.142}
    assert told["steps"][1].items() >= {"needs": ["a"], "progress": "epoch 1/3"}.items()
    assert 5 <= told["steps"][1]["seconds"] < 60
    assert told["steps"][2] == {"name": "c", "state": "waiting"}
    assert [file.name for file in tmp_path.iterdir()] == ["progress.json"]


def test_what_a_step_said_last_is_not_told_when_it_is_over():
    assert "progress" not in StepProgress(name="a", state=progress.FINISHED, told="epoch 3/3").document()
