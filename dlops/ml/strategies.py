"""What is trained: the head alone, on features that are computed once, or the whole model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias, cast

import torch
from torch import nn
from torch.utils.data import DataLoader
from transformers.modeling_outputs import BaseModelOutputWithPooling

from dlops.ml import pooling, record
from dlops.ml.batches import Batch, Collate, Example
from dlops.ml.classifier import is_head
from dlops.ml.hardware import Arithmetic
from dlops.ml.progress import Progress, say

_ROWS = 32
_COMPARED_ROWS = 8

Feature: TypeAlias = tuple[torch.Tensor, int]
"""What the head reads of one text, the last hidden state of its first token, [hidden]; and the place of its label."""


@dataclass(frozen=True)
class Rows:
    """The rows of the three splits as a strategy trains on them, and how they become batches."""

    train: Sequence[Any]
    val: Sequence[Any]
    test: Sequence[Any]
    collate: Collate


def freeze(model: nn.Module) -> None:
    """Leave only the head to be trained (Lightning Flash's strategy of that name), on the mean of all tokens.

    Where the architecture does not allow the mean, the head reads the first token, as that architecture has it.
    """
    if pooling.supported(model):
        pooling.append_mean(model)
    for name, parameter in model.named_parameters():
        parameter.requires_grad = is_head(model, name)


@contextmanager
def features(model: nn.Module, rows: Rows, arithmetic: Arithmetic) -> Iterator[Rows]:
    """Run the frozen backbone once over all rows, and let the model read the results for as long as the context lasts.

    A model whose head reads more than the first token is recognised by its answers, and keeps reading tokens.
    """
    splits = (rows.train, rows.val, rows.test)
    progress = Progress(sum(map(len, splits)), "rows")
    compared = rows.train[:_COMPARED_ROWS]
    if not _same_answers(
        model, compared, _compute(model, compared, rows.collate, arithmetic), rows.collate, arithmetic
    ):
        say("The head of this model reads more than the first token: nothing is computed ahead.")
        yield rows
        return
    started, done, found = time.monotonic(), 0, []
    for split in splits:
        found.append(_compute(model, split, rows.collate, arithmetic, progress, done))
        done += len(split)
    seconds = time.monotonic() - started
    say(f"The frozen layers have read {done} rows, once, in {seconds:.0f} s")
    record.metrics({"feature_seconds": seconds})
    with _cached_backbone(model):
        yield Rows(found[0], found[1], found[2], collate)


def collate(drawn: Sequence[Feature]) -> Batch:
    """Stack features into one batch: [rows, 1, hidden], in the place of embeddings."""
    vectors = torch.stack([vector for vector, _ in drawn]).unsqueeze(1)
    return [{"inputs_embeds": vectors, "labels": torch.tensor([target for _, target in drawn])}]


class CachedBackbone(nn.Module):
    """Stands in for a frozen backbone: hands on hidden states that were computed before."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.pooler = getattr(backbone, "pooler", None)

    def forward(self, *arguments: Any, inputs_embeds: torch.Tensor, **others: Any) -> Any:
        """Take hidden states, [rows, 1, hidden], for embeddings, and give them as the backbone's last ones."""
        del arguments, others
        pooled = None if self.pooler is None else self.pooler(inputs_embeds)
        return BaseModelOutputWithPooling(last_hidden_state=inputs_embeds, pooler_output=pooled)


@contextmanager
def _cached_backbone(model: nn.Module) -> Iterator[None]:
    prefix = str(model.base_model_prefix)
    backbone = getattr(model, prefix)
    setattr(model, prefix, CachedBackbone(backbone))
    try:
        yield
    finally:
        setattr(model, prefix, backbone)


def _compute(
    model: nn.Module,
    rows: Sequence[Example],
    collator: Collate,
    arithmetic: Arithmetic,
    progress: Progress | None = None,
    done: int = 0,
) -> list[Feature]:
    order = sorted(range(len(rows)), key=lambda row: len(rows[row][0]))
    device = arithmetic.accelerator
    backbone = getattr(model, str(model.base_model_prefix)).to(device).eval()
    vectors: list[torch.Tensor] = []
    batches = DataLoader(cast(Any, [rows[row] for row in order]), _ROWS, collate_fn=collator)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=arithmetic.bf16):
        for part in (part for batch in batches for part in batch):
            hidden = backbone(part["input_ids"].to(device), attention_mask=part["attention_mask"].to(device))
            vectors.extend(hidden.last_hidden_state[:, 0].float().cpu().clone())
            if progress is not None:
                progress.update(done + len(vectors), "computing features")
    found = dict(zip(order, vectors, strict=True))
    return [(found[row], rows[row][1]) for row in range(len(rows))]


def _same_answers(
    model: nn.Module,
    rows: Sequence[Example],
    computed: list[Feature],
    collator: Collate,
    arithmetic: Arithmetic,
) -> bool:
    """Compare the logits for tokens with those for features; a collator sorts rows, so each goes alone."""
    model.to(arithmetic.accelerator).eval()
    with torch.no_grad():
        slow = torch.cat([_logits(model, collator([row]), arithmetic) for row in rows])
        try:
            with _cached_backbone(model):
                quick = torch.cat([_logits(model, collate([feature]), arithmetic) for feature in computed])
        except (TypeError, IndexError, AttributeError, RuntimeError):
            return False
    return torch.allclose(slow, quick, atol=0.05 if arithmetic.bf16 else 1e-3)


def _logits(model: nn.Module, batch: Batch, arithmetic: Arithmetic) -> torch.Tensor:
    inputs = {name: tensor.to(arithmetic.accelerator) for name, tensor in batch[0].items() if name != "labels"}
    logits: torch.Tensor = model(**inputs).logits
    return logits.float().cpu()
