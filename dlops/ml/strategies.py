"""What is trained, and when: the names are Lightning Flash's, and LoRA's (Hu et al., 2021)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from dlops.ml.networks import Network

NAMES = ("freeze", "no_freeze", "freeze_unfreeze", "unfreeze_milestones", "lora")


class Strategy:
    """What of a network is trained: everything, unless a subclass knows better."""

    changes = False
    """Whether it is not the same in every epoch."""

    def prepare(self, network: Network) -> None:
        """Leave to be trained what is trained in any epoch."""

    def stage(self, network: Network, epoch: int) -> None:
        """Leave to be trained what is trained in this epoch, counted from 0."""

    def finish(self, network: Network) -> None:
        """Give the network the shape that is saved."""


class Freeze(Strategy):
    """The head alone."""

    def prepare(self, network: Network) -> None:
        _train(network, [])


@dataclass(frozen=True)
class FreezeUnfreeze(Strategy):
    """The head alone, from an epoch on everything."""

    epoch: int
    changes = True

    def stage(self, network: Network, epoch: int) -> None:
        _train(network, [network.backbone] if epoch >= self.epoch else [])


@dataclass(frozen=True)
class UnfreezeMilestones(Strategy):
    """The head alone; from a first epoch on the uppermost layers too, from a second one everything."""

    first: int
    second: int
    layers: int
    changes = True

    def stage(self, network: Network, epoch: int) -> None:
        upper = network.blocks()[-self.layers :] if epoch >= self.first else []
        _train(network, [network.backbone] if epoch >= self.second else upper)


@dataclass
class Lora(Strategy):
    """The head, and a low-rank change of each linear layer; the changes are merged into the layers at the end."""

    rank: int
    alpha: int
    dropout: float
    _adapted: Any = field(default=None, init=False)

    def prepare(self, network: Network) -> None:
        from peft import LoraConfig, LoraModel

        _train(network, [])
        config = LoraConfig(
            r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout, target_modules=_linear(network.blocks())
        )
        self._adapted = LoraModel(network.backbone, {"default": config}, "default")
        for name, parameter in network.named_parameters():  # peft froze what lies in the backbone, a pooler too
            parameter.requires_grad |= network.is_head(name) and not network.is_unread(name)

    def finish(self, network: Network) -> None:
        del network
        self._adapted.merge_and_unload()


def _train(network: Network, parts: Iterable[nn.Module]) -> None:
    """Train the head and these parts, and nothing else."""
    chosen = {id(parameter) for part in parts for parameter in part.parameters()}
    for name, parameter in network.named_parameters():
        parameter.requires_grad = (network.is_head(name) or id(parameter) in chosen) and not network.is_unread(name)


def _linear(blocks: Iterable[nn.Module]) -> list[str]:
    """Give the names that the linear layers of these blocks end with."""
    return sorted({name for block in blocks for name, part in block.named_modules() if isinstance(part, nn.Linear)})
