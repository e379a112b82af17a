from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import mlflow
import pytest
import pytorch_lightning as pl
from mlflow.exceptions import MlflowException
from pytorch_lightning.demos.boring_classes import BoringModel

from dlops.ml import record, stalls, training
from dlops.ml.hardware import Arithmetic
from dlops.ml.stalls import Stalls

TRAINER = SimpleNamespace(current_epoch=2, fit_loop=SimpleNamespace(batch_idx=4))
CPU = Arithmetic("cpu", bf16=False)


def watching():
    return [thread for thread in threading.enumerate() if thread.name == "stalls"]


def tags(run):
    return mlflow.MlflowClient().get_run(run.info.run_id).data.tags


def until(condition):
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def watch():
    """A watch whose stalls are short."""
    watch = Stalls(0.2)
    yield watch
    watch.teardown(TRAINER, None, "fit")


def test_a_stall_is_told_once_with_the_place_of_each_thread(run, watch, capfd):
    watch.setup(TRAINER, None, "fit")
    watch.on_train_batch_end(TRAINER, None, None, None, 4)
    until(lambda: "dlops.stalled" in tags(run))
    time.sleep(0.5)
    watch.on_train_batch_end(TRAINER, None, None, None, 5)
    watch.teardown(TRAINER, None, "fit")
    out = capfd.readouterr().out
    assert out.count("no batch has ended for") == 1
    told = out[out.index("the last was epoch 3, batch 5. Each thread is here:\nMainThread:\n") :]
    assert told.index("test_stalls.py") < told.index("It goes on after"), "where the main thread waits"
    assert "_watch" not in told, "that the watch is awake tells nothing"
    assert "the last was epoch 3, batch 5" in tags(run)["dlops.stalled"]
    assert out.count("It goes on after") == 1
    assert out.index("no batch") < out.index("It goes on after")


def test_no_run_but_the_one_that_stands_still_is_told(run, watch):
    watch.setup(TRAINER, None, "fit")
    until(lambda: "dlops.stalled" in tags(run))
    watch.teardown(TRAINER, None, "fit")
    assert [found.info.run_id for found in mlflow.MlflowClient().search_runs([run.info.experiment_id])] == [
        run.info.run_id
    ]


def test_a_store_that_does_not_answer_ends_no_watch(run, watch, monkeypatch, capfd):
    tried = []

    def tag(*arguments, **others):
        tried.append(arguments)
        raise MlflowException("no answer")

    monkeypatch.setattr(record, "tag", tag)
    watch.setup(TRAINER, None, "fit")
    for count in (1, 2):
        until(lambda count=count: len(tried) == count)
        watch.on_test_batch_end()
    assert capfd.readouterr().out.count("Warning: no batch has ended") == 2


def test_a_stall_at_the_end_of_one_stage_hides_none_in_the_next(run, watch, capfd):
    watch.setup(TRAINER, None, "fit")
    until(lambda: "dlops.stalled" in tags(run))
    watch.teardown(TRAINER, None, "fit")
    watch.setup(TRAINER, None, "validate")
    time.sleep(0.8)
    watch.teardown(TRAINER, None, "validate")
    out = capfd.readouterr().out
    assert (out.count("Warning: no batch has ended"), out.count("It goes on")) == (2, 0)


def test_while_batches_end_nothing_is_told(run, monkeypatch, capfd):
    now = [0.0]
    monkeypatch.setattr(stalls, "time", SimpleNamespace(monotonic=lambda: now[0]))
    watch = Stalls(0.08)
    watch.setup(TRAINER, None, "fit")
    for _ in range(10):
        now[0] += 0.07
        time.sleep(0.03)  # the watch looks every 0.02 s
        watch.on_train_batch_end(TRAINER)
    out, err = capfd.readouterr()
    assert out + err == ""
    now[0] += 0.09
    until(lambda: "dlops.stalled" in tags(run))
    watch.teardown(TRAINER, None, "fit")


class Probe(pl.Callback):
    """Notes how many watches there are in each stage."""

    def __init__(self, *, fails=False):
        self.found, self.fails = {}, fails

    def on_train_batch_end(self, trainer, *others):
        self.found["fit"] = len(watching())
        if self.fails:
            raise ValueError("as it happens")

    def on_validation_batch_end(self, trainer, *others):
        self.found[trainer.state.fn.value] = len(watching())

    def on_test_batch_end(self, *others):
        self.found["test"] = len(watching())


def trainer(probe):
    return training._trainer(CPU, training.ALONE, 1, [Stalls(60), probe])


def test_every_stage_of_a_training_is_watched_and_none_leaves_a_thread_behind():
    probe = Probe()
    with training._quiet():
        whole, model = trainer(probe), BoringModel()
        for stage in (whole.fit, whole.validate, whole.test):
            stage(model)
            assert watching() == []
    assert probe.found == {"fit": 1, "validate": 1, "test": 1}


def test_a_failure_leaves_no_thread_behind():
    probe = Probe(fails=True)
    with training._quiet(), pytest.raises(ValueError, match="as it happens"):
        trainer(probe).fit(BoringModel())
    assert probe.found["fit"] == 1
    assert watching() == []
