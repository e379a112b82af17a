"""Weights in the order that a processor's products want: the same features, and a network that is left as it was."""

from __future__ import annotations

import pytest
import torch

from dlops.ml import hardware
from dlops.ml.hardware import Arithmetic
from dlops.ml.prepacked import prepacked
from tests.ml.test_packing import FITTING, network, part

BF16 = Arithmetic("cpu", bf16=True)
needs_bf16 = pytest.mark.skipif(not hardware.has_bf16("cpu"), reason="this processor has no bf16")


def features(found, arithmetic):
    given = part(found.backbone.config)
    with prepacked(found, arithmetic), torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=arithmetic.bf16):
        kinds = {type(module).__name__ for module in found.backbone.modules()}
        return found.features(given), kinds


@needs_bf16
@pytest.mark.parametrize("name", FITTING)
@pytest.mark.parametrize("head", ["standard", "all_layers"])
def test_features_are_the_same(name, head, monkeypatch):
    found = network(FITTING[name], head)
    ours, kinds = features(found, BF16)
    assert "_Linear" in kinds
    assert ("Identity" in kinds) == ("_Ending" in kinds) == (name in ("bert", "roberta", "electra"))
    monkeypatch.setattr("dlops.ml.prepacked._is_there", lambda: False)
    theirs, kinds = features(found, BF16)
    assert "_Linear" not in kinds
    torch.testing.assert_close(ours, theirs, atol=0.05, rtol=0.02)


@needs_bf16
def test_a_network_is_left_as_it_was():
    found = network(FITTING["bert"])
    before = list(found.named_modules())

    def fail():
        with prepacked(found, BF16):
            assert list(found.named_modules()) != before
            raise ValueError("within")

    with pytest.raises(ValueError, match="within"):
        fail()
    assert list(found.named_modules()) == before


@pytest.mark.parametrize("arithmetic", [Arithmetic("cpu", bf16=False), Arithmetic("cuda", bf16=True)])
def test_other_arithmetic_computes_as_before(arithmetic):
    found = network(FITTING["bert"])
    before = list(found.named_modules())
    with prepacked(found, arithmetic):
        assert list(found.named_modules()) == before
