from __future__ import annotations

import pytest
import pytorch_lightning as pl
import torch

from dlops.errors import StepFailed
from dlops.ml import classifier, strategies
from dlops.ml.batches import Collator
from dlops.ml.classifier import Classifier, Rates

ROWS = [([2, 5 + number, 3], number % 2) for number in range(8)]


@pytest.fixture
def module(loaded):
    return Classifier(loaded[0], ("negative", "positive"), Rates(backbone=1e-4, head=1e-3))


def test_micro_batches_give_the_loss_of_the_whole_batch(module):
    module.eval()
    whole = module.training_step(Collator(0, None)(ROWS), 0)
    parts = Collator(0, 6)(ROWS)
    assert len(parts) == 4
    torch.testing.assert_close(module.training_step(parts, 0), whole)
    assert module.train_loss == pytest.approx(whole.item())


def test_a_loss_that_is_no_number_ends_it(module):
    with torch.no_grad():
        module.model.classifier.weight.fill_(float("nan"))
    module._trainer = pl.Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False)
    with pytest.raises(StepFailed, match="loss became nan in epoch 1, batch 3") as caught:
        module.training_step(Collator(0, None)(ROWS), 2)
    assert "learning_rate" in caught.value.hint


def test_head_and_backbone_have_rates_of_their_own(module):
    groups = module._groups()
    assert {group["lr"] for group in groups} == {1e-4, 1e-3}
    head = sum(parameter.numel() for group in groups if group["lr"] == 1e-3 for parameter in group["params"])
    assert head == sum(parameter.numel() for parameter in module.model.bert.pooler.parameters()) + 2 * 32 + 2
    assert all(parameter.ndim == 1 for group in groups if not group["weight_decay"] for parameter in group["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))


def test_what_is_frozen_gets_no_optimizer(module):
    strategies.freeze(module.model)
    assert {group["lr"] for group in module._groups()} == {1e-3}


def test_what_is_frozen_has_no_dropout(module):
    strategies.freeze(module.model)
    module.train()
    classifier.hold_frozen_still(module.model)
    assert not module.model.bert.encoder.training
    assert module.model.bert.pooler.training
    assert module.model.dropout.training


def test_the_rate_warms_up_and_ends_near_zero():
    rates = [classifier._rate(step, 100) for step in range(100)]
    assert rates.index(max(rates)) in (9, 10)
    assert rates[0] == pytest.approx(0.1)
    assert rates[-1] < 0.02
    assert all(0 <= rate <= 1 for rate in rates)
    assert classifier._rate(0, 1) == 1


def test_figures_of_a_pass_cover_every_row(module):
    for batch in (Collator(0, None)(ROWS[:5]), Collator(0, 6)(ROWS[5:])):
        module.validation_step(batch, 0)
    module.on_validation_epoch_end()
    assert module.result.rows == 8
    assert module.result.confusion.sum(axis=1).tolist() == [4, 4]
