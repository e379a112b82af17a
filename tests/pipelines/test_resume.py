"""Fine-tunings that are killed, and go on: what comes of them is what an uninterrupted one gives."""

from __future__ import annotations

import random
import time
from pathlib import Path

import mlflow
import pytest
from safetensors.torch import load_file

from dlops.ml import checkpoint_artifacts
from tests.pipelines.conftest import EXACT, killed
from tests.pipelines.test_finetune import easy, settings

__all__ = ["easy"]


def weights(steps, run):
    """Read what a run's model consists of."""
    mlflow.set_tracking_uri(steps.environ["MLFLOW_TRACKING_URI"])
    folder = Path(mlflow.artifacts.download_artifacts(run.data.tags["dlops.output.model"]))
    return {
        f"{file.name} {name}": tensor
        for file in sorted(folder.rglob("*.safetensors"))
        for name, tensor in load_file(file).items()
    }


@pytest.mark.slow
def test_a_run_that_is_resumed_twice_ends_as_an_uninterrupted_one(steps, easy, tiny_model):
    chosen = [*settings(tiny_model, "epochs=4", "strategy=freeze_unfreeze"), "checkpoint_seconds=0"]
    whole, _ = steps.run("finetune", *chosen)
    files = steps.client.list_artifacts(whole.info.run_id, checkpoint_artifacts.FOLDER)
    assert len(files) <= checkpoint_artifacts.KEPT, "their number is bounded"
    first = killed(steps, "finetune", [*chosen, EXACT], after="Model ", seconds=2.5)
    second = killed(steps, "finetune", [*chosen, f"resume_from={first}", EXACT], after="Model ", seconds=2.5)
    steps.client.set_tag(second, "dlops.resumed_from", first)
    resumed, done = steps.run("finetune", *chosen, f"resume_from={second}")
    assert "goes on from checkpoint seed-0-" in done.stdout
    expected, found = weights(steps, whole), weights(steps, resumed)
    assert found.keys() == expected.keys()
    assert all(tensor.equal(found[name]) for name, tensor in expected.items())
    for name in ("test_accuracy", "test_loss", "val_loss"):
        assert resumed.data.metrics[name] == whole.data.metrics[name]
    history = steps.client.get_metric_history(resumed.info.run_id, "val_loss")
    assert [metric.step for metric in history] == [1, 2, 3, 4], "the curve has what went before, too"


def test_seeds_go_on_where_they_were(steps, easy, tiny_model):
    chosen = [*settings(tiny_model, "epochs=2", "seeds=2"), "checkpoint_seconds=0"]
    whole, done = steps.run("finetune", *chosen)
    assert "of 2 seeds: 0." in done.stdout
    metrics = whole.data.metrics
    assert (
        metrics["seeds_test_accuracy_min"] <= metrics["seeds_test_accuracy_mean"] <= metrics["seeds_test_accuracy_max"]
    )
    assert {"seed_0/val_loss", "seed_1/val_loss"} <= set(metrics)
    again, done = steps.run("finetune", *chosen, f"resume_from={whole.info.run_id}")
    assert "goes on from checkpoint seed-0-finished" in done.stdout
    assert "goes on from checkpoint seed-1-finished" in done.stdout
    expected, found = weights(steps, whole), weights(steps, again)
    assert all(tensor.equal(found[name]) for name, tensor in expected.items())
    assert again.data.metrics["seeds_test_accuracy_std"] == metrics["seeds_test_accuracy_std"]


def test_a_checkpoint_that_is_damaged_is_passed_over_and_one_of_another_training_refused(steps, easy, tiny_model):
    chosen = [*settings(tiny_model, "epochs=3"), "checkpoint_seconds=0"]
    whole, _ = steps.run("finetune", *chosen)
    files = sorted((steps.artifacts(whole) / checkpoint_artifacts.FOLDER).iterdir())
    assert len(files) == 2
    files[-1].write_bytes(files[-1].read_bytes()[:-1000])
    resumed, done = steps.run("finetune", *chosen, f"resume_from={whole.info.run_id}")
    assert f"{files[-1].name} of run {whole.info.run_id} is passed over" in done.stdout
    assert f"goes on from checkpoint {files[0].name}" in done.stdout
    expected, found = weights(steps, whole), weights(steps, resumed)
    assert all(tensor.equal(found[name]) for name, tensor in expected.items())
    _, done = steps.run("finetune", *chosen, "clip=2", f"resume_from={whole.info.run_id}", exit_code=4)
    assert "The checkpoint is of another training: clip was 1.0, is 2.0." in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_ten_random_moments_each_resumed_run_equals_the_uninterrupted_one(steps, easy, tiny_model):
    chosen = [*settings(tiny_model, "epochs=40", "head=mean"), "checkpoint_seconds=0.2"]
    began = time.monotonic()
    whole, _ = steps.run("finetune", *chosen)
    taken = min(whole.data.metrics["train_seconds"], time.monotonic() - began)
    expected, moments = weights(steps, whole), random.Random(time.time_ns())
    for _ in range(10):
        moment = moments.uniform(0, taken)
        run_id = killed(steps, "finetune", [*chosen, EXACT], after="Model ", seconds=moment)
        resumed, done = steps.run("finetune", *chosen, f"resume_from={run_id}")
        found = weights(steps, resumed)
        assert all(tensor.equal(found[name]) for name, tensor in expected.items()), (moment, done.stdout)
