"""Owen values of a text's tokens (Owen, 1977), as shap's PartitionExplainer has them, for many texts side by side.

A row asks for some masked variants of its text, is told what the model makes of them, and asks again: what it asks for
is what shap would, whoever else asks meanwhile.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Row: TypeAlias = Generator[Array, Array | None, "Values"]
"""Gives masks, [variants, tokens], and is sent the model's outputs, [variants], or `None` where time is up."""


class Values(NamedTuple):
    """What a row ends with."""

    values: Array
    """[tokens]; with `base` they add up to `output`."""
    base: float
    """What the model makes of the text without any of its tokens."""
    output: float
    """What it makes of the whole text."""


def row(clustering: Array, *, evaluations: int, together: int) -> Row:
    """Explain one output of the model for one text by at most about so many `evaluations`, so many asked `together`.

    `clustering` is a tree over the tokens as `shap.maskers.Text` makes it, [tokens - 1, 4]: the two parts of each
    cluster, its height, its size. What a cluster is worth goes to its parts where evaluations are left, those that
    matter most first, else to all of its tokens alike.
    """
    tokens = len(clustering) + 1
    nothing = np.zeros(tokens, bool)
    outputs = yield np.stack([nothing, ~nothing])
    assert outputs is not None
    base, whole = outputs
    members = _members(clustering)
    credit = np.zeros(2 * tokens - 1)
    number = itertools.count()  # of those that matter alike, the first comes first
    waiting = [(0.0, next(number), nothing, base, whole, 2 * tokens - 2, 1.0)]
    done, is_late = 2, False
    while waiting:
        if done >= evaluations or is_late:
            for _, _, _, without, within, cluster, weight in waiting:
                credit[cluster] += (within - without) * weight
            break
        opened: list[Any] = []
        masks: list[Array] = []
        while waiting and len(masks) < together and done + len(masks) < evaluations:
            _, _, mask, without, within, cluster, weight = heapq.heappop(waiting)
            if cluster < tokens or clustering[cluster - tokens, 2] < 0:
                credit[cluster] += (within - without) * weight
                continue
            left, right = (int(part) for part in clustering[cluster - tokens, :2])
            with_left, with_right = mask | members[left], mask | members[right]
            opened.append((mask, with_left, with_right, without, within, cluster, left, right, weight / 2))
            masks += [with_left, with_right]
        if not masks:
            continue
        outputs = yield np.stack(masks)
        if outputs is None:
            waiting += [
                (0.0, 0, mask, low, high, cluster, 2 * half) for mask, _, _, low, high, cluster, _, _, half in opened
            ]
            is_late = True
            continue
        done += len(masks)
        for (mask, with_left, with_right, without, within, _, left, right, half), (one, other) in zip(
            opened, outputs.reshape(-1, 2), strict=True
        ):
            for context, low, high, part in (
                (mask, without, one, left),
                (mask, without, other, right),
                (with_right, other, within, left),
                (with_left, one, within, right),
            ):
                heapq.heappush(waiting, (-abs(high - low) * half, next(number), context, low, high, part, half))
    return Values(_lowered(credit, clustering), float(base), float(whole))


def explain(
    rows: Sequence[Row], outputs: Callable[[dict[int, Array]], Mapping[int, Array]], *, until: float = math.inf
) -> list[Values]:
    """Bring rows to their end side by side, or to what is known `until` a moment of `time.monotonic()`.

    `outputs` answers the masks of several of them at once, by their places.
    """
    found: dict[int, Values] = {}
    asked = {place: next(one) for place, one in enumerate(rows)}
    is_first = True
    while asked:
        is_late = time.monotonic() > until and not is_first
        told: Mapping[int, Array] = {} if is_late else outputs(asked)
        is_first = False
        for place in list(asked):
            try:
                asked[place] = rows[place].send(told.get(place))
            except StopIteration as end:
                found[place] = end.value
                del asked[place]
    return [found[place] for place in range(len(rows))]


def _members(clustering: Array) -> Array:
    """Give which tokens each cluster has, [2 · tokens - 1, tokens]; the first are the tokens alone."""
    tokens = len(clustering) + 1
    found = np.zeros((2 * tokens - 1, tokens), bool)
    found[:tokens] = np.eye(tokens, dtype=bool)
    for place, (left, right) in enumerate(clustering[:, :2].astype(int)):
        found[tokens + place] = found[left] | found[right]
    return found


def _lowered(credit: Array, clustering: Array) -> Array:
    """Give what clusters kept to their tokens, each alike."""
    tokens = len(clustering) + 1
    sizes = np.concatenate([np.ones(tokens), clustering[:, 3]])
    credit = credit.copy()
    for place in range(len(clustering) - 1, -1, -1):
        for part in clustering[place, :2].astype(int):
            credit[part] += credit[tokens + place] * sizes[part] / sizes[tokens + place]
    return credit[:tokens]
