"""BERT's layers over rows that lie one behind the other: what transformers computes, with fewer and larger products."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from dlops.ml.row_attention import row_attention

_KINDS = frozenset({"BertModel", "CamembertModel", "ElectraModel", "RobertaModel", "XLMRobertaModel"})

_STEP = 64
"""What the number of tokens is rounded up to a multiple of: oneDNN writes code for every number that it meets."""


def is_known(backbone: Any) -> bool:
    """Tell whether a backbone has BERT's layers and no more, and nobody waits to be called by one of its modules."""
    if type(backbone).__name__ not in _KINDS:
        return False
    if backbone.config.is_decoder or (backbone.training and backbone.config.attention_probs_dropout_prob):
        return False
    return not any(module._forward_hooks or module._forward_pre_hooks for module in backbone.modules())


def states(backbone: Any, inputs: Mapping[str, torch.Tensor], lengths: Sequence[int]) -> Iterator[torch.Tensor]:
    """Give the embeddings, and then what each layer makes of them, [tokens of all rows, hidden] each.

    Args:
        backbone: One that is known.
        inputs: Tokens and their positions, [1, tokens of all rows] each.
        lengths: Tokens of each row.
    """
    found, tokens = _embedded(backbone, inputs), sum(lengths)
    yield found[:tokens]
    for layer in backbone.encoder.layer:
        found = _layer(layer, found, lengths)
        yield found[:tokens]


def first_states(backbone: Any, inputs: Mapping[str, torch.Tensor], lengths: Sequence[int]) -> torch.Tensor:
    """Give the last states of each row's first token, [rows, hidden]; the last layer computes no other."""
    *others, last = backbone.encoder.layer
    found = _embedded(backbone, inputs)
    for layer in others:
        found = _layer(layer, found, lengths)
    starts = [0, *itertools.accumulate(lengths)][:-1]
    return _layer(last, found, lengths, starts)


def _embedded(backbone: Any, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    taken = ("input_ids", "token_type_ids", "position_ids")
    found: torch.Tensor = backbone.embeddings(**{name: inputs[name] for name in taken if name in inputs})
    if hasattr(backbone, "embeddings_project"):
        found = backbone.embeddings_project(found)
    return functional.pad(found[0], (0, 0, 0, -found.shape[1] % _STEP))


def _layer(
    layer: Any, before: torch.Tensor, lengths: Sequence[int], places: Sequence[int] | None = None
) -> torch.Tensor:
    """Give a layer's states of all tokens, or of one token of each row, the one at its place."""
    parts = layer.attention.self
    projections = (parts.query, parts.key, parts.value)
    if places is None:
        asking, queries = before, lengths
        projected = _together(projections, before)
    else:
        asking, queries = before[places], [1] * len(places)
        projected = [parts.query(asking), *_together(projections[1:], before)]
    query, key, value = (one.view(len(one), parts.num_attention_heads, -1).transpose(0, 1) for one in projected)
    seen = row_attention(query, key, value, queries, lengths, query.shape[2] ** -0.5)
    attended = layer.attention.output(seen.flatten(1), asking)
    found: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return found


def _together(projections: Sequence[nn.Module], states: torch.Tensor) -> Sequence[torch.Tensor]:
    """Project states as each of these would, with one product where they are nothing but linear."""
    linear = [projection for projection in projections if type(projection) is nn.Linear]
    if len(linear) < len(projections):  # adapters, say
        return [projection(states) for projection in projections]
    weight, bias = torch.cat([one.weight for one in linear]), torch.cat([one.bias for one in linear])
    return torch.split(functional.linear(states, weight, bias), [one.out_features for one in linear], dim=-1)
