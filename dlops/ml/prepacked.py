"""Linear layers that nobody trains, with weights in the order in which a processor's products read them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from dlops.ml import hardware
from dlops.ml.hardware import Arithmetic

_GELU, _ACTIVE = frozenset({"GELU", "GELUActivation"}), "intermediate_act_fn"
"""What torch and transformers call the exact one, and where BERT's kin have what follows their `dense`."""
_KINDS = ("Bert", "Camembert", "Electra", "Roberta", "XLMRoberta")
_ENDINGS = frozenset(f"{kind}{what}" for kind in _KINDS for what in ("SelfOutput", "Output"))
"""What ends attention, and a layer, in transformers: a sum with what there was before, and its norm."""


@contextmanager
def prepacked(network: nn.Module, arithmetic: Arithmetic) -> Iterator[None]:
    """Let a network compute with such weights, without gradients; on a processor with bf16, and nowhere else.

    oneDNN brings weights into that order at each product otherwise, which takes a fifteenth of the time. Where GELU
    follows a layer, the two are one.
    """
    replaced: list[tuple[nn.Module, str, nn.Module]] = []

    def replace(module: nn.Module, name: str, other: nn.Module) -> None:
        replaced.append((module, name, getattr(module, name)))
        setattr(module, name, other)

    try:
        if arithmetic.accelerator == "cpu" and arithmetic.bf16 and hardware.has_bf16("cpu") and _is_there():
            for module in list(network.modules()):
                active = type(getattr(module, _ACTIVE, None)).__name__ in _GELU
                for name, child in list(module.named_children()):
                    if type(child).__name__ in _ENDINGS:
                        replace(module, name, _Ending(child).eval())
                    if type(child) is nn.Linear:
                        gelu = active and name == "dense"
                        replace(module, name, _Linear(child, gelu=gelu).eval())
                        if gelu:
                            replace(module, _ACTIVE, nn.Identity())
        yield
    finally:
        for module, name, original in replaced:
            setattr(module, name, original)


def _is_there() -> bool:
    """Tell whether torch has the products, which are those of its compiler."""
    return all(hasattr(torch.ops.mkldnn, name) for name in ("_linear_pointwise", "_reorder_linear_weight"))


class _Ending(nn.Module):
    def __init__(self, ending: Any) -> None:
        super().__init__()
        self._ending = ending

    def forward(self, states: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self._ending.LayerNorm(self._ending.dense(states).add_(before.bfloat16()))
        return found


class _Linear(nn.Module):
    def __init__(self, linear: nn.Linear, *, gelu: bool) -> None:
        super().__init__()
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().bfloat16())
        self._bias = None if linear.bias is None else linear.bias.detach().bfloat16()
        self._follows = ("gelu", "none") if gelu else ("none", "")

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        what, how = self._follows
        found: torch.Tensor = torch.ops.mkldnn._linear_pointwise(
            states.bfloat16(), self._weight, self._bias, what, [], how
        )
        return found
