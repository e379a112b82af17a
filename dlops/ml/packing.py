"""Rows one behind the other instead of below one another: nothing is padded, and attention is each row's own.

A backbone takes its rows as one long row, with their positions; how many tokens each has travels in the mask's place,
through which transformers hands it to the attention. Layers of BERT's kind need no transformers: see `encoder`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dlops.ml import encoder, first_token
from dlops.ml.row_attention import row_attention

ATTENTION = "dlops_rows"
"""What transformers calls the attention that knows such rows; of others it takes care as `sdpa` does."""
_MEANS_NOTHING = frozenset({"position_ids", "use_cache", "output_attentions", "output_hidden_states", "return_dict"})
"""What a layer may tell its attention, and changes nothing of it."""


@dataclass(frozen=True)
class Packed:
    """Rows as a backbone takes them."""

    inputs: dict[str, torch.Tensor]
    """[1, tokens of all rows] each; where transformers looks for a mask, the lengths, [1, 1, 1, rows]."""
    lengths: list[int]
    """Of each row; at least 1."""
    kept: torch.Tensor
    """Which of the padded tokens these are, [rows, tokens]."""

    @property
    def starts(self) -> list[int]:
        """The place of each row's first token."""
        return [0, *itertools.accumulate(self.lengths)][:-1]


@dataclass(frozen=True)
class Packing:
    """How the rows of a backbone are put one behind the other."""

    first_position: int
    """The number of a row's first position: RoBERTa and its descendants do not count from 0."""

    def pack(self, part: Mapping[str, torch.Tensor]) -> Packed | None:
        """Leave the padding of a micro-batch out, [rows, tokens] each; `None` where a row has no token at all."""
        kept = part["attention_mask"].bool()
        lengths = kept.sum(dim=1).tolist()
        if not all(lengths):
            return None
        packed = {name: tensor[kept][None] for name, tensor in part.items() if name not in ("attention_mask", "labels")}
        positions = torch.cat([torch.arange(length) for length in lengths])[None] + self.first_position
        given = {**packed, "position_ids": positions, "attention_mask": torch.tensor([[[lengths]]])}
        return Packed(given, lengths, kept)

    def states(self, backbone: Any, packed: Packed) -> torch.Tensor:
        """Give the last states of all tokens, [tokens of all rows, hidden]."""
        if encoder.is_known(backbone):
            *_, last = encoder.states(backbone, packed.inputs, packed.lengths)
            return last
        found: torch.Tensor = backbone(**packed.inputs).last_hidden_state
        return found[0]

    def first(self, model: Any, packed: Packed) -> torch.Tensor:
        """Give the last state of each row's first token, [rows, 1, hidden]; no other is computed where that can be."""
        if first_token.is_known(model) and encoder.is_known(model.base_model):
            return encoder.first_states(model.base_model, packed.inputs, packed.lengths)[:, None]
        return self.states(model.base_model, packed)[packed.starts][:, None]

    def averages(self, backbone: Any, packed: Packed, *, every: bool = True) -> torch.Tensor:
        """Average the states of each row's tokens, in float32: [rows, layers, hidden], the embeddings being a layer.

        Only the last layer's, [rows, 1, hidden], unless it is to be `every` layer's.
        """
        if not every:
            states: Iterable[torch.Tensor] = [self.states(backbone, packed)]
        elif encoder.is_known(backbone):
            states = encoder.states(backbone, packed.inputs, packed.lengths)
        else:
            states = [one[0] for one in backbone(**packed.inputs, output_hidden_states=True).hidden_states]
        averages = [
            torch.stack([row.mean(dim=0, dtype=torch.float32) for row in torch.split(layer, packed.lengths)])
            for layer in states
        ]
        return torch.stack(averages, dim=1)


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Let each row see itself; anything else is as fused attention has it.

    Raises:
        TypeError: the layer asks for what is not known here, such as a window.
    """
    if attention_mask is None or attention_mask.dtype != torch.long:
        found, _ = sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **more)
        return found, None
    if unknown := [name for name, told in more.items() if told is not None and name not in _MEANS_NOTHING]:
        raise TypeError(f"rows one behind the other know no {unknown[0]}")
    if dropout or getattr(module, "is_causal", False) or query.shape[1] != key.shape[1]:
        raise TypeError("rows one behind the other know no dropout, no causal attention, and no shared keys")
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return row_attention(query[0], key[0], value[0], attention_mask.flatten().tolist(), scaling)[None], None


AttentionInterface.register(ATTENTION, _attention)
AttentionMaskInterface.register(ATTENTION, sdpa_mask)
