"""Mean pooling as one more standard layer, so that a frozen backbone keeps a head that every tool can load.

A standard BERT head reads the first token alone, which says little until the backbone is trained; the mean over all
tokens says far more (Reimers & Gurevych, 2019, "Sentence-BERT"). The layer added here gives each token the same
attention, passes values through unchanged and has an empty feed-forward part: the first token then carries the
normalised mean of all tokens. The model remains a plain one of its architecture, with one layer more.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import nn

_ARCHITECTURES = {"bert", "roberta", "xlm-roberta", "camembert", "electra"}
"""Those with the layer of the original BERT: attention, norm, feed-forward, norm."""

_WEIGHT = 100.0
"""Of the mean against the token's own state, which the layer's residual connection adds."""


def supported(model: nn.Module) -> bool:
    """Tell whether the architecture is one that the layer can be built for."""
    config: Any = model.config
    return config.model_type in _ARCHITECTURES


def append_mean(model: nn.Module) -> None:
    """Add the averaging layer on top of the backbone of a supported model, and count it in the configuration."""
    backbone: Any = getattr(model, str(model.base_model_prefix))
    layer = copy.deepcopy(backbone.encoder.layer[-1])
    attention = layer.attention
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()
        nn.init.eye_(attention.self.value.weight)
        nn.init.eye_(attention.output.dense.weight).mul_(_WEIGHT)
        attention.output.LayerNorm.weight.fill_(1)
        layer.output.LayerNorm.weight.fill_(1)
    backbone.encoder.layer.append(layer)
    backbone.config.num_hidden_layers += 1
