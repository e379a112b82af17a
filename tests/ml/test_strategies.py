from __future__ import annotations

import pytest
import torch

from dlops.ml import backbones, strategies, targets
from dlops.ml.networks import trainable


@pytest.fixture(params=["standard", "all_layers"])
def network(request, tiny_model):
    torch.manual_seed(0)
    target = targets.of("classes", ("a", "b"), ["a", "b"])
    return backbones.load(backbones.locate(str(tiny_model)), target, head=request.param)[0]


def trained(network):
    """Whether the head, the lower and the upper layer, and the embeddings are trained."""
    names = {name for name, _ in trainable(network)}
    assert all(name in names for name, _ in network.named_parameters() if network.is_head(name))
    parts = ("layer.0.", "layer.1.", "embeddings.")
    return tuple(any(part in name for name in names) for part in parts)


def test_everything_unless_told_otherwise(network):
    strategy = strategies.Strategy()
    strategy.prepare(network)
    strategy.stage(network, 0)
    assert trained(network) == (True, True, True)


def test_freeze_leaves_the_head(network):
    strategies.Freeze().prepare(network)
    assert trained(network) == (False, False, False)


def test_freeze_unfreeze_trains_everything_from_its_epoch_on(network):
    strategy = strategies.FreezeUnfreeze(2)
    strategy.prepare(network)
    assert trained(network) == (True, True, True), "the optimizer knows all of it"
    seen = []
    for epoch in range(4):
        strategy.stage(network, epoch)
        seen.append(trained(network))
    assert seen == [(False, False, False)] * 2 + [(True, True, True)] * 2


def test_milestones_train_the_upper_layers_first(network):
    strategy = strategies.UnfreezeMilestones(1, 2, layers=1)
    seen = []
    for epoch in range(3):
        strategy.stage(network, epoch)
        seen.append(trained(network))
    assert seen == [(False, False, False), (False, True, False), (True, True, True)]


def test_lora_changes_little_and_is_merged(network):
    ids = torch.tensor([[2, 5, 6, 3]])
    part = {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": torch.tensor([0])}
    names = [name for name, _ in network.named_parameters()]
    before = network.eval()(part).detach()
    strategy = strategies.Lora(rank=2, alpha=4, dropout=0.0)
    strategy.prepare(network)
    assert trained(network) == (True, True, False), "the head too, wherever it lies"
    added = {name for name, _ in trainable(network) if not network.is_head(name)}
    assert added
    assert all("lora_" in name for name in added)
    assert sum(parameter.numel() for name, parameter in trainable(network) if "lora_" in name) < 3000
    torch.testing.assert_close(network(part), before, msg="an untrained change changes nothing")
    with torch.no_grad():
        for name, parameter in trainable(network):
            if "lora_B" in name:
                parameter.normal_()
    changed = network(part).detach()
    assert not torch.allclose(changed, before)
    strategy.finish(network)
    torch.testing.assert_close(network(part), changed, atol=1e-5, rtol=0)
    assert [name for name, _ in network.named_parameters()] == names, "merged: the architecture is what it was"
