from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from transformers import AutoModelForMaskedLM

from dlops.errors import StepFailed
from dlops.ml import batches, classifier, strategies, targets
from dlops.ml.batches import Collator, TokenRows
from dlops.ml.classifier import Classifier, Optimization
from dlops.ml.masked_tokens import IGNORED, Masking, MaskingCollator
from dlops.ml.networks import MaskedLanguageModel
from dlops.ml.targets import MaskedTokens
from tests.ml.test_batches import rows

RATES = Optimization(learning_rate=1e-4, head_learning_rate=1e-3)


@pytest.fixture
def module(loaded):
    return Classifier(loaded[0], targets.of("classes", ("negative", "positive"), []), RATES)


def attached(module, monkeypatch):
    """Give the module what Lightning gives it, and a gradient instead of a step."""
    optimizer = SimpleNamespace(param_groups=[{"params": list(module.parameters())}], step=lambda: None)
    module._trainer = SimpleNamespace(world_size=1, global_rank=0, global_step=0, current_epoch=0, strategy=None)
    monkeypatch.setattr(module, "optimizers", lambda: optimizer)
    monkeypatch.setattr(module, "lr_schedulers", lambda: SimpleNamespace(step=lambda: None))
    monkeypatch.setattr(module, "manual_backward", lambda loss: loss.backward())
    return module


def drawn(count=8):
    given = rows([3 + place % 4 for place in range(count)])
    return [given[place] for place in range(count)]


def test_micro_batches_give_the_gradient_of_the_whole_batch(module, monkeypatch):
    attached(module, monkeypatch).eval()
    module.training_step(Collator(0, None)(drawn()), 0)
    whole = {name: parameter.grad.clone() for name, parameter in module.named_parameters()}
    loss = module.train_loss
    module._epoch = -1
    module.on_train_epoch_start()
    module.eval()
    parts = Collator(0, 8)(drawn())
    assert len(parts) > 3
    module.training_step(parts, 0)
    for name, parameter in module.named_parameters():
        torch.testing.assert_close(parameter.grad, whole[name])
    assert module.train_loss == pytest.approx(loss)


@pytest.fixture
def guessing(tiny_model):
    torch.manual_seed(0)
    return Classifier(
        MaskedLanguageModel(AutoModelForMaskedLM.from_pretrained(tiny_model)), MaskedTokens(), replace(RATES, clip=0)
    )


def test_the_loss_of_hidden_tokens_is_their_mean_however_they_lie_in_micro_batches(guessing, monkeypatch):
    """As transformers has it: `labels` of a whole batch give the mean over its hidden tokens."""
    attached(guessing, monkeypatch).eval()
    given = rows([3 + 5 * place for place in range(8)])
    given = TokenRows(given.tokens, torch.arange(8))
    drawn = [given[place] for place in range(8)]
    masking = Masking(4, np.arange(5), np.arange(5, 19))
    whole = MaskingCollator(masking, 0, None)(drawn)
    expected = guessing.network.inner(**whole[0]).loss
    expected.backward()
    gradients = {
        name: parameter.grad.clone() for name, parameter in guessing.named_parameters() if parameter.grad is not None
    }
    guessing.zero_grad()
    parts = MaskingCollator(masking, 0, 40)(drawn)
    assert len(parts) > 3
    guessing.training_step(parts, 0)
    assert guessing.train_loss == pytest.approx(expected.item(), abs=1e-5)
    for name, gradient in gradients.items():
        torch.testing.assert_close(dict(guessing.named_parameters())[name].grad, gradient, atol=1e-5, rtol=1e-4)


def test_a_batch_in_which_nothing_is_hidden_moves_nothing(guessing, monkeypatch):
    attached(guessing, monkeypatch)
    ids = torch.tensor([[2, 1, 3]])
    part = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.full_like(ids, IGNORED)}
    guessing.training_step([part], 0)
    assert guessing.train_loss == 0
    assert all(parameter.grad is None or not parameter.grad.any() for parameter in guessing.parameters())


def test_a_loss_that_is_no_number_ends_it(module, monkeypatch):
    attached(module, monkeypatch)
    with torch.no_grad():
        module.network.last.weight.fill_(float("nan"))
    with pytest.raises(StepFailed, match="loss became nan in epoch 1, batch 3") as caught:
        module.training_step(Collator(0, None)(drawn()), 2)
    assert "learning_rate" in caught.value.hint


def test_what_is_drawn_depends_on_seed_and_step_alone(module, monkeypatch):
    attached(module, monkeypatch).train()
    found = []
    for step, disturbed in ((0, 0), (1, 0), (0, 5)):
        torch.rand(disturbed)
        module._trainer.global_step = step
        module.training_step(Collator(0, None)(drawn()), 0)
        found.append(module.network.last.weight.grad.clone())
    assert torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[1])


def test_head_and_backbone_have_rates_of_their_own(module):
    groups = module._groups()
    assert {group["lr"] for group in groups} == {1e-4, 1e-3}
    head = sum(parameter.numel() for group in groups if group["lr"] == 1e-3 for parameter in group["params"])
    pooler = module.network.backbone.pooler
    assert head == sum(parameter.numel() for parameter in pooler.parameters()) + 2 * 32 + 2
    assert all(parameter.ndim == 1 for group in groups if not group["weight_decay"] for parameter in group["params"])
    assert sum(len(group["params"]) for group in groups) == len(list(module.parameters()))


