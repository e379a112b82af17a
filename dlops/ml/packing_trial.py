"""Whether a network's rows can be put one behind the other: it is tried, and what it gives is compared."""

from __future__ import annotations

import contextlib
from typing import Any

import torch

from dlops.ml.batches import Micro
from dlops.ml.masked_tokens import IGNORED
from dlops.ml.networks import Network
from dlops.ml.packing import ATTENTION, Packing

_LENGTHS = (5, 9)
_TOLERANCE = 1e-4


def fitting(network: Network) -> Packing | None:
    """Give the packing with which a network gives what it gives for padded rows, in float32; `None` if there is none.

    Where there is one, the backbone is left with the attention that knows such rows.
    """
    config, modes = network.backbone.config, {module: module.training for module in network.modules()}
    attention = getattr(config, "_attn_implementation", None)
    part = _rows(config)
    found = None
    if attention is None or part is None:
        return None
    # Suppressed is whatever a model's own code raises at what it was not made for.
    with contextlib.suppress(Exception), torch.no_grad(), torch.random.fork_rng(devices=[]):
        found = _found(network, part)
    network.packing = None
    for module, training in modes.items():
        module.training = training
    if not found:
        config._attn_implementation = attention
    return found


def _found(network: Network, part: Micro) -> Packing | None:
    config = network.backbone.config
    network.eval()
    network.packing, config._attn_implementation = None, "eager"
    expected = network(part), network.features(part)
    config._attn_implementation = ATTENTION
    for first in dict.fromkeys((0, (config.pad_token_id or 0) + 1)):
        network.packing = Packing(first)
        given = network(part), network.features(part)
        if all(one.shape == other.shape and _are_alike(one, other) for one, other in zip(expected, given, strict=True)):
            network.train()(part)  # some compute in another way while they are trained
            return network.packing
    return None


def _are_alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    return torch.allclose(one, other, atol=_TOLERANCE, rtol=_TOLERANCE)


def _rows(config: Any) -> Micro | None:
    """Give two rows of different lengths, with padding; `None` where vocabulary and width are not told."""
    size, padding = getattr(config, "vocab_size", None), getattr(config, "pad_token_id", None) or 0
    if not size or not getattr(config, "hidden_size", None):
        return None
    words = [word for word in range(min(size, 1000)) if word != padding] or [0]
    inputs = torch.full((len(_LENGTHS), max(_LENGTHS)), padding)
    mask = torch.zeros_like(inputs)
    for row, length in enumerate(_LENGTHS):
        inputs[row, :length] = torch.tensor([words[(7 * row + 3 * place) % len(words)] for place in range(length)])
        mask[row, :length] = 1
    labels = inputs.masked_fill(mask == 0, IGNORED)
    return {"input_ids": inputs, "attention_mask": mask, "labels": labels}
