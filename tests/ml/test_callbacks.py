from __future__ import annotations

import contextlib
import dataclasses
from types import SimpleNamespace

import mlflow
import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import callbacks
from dlops.ml.callbacks import FINISHED, BestWeights, Checkpoints, Story
from tests.ml.test_evaluation import classified


class Module(torch.nn.Linear):
    def __init__(self):
        super().__init__(1, 1)
        self.result = None
        self.train_loss = 0.5

    def epoch_loss(self):
        return self.train_loss


def trainer(epoch):
    return SimpleNamespace(current_epoch=epoch, state=SimpleNamespace(fn="fit"))


def result(right, loss=0.5):
    actual = [0, 1] * 5
    predicted = [label if row < right else 1 - label for row, label in enumerate(actual)]
    return dataclasses.replace(classified(actual, predicted, ("a", "b")), loss=loss)


@pytest.mark.parametrize(
    ("results", "best"),
    [
        ([result(6), result(9), result(7)], 2),
        ([result(6), result(7), result(9)], 3),
        ([result(8, 0.9), result(8, 0.3), result(8, 0.6)], 2),
    ],
)
def test_the_weights_of_the_best_epoch_come_back(results, best):
    module, keeper = Module(), BestWeights()
    for epoch, found in enumerate(results):
        with torch.no_grad():
            module.weight.fill_(epoch + 1)
        module.result = found
        keeper.on_validation_end(trainer(epoch), module)
    keeper.on_train_end(trainer(len(results)), module)
    assert keeper.epoch == best
    assert module.weight.item() == best


def test_of_what_is_never_trained_nothing_is_kept():
    module, keeper = Module(), BestWeights(partial=True)
    module.requires_grad_(False)
    module.result = result(9)
    keeper.on_validation_end(trainer(0), module)
    assert keeper.state_dict()["weights"] == {}
    keeper.on_train_end(trainer(2), module)


def test_a_test_is_no_epoch():
    module, keeper = Module(), BestWeights()
    module.result = result(9)
    keeper.on_validation_end(SimpleNamespace(current_epoch=0, state=SimpleNamespace(fn="test")), module)
    assert keeper.epoch == 0


def test_every_epoch_is_told_logged_and_kept(run, capsys):
    story, module = Story(epochs=2, batches=5), Module()
    for epoch in (0, 1):
        story.on_train_epoch_start(trainer(epoch), module)
        story.on_train_batch_end(trainer(epoch), module, None, [], 4)
        module.result = result(7 + epoch)
        story.on_train_epoch_end(trainer(epoch), module)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_accuracy")
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.7), (2, 0.8)]
    assert [epoch.metrics["val_accuracy"] for epoch in story.epochs] == [0.7, 0.8]
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Epoch 1/2: train_loss 0.500, val_loss 0.500, val_accuracy 0.700")
    assert len(lines) == 2


def test_the_first_step_alone_is_logged_with_the_time_since_the_run_began(run):
    story, module = Story(epochs=2, batches=2), Module()
    began = run.info.start_time / 1000
    for epoch, batch in [(0, 0), (0, 1), (1, 0)]:
        story.on_train_batch_end(trainer(epoch), module, None, [], batch)
    (metric,) = mlflow.MlflowClient().get_metric_history(run.info.run_id, "first_step_seconds")
    assert metric.value == pytest.approx(metric.timestamp / 1000 - began, abs=0.1)
    assert metric.value > 0


def test_time_before_an_interruption_counts(run, monkeypatch):
    now = [100.0]
    monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: now[0], time=lambda: now[0]))
    story = Story(epochs=2, batches=2)
    story.on_train_start(trainer(0), Module())
    now[0] += 7
    story.on_train_epoch_end(trainer(0), Module())
    now[0] += 2
    kept = story.state_dict()
    assert (kept["seconds"], kept["epoch_seconds"]) == (9, 2)
    again = Story(epochs=2, batches=2)
    again.load_state_dict(kept)
    now[0] += 1000
    again.on_train_start(trainer(1), Module())
    now[0] += 3
    assert again.state_dict()["seconds"] == 12
    again.on_train_epoch_end(trainer(1), Module())
    assert [epoch.seconds for epoch in again.epochs] == [7, 5]


