"""Attention row by row: what fused attention gives for each row alone, and its gradients."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from dlops.ml.row_attention import row_attention

HEADS, WIDTH, SCALING = 2, 4, 0.3


def drawn(tokens, dtype=torch.float64):
    torch.manual_seed(tokens)
    return [torch.randn(HEADS, tokens, WIDTH, dtype=dtype, requires_grad=True) for _ in range(3)]


@pytest.mark.parametrize("lengths", [[5], [3, 1, 4], [2, 2, 2], [33, 64, 70]])
def test_each_row_sees_itself_alone(lengths):
    query, key, value = drawn(sum(lengths))
    found = row_attention(query, key, value, lengths, SCALING)
    assert found.shape == (sum(lengths), HEADS, WIDTH)
    parts = zip(*(one.split(lengths, dim=1) for one in (query, key, value)), strict=True)
    alone = [functional.scaled_dot_product_attention(*part, scale=SCALING).transpose(0, 1) for part in parts]
    torch.testing.assert_close(found, torch.cat(alone))


@pytest.mark.parametrize("longest_kept", [0, 512])
@pytest.mark.parametrize("lengths", [[3, 1, 4], [33, 2]])
def test_its_gradients_are_those_of_what_it_computes(lengths, longest_kept, monkeypatch):
    monkeypatch.setattr("dlops.ml.row_attention._LONGEST_KEPT", longest_kept)
    assert torch.autograd.gradcheck(row_attention, (*drawn(sum(lengths)), lengths, SCALING))


def test_what_comes_after_the_last_row_is_nothing():
    given = drawn(9)
    found = row_attention(*given, [3, 4], SCALING)
    expected = row_attention(*(one[:, :7] for one in given), [3, 4], SCALING)
    torch.testing.assert_close(found, torch.cat([expected, torch.zeros(2, HEADS, WIDTH)]))
    found.square().sum().backward()
    assert all(one.grad[:, :7].any() and not one.grad[:, 7:].any() for one in given)


def test_numbers_stay_as_wide_as_they_are_told():
    """Autocast chooses for layers; whoever chose has chosen for what lies between them, too."""
    given = [one.detach().requires_grad_() for one in drawn(5, torch.float32)]
    plain = row_attention(*given, [2, 3], SCALING)
    with torch.autocast("cpu", torch.bfloat16):
        found = row_attention(*given, [2, 3], SCALING)
        assert torch.equal(found, plain)
        found.sum().backward()
    short = row_attention(*(one.detach().bfloat16() for one in given), [2, 3], SCALING)
    assert short.dtype == torch.bfloat16
    torch.testing.assert_close(short.float(), plain.detach(), atol=0.03, rtol=0)
