"""BERT's layers over rows one behind the other, where a part of them is not what it usually is."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dlops.ml import encoder
from dlops.ml.packing import Packing
from tests.ml.test_packing import FITTING, OTHERS, network, part


class Adapter(nn.Linear):
    """A layer that is linear, and more."""

    def forward(self, states):
        return 2 * super().forward(states)


@pytest.mark.parametrize("name", ["query", "key", "value"])
@pytest.mark.parametrize("head", ["standard", "all_layers"])
def test_what_is_more_than_linear_is_asked_itself(name, head):
    padded = network(FITTING["bert"], head)
    for layer in padded.backbone.encoder.layer:
        getattr(layer.attention.self, name).__class__ = Adapter
    packed = copy.deepcopy(padded)
    packed.packing = Packing(0)
    given = part(FITTING["bert"])
    torch.testing.assert_close(packed(given), padded(given), atol=1e-5, rtol=1e-4)


def test_each_parameter_of_a_layer_gets_its_gradient_where_one_token_sees_the_others():
    """Between devices, each gradient is waited for, also that of a bias which changes nothing."""
    found = network(FITTING["bert"], "standard")
    found.packing = Packing(0)
    found(part(FITTING["bert"])).square().sum().backward()
    last = dict(found.backbone.encoder.layer[-1].named_parameters())
    assert all(parameter.grad is not None for parameter in last.values())
    without = {name for name, parameter in last.items() if parameter.grad.abs().max() < 1e-6}
    assert without == {"attention.self.key.bias"}


@pytest.mark.parametrize("head", ["standard", "mean", "all_layers"])
def test_whoever_waits_to_be_called_is(head):
    found = network(FITTING["bert"], head)
    found.packing = Packing(0)
    assert encoder.is_known(found.backbone)
    seen = []
    found.backbone.encoder.layer[1].register_forward_hook(lambda module, given, states: seen.append(module))
    assert not encoder.is_known(found.backbone)
    found.backbone.config._attn_implementation = "dlops_rows"
    found(part(FITTING["bert"]))
    assert seen == [found.backbone.encoder.layer[1]]


def test_dropout_of_attention_matters_only_while_a_model_is_trained():
    backbone = network(OTHERS["dropout of attention"]).backbone
    assert encoder.is_known(backbone.eval())
    assert not encoder.is_known(backbone.train())
    assert not encoder.is_known(network(OTHERS["a decoder"]).backbone)
    assert not encoder.is_known(network(FITTING["distilbert"]).backbone)
