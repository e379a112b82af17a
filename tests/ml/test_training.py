from __future__ import annotations

import contextlib
import itertools

import mlflow
import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import backbones, batches, strategies, targets, tokens, training
from dlops.ml.batches import RandomBatches, TokenRows
from dlops.ml.callbacks import FINISHED, Checkpoints
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.hardware import Arithmetic
from dlops.ml.strategies import Strategy
from tests.ml.conftest import simple_rows

LABELS = ("negative", "positive")
TARGET = targets.of("classes", LABELS, [])
CPU = Arithmetic("cpu", bf16=False)


def rows(tokenizer, count, seed):
    texts, labels = simple_rows(count, seed)
    return TokenRows(tokens.encode(tokenizer, texts, None, 64), TARGET.encode(labels))


def loaders(tokenizer, *, val=True):
    collator, train = batches.Collator(0, 1024), rows(tokenizer, 160, 0)
    return training.Loaders(
        train=batches.training(train, collator, RandomBatches(train.lengths, rows=16)),
        val=batches.evaluation(rows(tokenizer, 40, 1), collator) if val else None,
        test=batches.evaluation(rows(tokenizer, 40, 2), collator),
    )


def optimization(rate=3e-3):
    return Optimization(learning_rate=rate, head_learning_rate=rate)


def trained(tiny_model, *, epochs=3, val=True, seed=0, arithmetic=CPU, strategy=None, patience=0, rate=3e-3):
    training.seed(seed)
    network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), TARGET)
    module = Classifier(network, TARGET, optimization(rate), seed=seed)
    given = loaders(tokenizer, val=val)
    more = {"epochs": epochs, "arithmetic": arithmetic, "patience": patience}
    return module, training.train(module, strategy or Strategy(), given, **more)


def test_it_learns(run, tiny_model, capfd):
    module, found = trained(tiny_model, epochs=12)
    assert found.test.rows == 40
    assert found.test.figures["accuracy"] > 0.85
    assert [epoch.number for epoch in found.epochs] == [*range(1, 13)]
    assert found.epochs[-1].metrics["train_loss"] < found.epochs[0].metrics["train_loss"]
    assert module.result is found.test
    out, err = capfd.readouterr()
    assert out.startswith("Epoch 1/12: train_loss")
    assert "Lightning" not in out + err
    assert "GPU available" not in out + err


