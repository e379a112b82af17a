from __future__ import annotations

import itertools

import pytest
import torch

from dlops.errors import StepFailed
from dlops.ml import backbones, batches, training
from dlops.ml.classifier import Classifier, Rates
from dlops.ml.hardware import Arithmetic
from tests.ml.conftest import simple_rows

LABELS = ("negative", "positive")
CPU = Arithmetic("cpu", bf16=False)


def loaders(tokenizer, *, val=True):
    collator = batches.Collator(0, 1024)

    def rows(count, seed):
        texts, labels = simple_rows(count, seed)
        return batches.examples(tokenizer, texts, [LABELS.index(label) for label in labels], 64)

    return training.Loaders(
        train=batches.training(rows(160, 0), collator, 16, seed=0),
        val=batches.evaluation(rows(40, 1), collator) if val else None,
        test=batches.evaluation(rows(40, 2), collator),
    )


def trained(tiny_model, *, epochs=3, val=True, seed=0, arithmetic=CPU):
    training.seed(seed)
    model, tokenizer = backbones.load(backbones.locate(str(tiny_model)), LABELS)
    module = Classifier(model, LABELS, Rates(backbone=3e-3, head=3e-3))
    return module, training.train(module, loaders(tokenizer, val=val), epochs=epochs, arithmetic=arithmetic)


def test_it_learns(run, tiny_model, capfd):
    module, found = trained(tiny_model, epochs=12)
    assert found.test.rows == 40
    assert found.test.accuracy > 0.85
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


def test_dropout_is_on_in_training_and_off_in_evaluation(run, loaded):
    """transformers gives models in evaluation mode, and Lightning keeps the mode it finds."""
    model, tokenizer = loaded
    modes = []
    model.dropout.register_forward_hook(lambda module, inputs, output: modes.append(module.training))
    module = Classifier(model, LABELS, Rates(1e-3, 1e-3))
    training.train(module, loaders(tokenizer), epochs=2, arithmetic=CPU)
    order = [mode for mode, _ in itertools.groupby(modes)]
    assert order == [True, False, True, False], "training, validation, training, validation and test"


def test_a_loss_that_is_no_number_comes_through_lightning_as_it_is(run, loaded):
    model, tokenizer = loaded
    with torch.no_grad():
        model.classifier.bias.fill_(float("inf"))
    module = Classifier(model, LABELS, Rates(1e-3, 1e-3))
    with pytest.raises(StepFailed, match="loss became"):
        training.train(module, loaders(tokenizer), epochs=1, arithmetic=CPU)


@pytest.mark.parametrize("count", [1, 17])
def test_a_last_batch_of_any_size(run, loaded, count):
    model, tokenizer = loaded
    rows = batches.examples(tokenizer, ["good film"] * count, [1] * count, 64)
    collator = batches.Collator(0, 1024)
    given = training.Loaders(
        train=batches.training(rows, collator, 16, 0), val=None, test=batches.evaluation(rows, collator)
    )
    module = Classifier(model, LABELS, Rates(1e-3, 1e-3))
    assert training.train(module, given, epochs=1, arithmetic=CPU).test.rows == count
