"""Dropout by eight masks a number: as much is dropped, the mean stays, and the seed decides."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from dlops.ml import dropout
from dlops.ml.dropout import Dropout


@pytest.mark.parametrize("share", [0.5, 0.1, 0.9])
def test_as_much_is_dropped_as_asked_for_and_the_mean_stays(share):
    torch.manual_seed(0)
    given = torch.ones(1000, 1001)
    found = Dropout(share)(given)
    assert (found == 0).double().mean().item() == pytest.approx(share, abs=0.003)
    assert found.double().mean().item() == pytest.approx(1, abs=0.02)
    assert len(found.unique()) == 2
    rows = (found == 0).double()
    neighbours = (rows[:, 1:] * rows[:, :-1]).mean().item()
    assert neighbours == pytest.approx(rows.mean().item() ** 2, abs=0.003), "each on its own"


def test_the_seed_decides():
    given = torch.randn(7, 13)
    drawn = []
    for seed in (1, 1, 2):
        torch.default_generator.manual_seed(seed)
        drawn.append(Dropout(0.5)(given))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_gradients_flow_where_values_did():
    given = torch.ones(64, 64, requires_grad=True)
    found = Dropout(0.5)(given)
    found.sum().backward()
    assert torch.equal(given.grad, found.detach())


@pytest.mark.parametrize("share", [0.0, 1.0, 0.001])
def test_what_is_no_such_share_is_torchs(share):
    given = torch.ones(50, 50)
    torch.manual_seed(0)
    expected = nn.Dropout(share)(given)
    torch.manual_seed(0)
    assert torch.equal(Dropout(share)(given), expected)
    assert torch.equal(Dropout(0.5).eval()(given), given)


def test_a_network_gets_it_wherever_torchs_own_was():
    class Other(nn.Dropout):
        """What somebody has changed stays as it is."""

    network = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.3), nn.Sequential(nn.Dropout(0.1), Other(0.2))).eval()
    dropout.replace(network)
    assert [type(one) for one in (network[1], network[2][0], network[2][1])] == [Dropout, Dropout, Other]
    assert [network[1].p, network[2][0].p] == [0.3, 0.1]
    assert not network[1].training


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_is_as_wide_as_what_it_drops(dtype):
    given = torch.ones(64, 64, dtype=dtype, requires_grad=True)
    found = Dropout(0.5)(given)
    found.sum().backward()
    assert found.dtype == given.grad.dtype == dtype
