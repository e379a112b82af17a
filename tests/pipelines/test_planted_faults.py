"""Faults that are planted in a fine-tuning: each ends loudly, truthfully, and says what to do."""

from __future__ import annotations

import contextlib
import subprocess

import pytest

from dlops.data import splits, tables
from tests.ml.conftest import simple_rows
from tests.pipelines.test_finetune import easy, settings

__all__ = ["easy"]

PLANTS = """
import resource
import pytorch_lightning as pl
import torch

class NaN(pl.Callback):
    def on_train_batch_start(self, trainer, module, batch, index):
        if index == 2:
            batch[0]["labels"] = batch[0]["labels"] * float("nan")

class Little(pl.Callback):
    def on_train_start(self, trainer, module):
        used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (150 << 20), resource.RLIM_INFINITY))
    def on_train_epoch_end(self, trainer, module):
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

class TooLittle(Little):
    "For a layer that takes a gigabyte for any row."
    def on_train_start(self, trainer, module):
        super().on_train_start(trainer, module)
        module.network.register_forward_pre_hook(lambda *_: torch.empty(1 << 30, dtype=torch.uint8).sum())
"""

WHOLE = ("batch_size=4000", "micro_tokens=10000000")
"""The train rows as one batch, in one part."""


@pytest.fixture
def plants(steps):
    (steps.folder / "plants.py").write_text(PLANTS)


@contextlib.contextmanager
def file_system(folder, size):
    """Mount a file system of this size; root may write wherever permissions say no, but not where there is no room."""
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=False).returncode:
        pytest.skip("no file system may be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("fault", ["full", "read-only"])
def test_a_checkpoint_that_cannot_be_written_ends_the_run_and_names_the_file(steps, easy, tiny_model, fault):
    with file_system(steps.folder / "small", "600k") as small:
        experiment = steps.client.create_experiment("small", artifact_location=str(small))
        if fault == "read-only":
            subprocess.run(["mount", "-o", "remount,ro", str(small)], check=True)
        chosen = [*settings(tiny_model, "epochs=3"), "checkpoint_seconds=0"]
        done = steps.process("finetune", *chosen, MLFLOW_EXPERIMENT_ID=experiment)
        (run,) = steps.client.search_runs([experiment])
    assert (done.returncode, run.info.status) == (4, "FAILED"), done.stdout + done.stderr
    assert f"The checkpoint {small}/{run.info.run_id}/artifacts/checkpoints/seed-0-" in done.stderr
    assert {"full": "No space left", "read-only": "Read-only file system"}[fault] in done.stderr
    assert "Is there room" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_number_that_is_none_is_told_with_its_batch(steps, plants, tiny_model):
    texts = [f"{text} {number}" for number, text in enumerate(simple_rows(100)[0])]
    rows = {"id": [splits.identity(text) for text in texts], "text": texts, "label": [1.0 * len(t) for t in texts]}
    rows["split"] = [("train", "train", "train", "train", "test")[place % 5] for place in range(len(texts))]
    table = tables.write(str(steps.folder / "numbers"), rows, {}, digest="n")
    chosen = [f"dataset={table.reference}", f"model={tiny_model}", "callbacks=plants:NaN"]
    _, done = steps.run("finetune", *chosen, exit_code=4)
    assert "The loss became nan in epoch 1, batch 3." in done.stderr
    assert "lower learning_rate" in done.stderr


@pytest.fixture
def many(steps):
    """A table whose train rows, as one batch, need more memory than they will have: a process of its own counts it."""
    steps.preloaded = None
    texts = [f"{' '.join([text] * 4)} {number}" for number, text in enumerate(simple_rows(3000)[0])]
    rows = {"id": [splits.identity(text) for text in texts], "text": texts, "label": [*"ab"] * (len(texts) // 2)}
    rows["split"] = ["test" if place % 30 < 2 else "train" for place in range(len(texts))]
    return tables.write(str(steps.folder / "many"), rows, {}, digest="m")


def test_a_step_that_does_not_fit_is_taken_in_smaller_parts(steps, plants, many, tiny_model):
    chosen = [f"dataset={many.reference}", f"model={tiny_model}", "epochs=1", *WHOLE]
    run, done = steps.run("finetune", *chosen, "callbacks=plants:Little")
    assert "A training step did not fit into memory: it is taken in parts of 1/" in done.stdout
    assert run.data.metrics["train_loss"] > 0


def test_memory_that_is_exhausted_is_told_with_advice(steps, plants, many, tiny_model):
    chosen = [f"dataset={many.reference}", f"model={tiny_model}", "epochs=1", *WHOLE]
    _, done = steps.run("finetune", *chosen, "callbacks=plants:TooLittle", exit_code=4)
    assert "needs more memory than there is" in done.stderr
    assert "max_length" in done.stderr


def test_what_is_wrong_with_a_callback_is_told(steps, plants, easy, tiny_model):
    _, done = steps.run("finetune", *settings(tiny_model, "callbacks=plants:Nan"), exit_code=4)
    assert "callbacks=plants:Nan: plants has no Nan." in done.stderr
