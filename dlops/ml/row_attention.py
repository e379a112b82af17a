"""Attention of rows that lie one behind the other: each row's tokens see that row's alone, and nothing is masked."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import torch

_STEP = 32
"""What lengths are rounded up to a multiple of: oneDNN writes code for every length that it meets, and keeps it."""
_LONGEST_KEPT = 512
"""Tokens of the longest row for whose gradient is kept what its queries heed: it takes less than the layer's states."""


class RowAttention(torch.autograd.Function):
    """Scaled dot-product attention (Vaswani et al., 2017), row by row: a row's scores stay in the processor's cache.

    Its gradient is written out. What each query heeds is kept for it where rows are short; where they are long that
    would take most of the memory of a step, and is computed anew (Dao et al., 2022).
    """

    @staticmethod
    def forward(
        ctx: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        lengths: Sequence[int],
        scaling: float,
    ) -> torch.Tensor:
        """Take [heads, tokens, width] each, and how many tokens each row has; give [tokens, heads, width].

        What comes after the last row is zero.
        """
        spans = list(_spans(lengths))
        rows: list[torch.Tensor | None] = []
        with torch.autocast(query.device.type, enabled=False):
            scaled = query * scaling
            found = query.new_empty(query.shape[1], query.shape[0], value.shape[2])
            found[spans[-1].stop :] = 0
            for span in spans:
                asked, keys, values = (_rounded(one, span) for one in (scaled, key, value))
                share = _share(asked, keys, span)
                found[span] = torch.bmm(share, values)[:, : _length(span)].transpose(0, 1)
                if any(ctx.needs_input_grad):
                    rows += [asked, keys, values, share if share.shape[2] <= _LONGEST_KEPT else None]
        ctx.save_for_backward(*rows)
        ctx.spans, ctx.scaling = spans, scaling
        return found

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Give the gradients of query, key and value."""
        of_query, of_key, of_value = (torch.empty_like(gradient).transpose(0, 1) for _ in range(3))
        for one in (of_query, of_key, of_value):
            one[:, ctx.spans[-1].stop :] = 0
        gradient, rows = gradient.transpose(0, 1), zip(*[iter(ctx.saved_tensors)] * 4, strict=True)
        with torch.autocast(gradient.device.type, enabled=False):
            for span, (asked, keys, values, kept) in zip(ctx.spans, rows, strict=True):
                given, length = _rounded(gradient, span), _length(span)
                share = _share(asked, keys, span) if kept is None else kept
                of_share = torch.bmm(given, values.transpose(1, 2))
                of_score = torch._softmax_backward_data(of_share, share, -1, share.dtype)
                of_value[:, span] = torch.bmm(share.transpose(1, 2), given)[:, :length]
                of_query[:, span] = torch.bmm(of_score, keys)[:, :length]
                of_key[:, span] = torch.bmm(of_score.transpose(1, 2), asked)[:, :length]
            of_query *= ctx.scaling
        return of_query, of_key, of_value, None, None


def row_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: Sequence[int],
    scaling: float,
) -> torch.Tensor:
    """Let each row's tokens see that row: [heads, tokens, width] each; gives [tokens, heads, width]."""
    computed: Any = RowAttention  # torch has no types for what it makes of it
    found: torch.Tensor = computed.apply(query, key, value, lengths, scaling)
    return found


def _share(query: torch.Tensor, key: torch.Tensor, span: slice) -> torch.Tensor:
    """Give how much each query heeds each key, [heads, queries, keys]: nothing where lengths were rounded up."""
    scores = torch.bmm(query, key.transpose(1, 2))
    if (length := _length(span)) < scores.shape[2]:
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


def _spans(lengths: Sequence[int]) -> Iterator[slice]:
    return (slice(*ends) for ends in itertools.pairwise(itertools.accumulate(lengths, initial=0)))
