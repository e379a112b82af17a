"""Batches of tokens: random, of texts of like length, padded no further than they must be."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import torch
from torch.utils.data import DataLoader, Sampler

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Example: TypeAlias = tuple[list[int], int]
"""Token ids of one text, and the place of its label."""

Batch: TypeAlias = list[dict[str, torch.Tensor]]
"""Micro-batches: the model's inputs, [rows, tokens] each, and `labels`, [rows]."""

Collate: TypeAlias = Callable[[Sequence[Any]], Batch]
"""Makes a batch of drawn rows."""

_EVALUATION_ROWS = 64
_POOLED_BATCHES = 8
_MICRO_TOKENS = 1024
"""Padded tokens of one micro-batch on a CPU: more wastes work on padding, fewer on the overhead of a call."""


def micro_tokens(accelerator: str) -> int | None:
    """Give the size of a micro-batch in padded tokens, or `None` where a whole batch at once is faster."""
    return _MICRO_TOKENS if accelerator == "cpu" else None


def examples(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], targets: Sequence[int], max_length: int
) -> list[Example]:
    """Tokenize texts, cut to `max_length` tokens or to what the tokenizer says its model takes, if that is less."""
    limit = min(max_length, tokenizer.model_max_length)
    ids = tokenizer(list(texts), truncation=True, max_length=limit, return_attention_mask=False)["input_ids"]
    return list(zip(ids, targets, strict=True))


class Collator:
    """Turns drawn examples into length-sorted micro-batches; the loss of a batch is the sum over them."""

    def __init__(self, padding: int, micro_tokens: int | None) -> None:
        self.padding = padding
        self.micro_tokens = micro_tokens
        """Padded tokens of a micro-batch; `None` keeps the batch whole, as an accelerator likes it."""

    def __call__(self, drawn: Sequence[Example]) -> Batch:
        ordered = sorted(drawn, key=lambda example: len(example[0]))
        groups: list[list[Example]] = [[]]
        for example in ordered:
            full = self.micro_tokens is not None and len(example[0]) * (len(groups[-1]) + 1) > self.micro_tokens
            if full and groups[-1]:
                groups.append([])
            groups[-1].append(example)
        return [self._padded(group) for group in groups]

    def _padded(self, group: Sequence[Example]) -> dict[str, torch.Tensor]:
        longest = max(len(ids) for ids, _ in group)
        inputs = torch.full((len(group), longest), self.padding, dtype=torch.long)
        mask = torch.zeros_like(inputs)
        for row, (ids, _) in enumerate(group):
            inputs[row, : len(ids)] = torch.tensor(ids)
            mask[row, : len(ids)] = 1
        labels = torch.tensor([target for _, target in group])
        return {"input_ids": inputs, "attention_mask": mask, "labels": labels}


class Buckets(Sampler[list[int]]):
    """Draws random batches of rows of like length: another draw each epoch, the same draws for the same seed.

    All rows are shuffled and dealt into pools of a few batches; a pool is sorted by length and cut into batches, and
    all batches are shuffled.
    """

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self._lengths = lengths
        self._size = batch_size
        self._random = random.Random(seed)  # noqa: S311 (no secret depends on it)

    def __len__(self) -> int:
        return math.ceil(len(self._lengths) / self._size)

    def __iter__(self) -> Iterator[list[int]]:
        order = list(range(len(self._lengths)))
        self._random.shuffle(order)
        pool = _POOLED_BATCHES * self._size
        batches: list[list[int]] = []
        for start in range(0, len(order), pool):
            rows = sorted(order[start : start + pool], key=lambda row: self._lengths[row])
            batches += [rows[at : at + self._size] for at in range(0, len(rows), self._size)]
        self._random.shuffle(batches)
        yield from batches


def training(rows: Sequence[Any], collate: Collate, batch_size: int, seed: int) -> DataLoader[Any]:
    """Give random batches of `rows`: texts of like length share a batch, rows of one length come in any."""
    sampler = Buckets([length(row) for row in rows], batch_size, seed)
    return DataLoader(cast(Any, rows), batch_sampler=sampler, collate_fn=collate)


def evaluation(rows: Sequence[Any], collate: Collate) -> DataLoader[Any]:
    """Give every row once, the shortest first: hardly any padding."""
    return DataLoader(cast(Any, sorted(rows, key=length)), _EVALUATION_ROWS, collate_fn=collate)


def length(row: tuple[Sequence[int] | torch.Tensor, int]) -> int:
    """Give the length of a row: its tokens, or its features, of which all rows have as many."""
    return len(row[0])
