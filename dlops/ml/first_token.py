"""Encoders whose head reads one token: their last layer needs to be computed for that token alone."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import nn
from torch.nn import functional

Attend: TypeAlias = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Gives [rows, queries, heads, width] for query, key and value, [rows, heads, tokens, width] each."""

_KINDS = frozenset(
    f"{name}ForSequenceClassification" for name in ("Bert", "Camembert", "Electra", "Roberta", "XLMRoberta")
)
"""Architectures of transformers with layers as BERT's, and heads that read the first token."""


def is_known(model: Any) -> bool:
    """Tell whether a model is of a kind that can do without the rest of its last layer."""
    return type(model).__name__ in _KINDS


def shortened(model: Any) -> Any:
    """Give a model that gives the same logits, computing a layer less but for one token; another kind stays as it is.

    The last layer of twelve is most of its work at the tokens that nobody reads; of six layers that is a seventh of
    all. The model that is given is left as it is, and shares its weights.
    """
    return _FirstToken(model) if is_known(model) else model


def apart(base: Any) -> tuple[Any, Any]:
    """Give an encoder that lacks its last layer and its pooler, and that layer; `base` itself stays as it is."""
    shorter, encoder = _shallow(base), _shallow(base.encoder)
    *others, last = base.encoder.layer
    encoder.layer = nn.ModuleList(others)
    shorter.encoder, shorter.pooler = encoder, None
    return shorter, last


def last_states(layer: Any, hidden: torch.Tensor, first: torch.Tensor, attend: Attend) -> torch.Tensor:
    """Give the states that a layer gives for some tokens, [rows, queries, hidden], of what all and they had before."""
    attention = layer.attention
    parts = attention.self
    query, key, value = (
        _heads(part(of), parts.num_attention_heads)
        for part, of in ((parts.query, first), (parts.key, hidden), (parts.value, hidden))
    )
    attended = attention.output(attend(query, key, value).flatten(2), first)
    states: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return states


class _FirstToken(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config
        self.base, self.last = apart(model.base_model)
        self.pooler = getattr(model.base_model, "pooler", None)
        self.dropout, self.head = getattr(model, "dropout", None), model.classifier
        self._taken = frozenset(inspect.signature(self.base.forward).parameters)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Take a tokenizer's tensors, [rows, tokens] each; give logits, [rows, outputs]."""
        hidden: torch.Tensor = self.base(
            **{name: one for name, one in inputs.items() if name in self._taken}
        ).last_hidden_state
        mask = inputs["attention_mask"][:, None, None, :].bool() if "attention_mask" in inputs else None

        def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask).transpose(1, 2)

        state = last_states(self.last, hidden, hidden[:, :1], attend)
        logits: torch.Tensor = self.head(self.pooler(state) if self.pooler is not None else state)
        return logits


def _shallow(module: Any) -> Any:
    """Copy a module, and none of what is inside."""
    copied = copy.copy(module)
    copied._modules = dict(module._modules)
    return copied


def _heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Split [rows, tokens, width] into [rows, heads, tokens, width of a head]."""
    return states.view(*states.shape[:2], heads, states.shape[2] // heads).transpose(1, 2)
