"""Dropout that draws eight masks from one random number: on a processor, drawing takes most of its time."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_LEVELS = 256
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By how many bytes wide they are."""


class Dropout(nn.Dropout):
    """As torch's, but that on a processor the share that is dropped is a multiple of 1/256."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Drop some of the values, and scale the others so that the mean stays what it is."""
        dropped = round(self.p * _LEVELS)
        if not self.training or not 0 < dropped < _LEVELS or values.device.type != "cpu":
            return super().forward(values)
        computed: Any = _Dropped  # torch has no types for what it makes of it
        found: torch.Tensor = computed.apply(values, dropped)
        return found


def replace(network: nn.Module) -> None:
    """Let a network's dropout be of this kind, wherever it is torch's own."""
    for module in network.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, Dropout(child.p).train(child.training))


class _Dropped(torch.autograd.Function):
    """A product with a mask, which is kept as it is multiplied with: torch's own products take half as long again."""

    @staticmethod
    def forward(ctx: Any, values: torch.Tensor, dropped: int) -> torch.Tensor:
        mask = _mask(values, dropped)
        ctx.save_for_backward(mask)
        return values * mask

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        (mask,) = ctx.saved_tensors
        return gradient * mask, None


def _mask(values: torch.Tensor, dropped: int) -> torch.Tensor:
    """Give what these values are to be multiplied with: nothing for so many in 256, for the others the same scale.

    All is done by integers as wide as the values, each from a byte of the random ones, for torch has no quick way from
    one width to another.
    """
    count, size = values.numel(), values.element_size()
    scale = torch.tensor(_LEVELS / (_LEVELS - dropped), dtype=values.dtype).view(_INTEGERS[size]).item()
    words = torch.empty(-(-count // 8), dtype=torch.int64).random_(-(2**63), None).view(_INTEGERS[size])
    levels = torch.stack([words >> 8 * place for place in range(size)]).bitwise_and_(_LEVELS - 1)
    kept = levels.clamp_(dropped - 1, dropped).sub_(dropped - 1)
    return kept.mul_(scale).view(values.dtype).flatten()[:count].view(values.shape)
