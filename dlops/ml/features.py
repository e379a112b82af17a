"""What a frozen backbone gives for each row: computed once, kept by content, read by every later epoch and run."""

from __future__ import annotations

import functools
import itertools
import json
import threading
import time
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch

from dlops.errors import StepFailed
from dlops.ml import batches, cache, hardware, record
from dlops.ml.batches import Collate, FeatureRows, Micro, TokenRows
from dlops.ml.hardware import Arithmetic
from dlops.ml.networks import Network
from dlops.ml.prepacked import prepacked
from dlops.ml.progress import Progress, say

_KIND = "features"
_VERSION = "5"
"""Of what features are; a change of the method raises it."""
_OF_THE_HEAD = ("architectures", "id2label", "label2id", "problem_type")
"""What of a model's configuration its layers do not read; `transformers_version` is left in."""


Kind = TypeVar("Kind", TokenRows, FeatureRows)


@dataclass(frozen=True)
class Rows(Generic[Kind]):
    """The rows of the three splits, and how they become batches."""

    train: Kind
    val: Kind | None
    test: Kind
    collate: Collate


def of(network: Network, weights: str, rows: Rows[TokenRows], arithmetic: Arithmetic) -> Rows[FeatureRows]:
    """Run the frozen backbone over all rows that it has not read before; `weights` is the network's fingerprint.

    The test rows are read last, and their seconds told apart: the training needs no such thing.

    Raises:
        StepFailed: the network's head reads something else than features.
    """
    network.to(arithmetic.accelerator).eval()
    splits = {"train": rows.train, **({"val": rows.val} if rows.val else {}), "test": rows.test}
    method = (_VERSION, type(network).__name__, weights, str(arithmetic))
    keys = {name: cache.key(*method, split.tokens.key) for name, split in splits.items()}
    fresh = [name for name in splits if not cache.is_there(_KIND, keys[name])]
    if fresh:
        _check(network, rows, arithmetic)
    progress = Progress(sum(len(splits[name]) for name in fresh), "rows")
    found, seconds, done = {}, {}, 0
    for name, split in splits.items():
        began = time.monotonic()
        compute = functools.partial(_compute, network, split, rows.collate, arithmetic, progress, done)
        found[name] = FeatureRows(cache.remembered(_KIND, keys[name], compute)["features"], split.labels)
        seconds[name] = time.monotonic() - began
        done += len(split) if name in fresh else 0
    if done:
        told = f"in {sum(seconds.values()):.0f} s; what they gave is kept"
        say(f"The frozen layers have read {done} rows, once, {told}.")
    else:
        say("The frozen layers read these rows before: what they gave was kept.")
    last = seconds.pop("test")
    record.metrics(
        {"feature_seconds": sum(seconds.values()), "test_feature_seconds": last, "feature_rows": done},
    )
    return Rows(found["train"], found.get("val"), found["test"], batches.whole)


def fingerprint(network: Network) -> str:
    """Hash what features depend on: the weights but for the head's, and how the layers compute with them."""
    kind, config = type(network.backbone), network.backbone.config.to_dict()
    told = {name: value for name, value in config.items() if name not in _OF_THE_HEAD and not name.startswith("_")}
    method = json.dumps(told, sort_keys=True, default=str), f"{kind.__module__}.{kind.__qualname__}"
    read = {name: weights for name, weights in network.state_dict().items() if not network.is_head(name)}
    parts = ((name, weights) for name, weights in sorted(read.items()) if not network.is_unread(name))
    return cache.key(*method, *(part for name, weights in parts for part in (name, weights.cpu())))


def _check(network: Network, rows: Rows[TokenRows], arithmetic: Arithmetic) -> None:
    """Refuse a head that would learn another answer here than the whole model gives, such as one that pools itself."""
    few = [rows.train[row] for row in range(min(4, len(rows.train)))]
    for part in rows.collate(few):
        given = {name: tensor.to(arithmetic.accelerator) for name, tensor in part.items()}
        with torch.no_grad():
            whole, apart = network(given), network.answer(network.features(given)).float()
        if not torch.allclose(whole, apart, atol=1e-3, rtol=1e-2):
            raise StepFailed(
                "The model's own head reads more than each row's first token, and cannot be trained on frozen layers.",
                hint="head=all_layers, the default with freeze, and head=mean can; or take another strategy.",
            )


def _compute(
    network: Network, rows: TokenRows, collate: Collate, arithmetic: Arithmetic, progress: Progress, before: int
) -> cache.Tensors:
    """Give the features of all rows, [rows, …], in the order of the rows; so many rows were read `before`."""
    found: list[torch.Tensor] = []
    device, done, noting = arithmetic.accelerator, 0, threading.Lock()
    loader = batches.evaluation(rows, collate)
    left = iter(batches.order(loader))
    parts = (part for batch in loader for part in batches.halved(batch))  # several are computed at once
    placed = ((part, list(itertools.islice(left, len(part["labels"])))) for part in parts)

    def compute(some: tuple[Micro, list[int]]) -> None:
        nonlocal done
        part, places = some
        computed = network.features({name: tensor.to(device) for name, tensor in part.items()}).cpu()
        with noting:
            if not found:
                found.append(torch.empty(len(rows), *computed.shape[1:]))
            found[0][places] = computed
            done += len(places)
            progress.update(before + done, "computing features")

    with prepacked(network, arithmetic):
        hardware.side_by_side(compute, placed, arithmetic)
    if not found:
        raise RuntimeError("there are no rows to compute features of")
    return {"features": found[0]}