def test_on_a_cpu_the_seed_decides_the_weights(run, tiny_model):
    first, second, other = (trained(tiny_model, epochs=1, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_without_val_rows_the_last_epoch_is_kept(run, tiny_model):
    _, found = trained(tiny_model, epochs=2, val=False)
    assert found.best_epoch == 2
    assert "val_loss" not in found.epochs[0].metrics


def test_bf16_trains_too(run, tiny_model):
    _, found = trained(tiny_model, epochs=1, arithmetic=Arithmetic("cpu", bf16=True))
    assert found.test.rows == 40


def test_it_ends_when_no_epoch_is_better(run, tiny_model, capsys):
    _, found = trained(tiny_model, epochs=40, patience=2, rate=1e-9)
    assert len(found.epochs) == found.best_epoch + 2 < 40
    assert "the training ends" in capsys.readouterr().out


def test_stages_train_what_they_name(run, tiny_model):
    module, _ = trained(tiny_model, epochs=1, strategy=strategies.FreezeUnfreeze(1))
    fresh, _ = backbones.load(backbones.locate(str(tiny_model)), TARGET)
    before, after = fresh.state_dict(), module.network.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(fresh.is_head(name) for name in moved), "the backbone's turn comes in the second epoch"
    module, _ = trained(tiny_model, epochs=2, val=False, strategy=strategies.FreezeUnfreeze(1))
    after = module.network.state_dict()
    assert not torch.equal(
        before["inner.bert.encoder.layer.0.output.dense.weight"],
        after["inner.bert.encoder.layer.0.output.dense.weight"],
    )


def test_dropout_is_on_in_training_and_off_in_evaluation(run, loaded):
    """transformers gives models in evaluation mode, and Lightning keeps the mode it finds."""
    network, tokenizer = loaded
    modes = []
    network.inner.dropout.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    module = Classifier(network, TARGET, optimization())
    training.train(module, Strategy(), loaders(tokenizer), epochs=2, arithmetic=CPU)
    order = [mode for mode, _ in itertools.groupby(modes)]
    assert order == [True, False, True, False], "training, validation, training, validation and test"


def test_a_loss_that_is_no_number_comes_through_lightning_as_it_is(run, loaded):
    network, tokenizer = loaded
    with torch.no_grad():
        network.last.bias.fill_(float("inf"))
    module = Classifier(network, TARGET, optimization())
    with pytest.raises(StepFailed, match="loss became"):
        training.train(module, Strategy(), loaders(tokenizer), epochs=1, arithmetic=CPU)


@pytest.mark.parametrize("count", [1, 17])
def test_a_last_batch_of_any_size(run, loaded, count):
    network, tokenizer = loaded
    given_rows = TokenRows(
        tokens.encode(tokenizer, ["good film"] * count, None, 64), torch.ones(count, dtype=torch.long)
    )
    collator = batches.Collator(0, 1024)
    given = training.Loaders(
        train=batches.training(given_rows, collator, RandomBatches(given_rows.lengths, rows=16)),
        val=None,
        test=batches.evaluation(given_rows, collator),
    )
    module = Classifier(network, TARGET, optimization())
    assert training.train(module, Strategy(), given, epochs=1, arithmetic=CPU).test.rows == count


def test_each_epoch_has_an_order_of_its_own(run, tiny_model, monkeypatch):
    seen = []
    monkeypatch.setattr(
        Classifier, "on_train_batch_start", lambda module, batch, index: seen.append(batch[0]["input_ids"].tolist())
    )
    trained(tiny_model, epochs=2)
    assert len(seen) == 20
    assert seen[:10] != seen[10:]


class Interrupted(Exception):
    """Stands for a kill: nothing after it runs."""


@pytest.mark.parametrize("strategy", [Strategy(), strategies.FreezeUnfreeze(1)], ids=["no_freeze", "freeze_unfreeze"])
@pytest.mark.parametrize("killed", [1, 4, 9, 10, 13, 20, 25])
def test_a_resumed_training_ends_as_an_uninterrupted_one(run, tiny_model, tmp_path, monkeypatch, strategy, killed):
    """Each epoch has 10 batches; a checkpoint is written after each of them."""

    def go(folder, *, resumed=None, until=None):
        training.seed(0)
        network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), TARGET)
        module = Classifier(network, TARGET, optimization())

        @contextlib.contextmanager
        def writing(name):
            yield folder / f"{name}.safetensors"
            if until is not None and (name == FINISHED or int(name) >= until):
                raise Interrupted

        more = {"epochs": 3, "arithmetic": CPU, "kept": Checkpoints(writing, 0, {"a": "b"}), "resumed": resumed}
        return module, training.train(module, strategy, loaders(tokenizer), **more)

    whole, expected = go(tmp_path / "whole")
    with pytest.raises(Interrupted):
        go(tmp_path / "cut", until=killed)
    last = sorted((tmp_path / "cut").iterdir())[-1]
    assert int(last.stem) == killed
    torch.rand(100)
    module, found = go(tmp_path / "again", resumed=last)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, module.state_dict()[name]), name
    assert found.best_epoch == expected.best_epoch
    assert [epoch.metrics for epoch in found.epochs] == [epoch.metrics for epoch in expected.epochs]
    assert found.test.figures == expected.test.figures


def test_a_training_that_ended_early_does_not_go_on(run, tiny_model, tmp_path):
    """The checkpoint of the epoch after which it ended is there, and what followed was interrupted."""

    def go(folder, *, epochs, resumed=None):
        training.seed(0)
        network, tokenizer = backbones.load(backbones.locate(str(tiny_model)), TARGET)
        module = Classifier(network, TARGET, optimization(1e-9))

        @contextlib.contextmanager
        def writing(name):
            yield folder / f"{name}.safetensors"

        more = {"epochs": epochs, "arithmetic": CPU, "kept": Checkpoints(writing, 0, {}), "resumed": resumed}
        return module, training.train(module, Strategy(), loaders(tokenizer), patience=2, **more)

    whole, expected = go(tmp_path / "whole", epochs=9)
    ended = len(expected.epochs)
    assert ended < 9
    module, found = go(tmp_path / "again", epochs=9, resumed=tmp_path / f"whole/{ended * 10:08d}.safetensors")
    assert [epoch.metrics for epoch in found.epochs] == [epoch.metrics for epoch in expected.epochs]
    assert found.best_epoch == expected.best_epoch
    assert all(torch.equal(tensor, module.state_dict()[name]) for name, tensor in whole.state_dict().items())
    _, finished = go(tmp_path / "last", epochs=9, resumed=tmp_path / f"whole/{FINISHED}.safetensors")
    assert finished.seconds >= expected.seconds * 0.5, "it counts what was trained before"
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert len(history) == 3 * ended, "each of the three has its whole curve"