class Writer:
    """A trainer, its clock, and the place of its checkpoints: each takes `cost` seconds to write."""

    def __init__(self, monkeypatch, cost=0.0):
        self.now, self.cost, self.names, self.saved = 100.0, cost, [], []
        monkeypatch.setattr(callbacks, "time", SimpleNamespace(monotonic=lambda: self.now))
        self.current_epoch, self.max_epochs, self.num_training_batches, self.global_step = 0, 2, 10**6, 0
        self.strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, **how: decision)

    @contextlib.contextmanager
    def writing(self, name):
        yield name
        self.names.append(name)

    def save_checkpoint(self, file):
        self.now += self.cost
        self.saved.append((file, self.now))

    def train(self, kept, steps):
        """Make steps of a second each."""
        for _ in range(steps):
            self.now += 1
            self.global_step += 1
            kept.on_train_batch_end(self, None, None, [], self.global_step - 1)


def begun(trainer, seconds, **given):
    kept = Checkpoints(trainer.writing, seconds, {"strategy": "lora", "epochs": "3"}, **given)
    kept.on_train_start(trainer, None)
    return kept


def test_a_checkpoint_comes_when_the_last_is_some_time_ago(monkeypatch):
    writer = Writer(monkeypatch)
    writer.train(begun(writer, 5), 17)
    assert writer.names == ["00000005", "00000010", "00000015"]


def test_the_pause_grows_with_what_they_cost(monkeypatch):
    writer = Writer(monkeypatch, cost=2.0)
    kept = begun(writer, 5)
    writer.train(kept, 200)
    assert writer.names == ["00000005", "00000045", "00000085", "00000125", "00000165"]
    share = writer.cost * len(writer.names) / (writer.now - 100)
    assert share <= 0.05
    writer.cost = 0.1
    writer.train(kept, 40)
    assert writer.names[5:] == [
        "00000205",
        "00000210",
        "00000215",
        "00000220",
        "00000225",
        "00000230",
        "00000235",
        "00000240",
    ]


def test_with_no_seconds_each_step_has_one_whatever_it_costs(monkeypatch):
    writer = Writer(monkeypatch, cost=9.0)
    writer.train(begun(writer, 0), 4)
    assert writer.names == [f"{step:08d}" for step in range(1, 5)]


def test_the_end_of_an_epoch_has_one_instead_of_its_last_batch(monkeypatch):
    writer = Writer(monkeypatch)
    kept = begun(writer, 0)
    writer.num_training_batches = 3
    writer.train(kept, 3)
    assert writer.names == ["00000001", "00000002"]
    kept.on_train_epoch_end(writer, None)
    assert writer.names[2:] == ["00000003"]
    writer.current_epoch = 1
    kept.on_train_epoch_end(writer, None)
    kept.on_train_end(writer, None)
    assert writer.names[3:] == [FINISHED], "that epoch's own is that of the whole training"


def test_the_end_has_one_if_it_is_time(monkeypatch):
    """What follows the training may fail or be killed: that must cost no more of it than anything else."""
    for steps, names in ((4, []), (7, ["00000005"]), (6, ["00000005"])):
        writer = Writer(monkeypatch)
        kept = begun(writer, 5)
        writer.train(kept, steps)
        kept.on_train_end(writer, None)
        assert writer.names == names
    writer.train(kept, 3)
    writer.now += 4
    kept.on_train_end(writer, None)
    assert writer.names == ["00000005", FINISHED]


def test_the_end_has_one_where_another_training_follows(monkeypatch):
    writer = Writer(monkeypatch)
    kept = begun(writer, 5, finished=True)
    assert not kept.has_ended({"callbacks": {kept.state_key: kept.state_dict()}})
    kept.on_train_end(writer, None)
    assert writer.names == [FINISHED]
    assert sorted(["00000001", "99999999", FINISHED])[-1] == FINISHED, "it is the newest by its name"
    assert kept.has_ended({"callbacks": {kept.state_key: kept.state_dict()}})


def test_a_checkpoint_of_another_training_is_refused_with_what_differs(monkeypatch):
    kept = begun(Writer(monkeypatch), 5)
    same = {"callbacks": {kept.state_key: kept.state_dict()}}
    kept.check(same)
    made = {"strategy": "no_freeze", "gone": "1", "batch_size": "16"}
    found = {"strategy": "lora", "new": "2", "batch_size": "16"}
    kept = Checkpoints(None, 5, found)
    with pytest.raises(StepFailed) as caught:
        kept.check({"callbacks": {kept.state_key: {"identity": made}}})
    told = "gone was 1, is None; new was None, is 2; strategy was no_freeze, is lora"
    assert str(caught.value) == f"The checkpoint is of another training: {told}."
    assert "dataset=" in caught.value.hint
