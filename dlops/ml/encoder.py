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
    if places is None:
        asking, seen = before, _seen_by_all(parts, before, lengths)
    else:
        asking = before[places]
        seen = _seen_by_one(parts, asking, before, lengths)
    attended = layer.attention.output(seen, asking)
    found: torch.Tensor = layer.output(layer.intermediate(attended), attended)
    return found


def _seen_by_all(parts: Any, before: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Let all tokens see their row, [tokens, hidden]."""
    projected = _together((parts.query, parts.key, parts.value), before)
    query, key, value = (_heads(parts, one) for one in projected)
    return row_attention(query, key, value, lengths, query.shape[2] ** -0.5).flatten(1)


def _seen_by_one(parts: Any, asking: torch.Tensor, before: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """Let one token of each row see its row, [rows, hidden].

    Where keys and values are nothing but linear, what is asked goes through their weights, for it is less than what is
    seen: q (W x + b) is (q W) x + q b. The last changes nothing, but DDP waits for the gradient of each parameter.
    """
    query, rows = _heads(parts, parts.query(asking)), list(lengths)
    query, before = query * query.shape[2] ** -0.5, before[: sum(rows)]
    if type(parts.key) is not nn.Linear or type(parts.value) is not nn.Linear:
        keys, values = (torch.split(_heads(parts, part(before)), rows, dim=1) for part in (parts.key, parts.value))
        return _heeded(query, keys, values, query.new_zeros(1)).transpose(0, 1).flatten(1)
    of_key, bias, of_value = (
        _heads(parts, one) for one in (parts.key.weight.T, parts.key.bias[None], parts.value.weight.T)
    )
    states = torch.split(before.to(query.dtype), rows)
    seen = _heeded(torch.bmm(query, of_key.mT), states, states, torch.bmm(query, bias.mT))
    return torch.bmm(seen, of_value).transpose(0, 1).flatten(1) + parts.value.bias


def _heeded(
    query: torch.Tensor, keys: Sequence[torch.Tensor], values: Sequence[torch.Tensor], shift: torch.Tensor
) -> torch.Tensor:
    """Average each row's values by how much its query heeds its keys, [heads, rows, width] both query and result."""
    queries, shifts = (torch.split(one, 1, dim=1) for one in (query, shift.expand(*query.shape[:2], 1)))
    rows = zip(queries, shifts, keys, values, strict=True)
    return torch.cat([(asked @ key.mT + by).softmax(dim=-1) @ value for asked, by, key, value in rows], dim=1)


def _heads(parts: Any, states: torch.Tensor) -> torch.Tensor:
    """Split [tokens, hidden] into [heads, tokens, width]."""
    return states.view(len(states), parts.num_attention_heads, -1).transpose(0, 1)


def _together(projections: Sequence[nn.Module], states: torch.Tensor) -> Sequence[torch.Tensor]:
    """Project states as each of these would, with one product where they are nothing but linear."""
    linear = [projection for projection in projections if type(projection) is nn.Linear]
    if len(linear) < len(projections):  # adapters, say
        return [projection(states) for projection in projections]
    weight, bias = torch.cat([one.weight for one in linear]), torch.cat([one.bias for one in linear])
    return torch.split(functional.linear(states, weight, bias), [one.out_features for one in linear], dim=-1)
