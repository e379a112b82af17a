"""Attention of rows that lie one behind the other: each row's tokens see that row's alone, and nothing is masked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import torch

_Span: TypeAlias = tuple[slice, slice]
"""Where a row's queries lie, and its keys."""
_STEP = 32
"""What lengths are rounded up to a multiple of: oneDNN writes code for every length that it meets, and keeps it."""


class RowAttention(torch.autograd.Function):
    """Scaled dot-product attention (Vaswani et al., 2017), row by row: a row's scores stay in the processor's cache.

    Its gradient is written out, and computes the scores anew (Dao et al., 2022): to keep them would take most of the
    memory of a step, and as much time.
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        queries: Sequence[int],
        lengths: Sequence[int],
        scaling: float,
    ) -> torch.Tensor:
        """Take [heads, tokens, width] each, and how many queries and keys each row has; give [tokens, heads, width].

        What comes after the last row is zero.
        """
        spans = list(_spans(queries, lengths))
        with torch.autocast(query.device.type, enabled=False):
            scaled = query * scaling
            found = query.new_empty(query.shape[1], query.shape[0], value.shape[2])
            found[spans[-1][0].stop :] = 0
            for asking, seen in spans:
                share = _share(_rounded(scaled, asking), _rounded(key, seen), seen)
                found[asking] = torch.bmm(share, _rounded(value, seen))[:, : _length(asking)].transpose(0, 1)
        ctx.save_for_backward(scaled, key, value)
        ctx.spans, ctx.scaling = spans, scaling
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Give the gradients of query, key and value."""
        scaled, key, value = ctx.saved_tensors
        of_query, of_key, of_value = (torch.empty_like(one) for one in (scaled, key, value))
        gradient = gradient.transpose(0, 1)
        for one, last in zip((of_query, of_key, of_value), (*ctx.spans[-1], ctx.spans[-1][1]), strict=True):
            one[:, last.stop :] = 0
        with torch.autocast(scaled.device.type, enabled=False):
            for asking, seen in ctx.spans:
                asked, given = _rounded(scaled, asking), _rounded(gradient, asking)
                keys, values = _rounded(key, seen), _rounded(value, seen)
                share = _share(asked, keys, seen)
                of_share = torch.bmm(given, values.transpose(1, 2))
                of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
                of_value[:, seen] = torch.bmm(share.transpose(1, 2), given)[:, : _length(seen)]
                of_query[:, asking] = torch.bmm(of_score, keys)[:, : _length(asking)]
                of_key[:, seen] = torch.bmm(of_score.transpose(1, 2), asked)[:, : _length(seen)]
            of_query *= ctx.scaling
        return of_query, of_key, of_value, None, None, None


def row_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    queries: Sequence[int],
    lengths: Sequence[int],
    scaling: float,
) -> torch.Tensor:
    """Let the queries of each row see that row's keys: [heads, tokens, width] each; gives [queries, heads, width]."""
    computed: Any = RowAttention  # torch has no types for what it makes of it
    found: torch.Tensor = computed.apply(query, key, value, queries, lengths, scaling)
    return found


def _share(query: torch.Tensor, key: torch.Tensor, seen: slice) -> torch.Tensor:
    """Give how much each query heeds each key, [heads, queries, keys]: nothing where lengths were rounded up."""
    scores = torch.bmm(query, key.transpose(1, 2))
    if (length := _length(seen)) < scores.shape[2]:
        scores[:, :, length:] = -torch.inf
    return scores.softmax(dim=-1)


def _rounded(states: torch.Tensor, span: slice) -> torch.Tensor:
    """Give the states of a row's tokens, [heads, rounded length, width], and zeros after the last of them."""
    length = _length(span)
    if not (missing := -length % _STEP):
        return states[:, span].contiguous()
    rounded = states.new_empty(states.shape[0], length + missing, states.shape[2])
    rounded[:, :length] = states[:, span]
    rounded[:, length:] = 0
    return rounded


def _length(span: slice) -> int:
    length: int = span.stop - span.start
    return length


def _spans(queries: Sequence[int], lengths: Sequence[int]) -> Iterator[_Span]:
    ends = (itertools.accumulate(counts, initial=0) for counts in (queries, lengths))
    places = (itertools.pairwise(one) for one in ends)
    return ((slice(*asking), slice(*seen)) for asking, seen in zip(*places, strict=True))
