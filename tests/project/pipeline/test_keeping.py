"""What is left of a pipeline in the store; tests/project/pipeline/test_runner.py looks at that of real ones."""

from __future__ import annotations

import json

from mlflow.artifacts import load_text

from dlops.project.outcome import Outcome
from dlops.project.pipeline import keeping, outputs, progress
from dlops.project.pipeline.progress import StepProgress
from dlops.project.pipeline.results import Result


def test_a_pipelines_run_tells_of_its_steps(planner, client):
    store = planner()._store
    run = client.create_run(store.experiment_id)
    known = {"one": Result(run_id="1", outputs={"x": "X"}, metrics={"m": 2.0, "system/cpu": 1.0})}
    keeping.summary(store, run.info.run_id, [StepProgress(name="one", state=progress.FINISHED, run_id="1")], known)
    found = client.get_run(run.info.run_id)
    assert found.data.metrics == {"one/m": 2.0}, "not those of the machine"
    assert found.data.tags["dlops.output.one.x"] == "X"
    summary = json.loads(load_text(f"{found.info.artifact_uri}/{keeping.SUMMARY}"))
    assert summary == {"steps": [{"name": "one", "state": "finished", "run_id": "1"}]}
    assert "<svg" in load_text(f"{found.info.artifact_uri}/pipeline.svg")


def test_the_files_of_an_output_are_listed(planner, client, tmp_path):
    store, file = planner()._store, tmp_path / "answers.csv"
    file.write_text("1")
    run_id = client.create_run(store.experiment_id).info.run_id
    facts = {"step": "one", "target": "local", "entry_point": "one", "tracking_uri": "", "params": {}}
    keeping.manifest(store, Outcome(**facts, run_id=run_id, status="FINISHED", outputs={"x": str(file), "y": "word"}))
    assert list(store.damage(client.get_run(run_id))) == []
    kept = outputs.read(store._text(run_id, outputs.ARTIFACT))
    assert {name: list(files) for name, files in kept.items()} == {"x": ["answers.csv"]}