def test_what_lora_adds_is_new_as_the_head_is(module):
    strategies.Lora(2, 4, 0.0).prepare(module.network)
    assert {group["lr"] for group in module._groups()} == {1e-3}


def test_what_is_frozen_gets_no_optimizer(module):
    strategies.Freeze().prepare(module.network)
    assert {group["lr"] for group in module._groups()} == {1e-3}


def test_what_is_frozen_has_no_dropout(module):
    strategies.Freeze().prepare(module.network)
    module.on_train_epoch_start()
    assert not module.network.backbone.encoder.training
    assert module.network.backbone.pooler.training
    assert module.network.inner.dropout.training


@pytest.mark.parametrize("schedule", ["linear", "cosine", "constant"])
def test_the_rate_warms_up_and_falls_as_it_is_told(schedule):
    rate = classifier.rates(Optimization(learning_rate=1, head_learning_rate=1, schedule=schedule), 100)
    found = [rate(step) for step in range(100)]
    assert found[:10] == pytest.approx([0.1 * (step + 1) for step in range(10)])
    assert all(0 <= value <= 1 for value in found)
    assert found[55] == pytest.approx({"linear": 0.5, "cosine": 0.5, "constant": 1.0}[schedule])
    assert found[99] == pytest.approx({"linear": 0.0, "cosine": 0.0, "constant": 1.0}[schedule], abs=0.02)
    assert classifier.rates(RATES, 1)(0) == 1
    assert classifier.rates(Optimization(learning_rate=1, head_learning_rate=1, warm_up=0), 10)(0) == 1


def test_figures_of_a_pass_cover_every_row_in_its_place(module):
    given = rows([9, 3, 7, 4, 8])
    loader = batches.evaluation(given, Collator(0, 8))
    with torch.no_grad():
        for batch in loader:
            module.validation_step(batch, 0)
    module._judge(loader)
    assert module.result.actual.tolist() == given.labels.tolist()
    for place in range(5):
        with torch.no_grad():
            logits = module.network.eval()(Collator(0, None)([given[place]])[0])
        assert module.result.probabilities[place].tolist() == pytest.approx(logits[0].softmax(0).tolist(), abs=1e-5)


def tight(module, monkeypatch, most):
    """Let the network take no more than `most` rows at once; give the list of how many it was given."""
    forward, given = module.network.forward, []

    def limited(part):
        given.append(len(part["labels"]))
        if given[-1] > most:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory")
        return forward(part)

    monkeypatch.setattr(module.network, "forward", limited)
    return given


def gradients(module):
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters()}


def uneven():
    """A part of two rows, which fits, and one of six."""
    return [part for some in (drawn()[:2], drawn()[2:]) for part in Collator(0, None)(some)]


def test_what_does_not_fit_into_memory_is_taken_in_smaller_parts(module, monkeypatch, capsys):
    attached(module, monkeypatch).eval()
    module.training_step(uneven(), 0)
    expected, loss = gradients(module), module.train_loss
    module.train_loss, module._seen = 0.0, 0
    given = tight(module, monkeypatch, 2)
    module.training_step(uneven(), 0)
    assert given == [2, 6, 1, 1, 3, 1, 1, 2, 1, 2, 1]
    for name, gradient in gradients(module).items():
        torch.testing.assert_close(gradient, expected[name])
    assert module.train_loss == pytest.approx(loss)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in lines] == [
        f"it is taken in parts of 1/{share} from here on." for share in (2, 4)
    ]
    given.clear()
    module.training_step(uneven(), 1)
    assert given == [1, 1, 2, 1, 2, 1], "no try is wasted on what did not fit before"
    assert capsys.readouterr().out == ""


def test_single_rows_that_do_not_fit_end_it_with_advice(module, monkeypatch):
    attached(module, monkeypatch)
    given = tight(module, monkeypatch, 0)
    with pytest.raises(StepFailed, match="A training step needs more memory") as caught:
        module.training_step(Collator(0, None)(drawn(4)), 0)
    assert given == [4, 2, 1]
    assert "max_length" in caught.value.hint
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_where_others_wait_it_is_not_tried_again(module, monkeypatch):
    attached(module, monkeypatch)
    module._trainer.world_size = 2
    module._trainer.strategy = SimpleNamespace(reduce=lambda tensor, reduce_op: tensor)
    given = tight(module, monkeypatch, 2)
    with pytest.raises(StepFailed, match="more memory"):
        module.training_step(Collator(0, None)(drawn(4)), 0)
    assert given == [4]


def test_other_failures_of_a_step_stay_what_they_are(module, monkeypatch):
    attached(module, monkeypatch)
    (part,) = Collator(0, None)(drawn(4))
    part["input_ids"] += 10**6
    with pytest.raises(IndexError, match="out of range"):
        module.training_step([part], 0)
    assert module._halvings == 0
