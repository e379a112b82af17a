from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import mlflow
import pytest
import torch

from dlops.ml.callbacks import BestWeights, Story
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
