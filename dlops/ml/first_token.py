"""Encoders whose head reads one token: their last layer needs to be computed for that token alone."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn import functional

_KINDS = frozenset(
    f"{name}ForSequenceClassification" for name in ("Bert", "Camembert", "Electra", "Roberta", "XLMRoberta")
)
"""Architectures of transformers with layers as BERT's, and heads that read the first token."""


def shortened(model: Any) -> Any:
    """Give a model that gives the same logits, computing a layer less but for one token; another kind stays as it is.

    The last layer of twelve is most of its work at the tokens that nobody reads; of six layers that is a seventh of
    all. The model that is given is changed, and must not be used any more.
    """
    if type(model).__name__ not in _KINDS:
        return model
    return _FirstToken(model)


class _FirstToken(nn.Module):
    def __init__(self, model: Any) -> None:
        super().__init__()
        self.config = model.config
        self.base = model.base_model
        self.last = self.base.encoder.layer[-1]
        self.base.encoder.layer = self.base.encoder.layer[:-1]
        self.pooler = getattr(self.base, "pooler", None)
        self.base.pooler = None
        self.dropout, self.head = getattr(model, "dropout", None), model.classifier
        self._taken = frozenset(inspect.signature(self.base.forward).parameters)

    def forward(self, **inputs: torch.Tensor) -> torch.Tensor:
        """Take a tokenizer's tensors, [rows, tokens] each; give logits, [rows, outputs]."""
        hidden: torch.Tensor = self.base(
            **{name: one for name, one in inputs.items() if name in self._taken}
        ).last_hidden_state
        first, attention = hidden[:, :1], self.last.attention
        parts = attention.self
        query, key, value = (
            _heads(part(of), parts.num_attention_heads)
            for part, of in ((parts.query, first), (parts.key, hidden), (parts.value, hidden))
        )
        mask = inputs["attention_mask"][:, None, None, :].bool() if "attention_mask" in inputs else None
        context = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        attended = attention.output(context.transpose(1, 2).flatten(2), first)
        state = self.last.output(self.last.intermediate(attended), attended)
        logits: torch.Tensor = self.head(self.pooler(state) if self.pooler is not None else state)
        return logits


def _heads(states: torch.Tensor, heads: int) -> torch.Tensor:
    """Split [rows, tokens, width] into [rows, heads, tokens, width of a head]."""
    return states.view(*states.shape[:2], heads, states.shape[2] // heads).transpose(1, 2)
