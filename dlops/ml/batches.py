"""Batches: random, cut into micro-batches of rows of like length, padded no further than they must be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler

from dlops.ml import ranks
from dlops.ml.tokens import Tokens

Micro: TypeAlias = dict[str, torch.Tensor]
"""The model's inputs, [rows, tokens] each, or `features`, [rows, …]; and `labels`, as the target encodes them."""

Batch: TypeAlias = list[Micro]
"""What one step of the optimizer sees, in parts that fit."""

Collate: TypeAlias = Callable[[Any], Batch]
"""Makes a batch of drawn rows."""

_EVALUATION_ROWS, _EVALUATION_FEATURES = 64, 4096
_MICRO_TOKENS, _MOST_MICRO_TOKENS = 1024, 4096
"""Padded tokens of one micro-batch on a CPU: more wastes work on padding, fewer on the overhead of a call."""
_STATES = 2304 * _MOST_MICRO_TOKENS
"""Numbers, of all layers and tokens, that a processor's memory is still fast with: six layers of 384 of most tokens."""


def micro_tokens(accelerator: str, states: int | None = None) -> int | None:
    """Give the size of a micro-batch in padded tokens, or `None` where a whole batch at once is faster.

    Where rows lie one behind the other, nothing is wasted on padding, and more are taken the fewer numbers a token
    has: `states`, over all layers.
    """
    if accelerator != "cpu":
        return None
    return max(_MICRO_TOKENS, min(_MOST_MICRO_TOKENS, _STATES // states)) if states else _MICRO_TOKENS


class Example(NamedTuple):
    """One row."""

    ids: torch.Tensor
    """[tokens]."""
    types: torch.Tensor | None
    label: torch.Tensor
    """One row of what the target encodes."""


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Rows of tokens with their labels."""

    tokens: Tokens
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, row: int) -> Example:
        return Example(*self.tokens.row(row), self.labels[row])

    def __add__(self, others: TokenRows) -> TokenRows:
        return TokenRows(self.tokens + others.tokens, torch.cat([self.labels, others.labels]))

    @property
    def lengths(self) -> list[int]:
        """What each row costs."""
        return self.tokens.lengths


@dataclass(frozen=True, eq=False)
class FeatureRows:
    """Rows of features that a frozen backbone gave, with their labels."""

    features: torch.Tensor
    """[rows, …]."""
    labels: torch.Tensor

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.features[row], self.labels[row]

    def __getitems__(self, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        """Give some rows at once: torch's loaders ask for it."""
        return self.features[rows], self.labels[rows]

    def __add__(self, others: FeatureRows) -> FeatureRows:
        return FeatureRows(torch.cat([self.features, others.features]), torch.cat([self.labels, others.labels]))

    @property
    def lengths(self) -> list[int]:
        """Every row costs the same."""
        return [1] * len(self)


class Collator:
    """Turns drawn examples into length-sorted micro-batches; the loss of a batch is the sum over them."""

    def __init__(self, padding: int, micro_tokens: int | None) -> None:
        self.padding = padding
        self.micro_tokens = micro_tokens
        """Padded tokens of a micro-batch; `None` keeps the batch whole."""

    def __call__(self, drawn: Sequence[Example]) -> Batch:
        ordered = sorted(drawn, key=lambda example: len(example.ids))
        groups: list[list[Example]] = [[]]
        for example in ordered:
            full = self.micro_tokens is not None and len(example.ids) * (len(groups[-1]) + 1) > self.micro_tokens
            if full and groups[-1]:
                groups.append([])
            groups[-1].append(example)
        return [self.padded(group) for group in groups]

    def padded(self, group: Sequence[Example]) -> Micro:
        """Make a micro-batch, as long as its longest row."""
        longest = max(len(example.ids) for example in group)
        inputs = torch.full((len(group), longest), self.padding, dtype=torch.long)
        mask = torch.zeros_like(inputs)
        types = None if group[0].types is None else torch.zeros_like(inputs)
        for row, example in enumerate(group):
            inputs[row, : len(example.ids)] = example.ids
            mask[row, : len(example.ids)] = 1
            if types is not None and example.types is not None:
                types[row, : len(example.ids)] = example.types
        found = {"input_ids": inputs, "attention_mask": mask, "labels": torch.stack([one.label for one in group])}
        return found if types is None else {**found, "token_type_ids": types}


def whole(drawn: tuple[torch.Tensor, torch.Tensor]) -> Batch:
    """Make one batch of features and labels that were drawn at once."""
    features, labels = drawn
    return [{"features": features, "labels": labels}]


class RandomBatches(Sampler[list[int]]):
    """Draws random batches: another order each epoch, the same for the same seed and epoch, whatever went before.

    A batch holds `rows` rows, or with `tokens` about as many as have that many tokens together; there are as many
    batches in each epoch. Where several processes train, each takes its share of the rows of every batch; one for
    which there is none takes the first row too, as nobody can be left waiting.
    """

    def __init__(self, lengths: Sequence[int], *, rows: int, tokens: int | None = None, seed: int = 0) -> None:
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._rows, self._tokens, self._seed = rows, tokens, seed
        self.epoch = 0
        """The epoch whose order comes next, counted from 0."""
        self.skip = 0
        """Batches of the next pass that were seen before an interruption."""

    @property
    def sampler(self) -> RandomBatches:
        """Itself: where Lightning looks for what it tells the epoch."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch whose order comes next, counted from 0; Lightning calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        if self._tokens is None:
            return math.ceil(len(self._lengths) / self._rows)
        total, longest = int(self._lengths.sum()), int(self._lengths.max())
        return max(1, min(math.ceil(total / self._tokens), total // longest))

    def __iter__(self) -> Iterator[list[int]]:
        skipped, self.skip = self.skip, 0
        order = np.random.default_rng([self._seed, self.epoch]).permutation(len(self._lengths))
        if self._tokens is None:
            cuts = np.arange(self._rows, len(order), self._rows)
        else:  # equal shares of all tokens, each as wide as the longest row at least: none is empty
            before = np.cumsum(self._lengths[order]) - self._lengths[order]
            cuts = np.flatnonzero(np.diff(before * len(self) // int(self._lengths.sum()))) + 1
        for rows in np.split(order, cuts)[skipped:]:
            yield ranks.share(rows.tolist()) or rows[:1].tolist()


def halved(batch: Batch) -> Batch:
    """Give the batch in parts of half as many rows, each padded no further than before."""
    parts = []
    for part in batch:
        rows = len(part["labels"])
        cuts = [0, (rows + 1) // 2, rows] if rows > 1 else [0, 1]
        parts += [{name: tensor[start:end] for name, tensor in part.items()} for start, end in itertools.pairwise(cuts)]
    return parts


def training(rows: TokenRows | FeatureRows, collate: Collate, sampler: RandomBatches) -> DataLoader[Any]:
    """Give the sampler's batches of `rows`."""
    return DataLoader(cast(Any, rows), batch_sampler=sampler, collate_fn=collate)


class OrderedBatches(Sampler[list[int]]):
    """Gives every row once, the shortest first: hardly any padding.

    Each of several processes has its share of each batch; where there is none left, the first row, a second time.
    """

    def __init__(self, lengths: Sequence[int], *, rows: int = _EVALUATION_ROWS) -> None:
        order = sorted(range(len(lengths)), key=lengths.__getitem__)
        self._batches = [order[at : at + rows] for at in range(0, len(order), rows)]

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        return (ranks.share(batch) or batch[:1] for batch in self._batches)


def evaluation(rows: TokenRows | FeatureRows, collate: Collate) -> DataLoader[Any]:
    """Give every row once."""
    at_once = _EVALUATION_FEATURES if isinstance(rows, FeatureRows) else _EVALUATION_ROWS
    batches = OrderedBatches(rows.lengths, rows=at_once)
    return DataLoader(cast(Any, rows), batch_sampler=batches, collate_fn=collate)


def order(loader: DataLoader[Any]) -> list[int]:
    """Give which row each answer belongs to, in the order in which the rows of `evaluation` come."""
    batches: Any = loader.batch_sampler
    return [row for rows in batches for row in rows]
