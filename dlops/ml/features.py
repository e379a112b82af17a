"""What a frozen backbone gives for each row: computed once, kept by content, read by every later epoch and run."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from dlops.ml import batches, cache, record
from dlops.ml.batches import Collate, FeatureRows, TokenRows
from dlops.ml.hardware import Arithmetic
from dlops.ml.networks import Network
from dlops.ml.progress import Progress, say

_KIND = "features"
_VERSION = "1"
"""Of what features are; a change of the method raises it."""


Kind = TypeVar("Kind", TokenRows, FeatureRows)


@dataclass(frozen=True)
class Rows(Generic[Kind]):
    """The rows of the three splits, and how they become batches."""

    train: Kind
    val: Kind | None
    test: Kind
    collate: Collate


def of(network: Network, rows: Rows[TokenRows], arithmetic: Arithmetic) -> Rows[FeatureRows]:
    """Run the frozen backbone over all rows that it has not seen before."""
    started = time.monotonic()
    network.to(arithmetic.accelerator).eval()
    backbone = fingerprint(network)
    splits = [split for split in (rows.train, rows.val, rows.test) if split]
    known = [
        cache.key(_VERSION, type(network).__name__, backbone, str(arithmetic), split.tokens.key) for split in splits
    ]
    missing = sum(len(split) for split, key in zip(splits, known, strict=True) if not cache.is_there(_KIND, key))
    progress = Progress(missing, "rows")
    done, found = 0, []
    for split, key in zip(splits, known, strict=True):
        fresh = not cache.is_there(_KIND, key)
        before = done

        def compute(split: TokenRows = split, before: int = before) -> cache.Tensors:
            return {"features": _compute(network, split, rows.collate, arithmetic, progress, before)}

        found.append(FeatureRows(cache.remembered(_KIND, key, compute)["features"], split.labels))
        done += len(split) if fresh else 0
    seconds = time.monotonic() - started
    if done:
        say(f"The frozen layers have read {done} rows, once, in {seconds:.0f} s; what they gave is kept.")
    else:
        say("The frozen layers read these rows before: what they gave was kept.")
    record.metrics({"feature_seconds": seconds, "feature_rows": done})
    val = found[1] if rows.val else None
    return Rows(found[0], val, found[-1], batches.stacked)


def fingerprint(network: Network) -> str:
    """Hash the weights that features depend on: all but the head's."""
    read = {name: weights for name, weights in network.state_dict().items() if not network.is_head(name)}
    parts = ((name, weights) for name, weights in sorted(read.items()) if not network.is_unread(name))
    return cache.key(*(part for name, weights in parts for part in (name, weights.cpu())))


def _compute(
    network: Network, rows: TokenRows, collate: Collate, arithmetic: Arithmetic, progress: Progress, before: int
) -> torch.Tensor:
    """Give the features of all rows, [rows, …], in the order of the rows."""
    found: torch.Tensor | None = None
    device, done = arithmetic.accelerator, 0
    loader = batches.evaluation(rows, collate)
    order = batches.order(loader)
    with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=arithmetic.bf16):
        for part in (part for batch in loader for part in batch):
            computed = network.features({name: tensor.to(device) for name, tensor in part.items()}).cpu()
            if found is None:
                found = torch.empty(len(rows), *computed.shape[1:])
            found[order[done : done + len(computed)]] = computed
            done += len(computed)
            progress.update(before + done, "computing features")
    if found is None:
        raise RuntimeError("there are no rows to compute features of")
    return found
