"""Whether the tokens that are said to matter do: what the model makes of texts without them, or with them alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from .masked_text import MaskedText
from .scoring import Scorer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

SHARE = 0.2
"""Of the tokens that are hidden, or shown alone."""
_POINTS = 10
"""Of the curve, beside its beginning."""


@dataclass(frozen=True)
class Faithfulness:
    """Of attributions of some texts; each figure is [texts]."""

    comprehensiveness: Array
    """How much the output falls when the top fifth of the tokens is hidden (DeYoung et al., 2020); higher is better."""
    sufficiency: Array
    """How much it falls when the top fifth alone is shown; lower is better."""
    deletion: Array
    """Mean output while tokens are hidden, a tenth at a time from the top (Petsiuk et al., 2018); lower is better."""

    def means(self) -> dict[str, float]:
        """Give the mean of each figure."""
        return {name: float(values.mean()) for name, values in vars(self).items()}


def judge(
    scorer: Scorer, texts: Sequence[MaskedText], orders: Sequence[Sequence[int]], wanted: Sequence[int]
) -> Faithfulness:
    """Hold orders of tokens, the most important ones first, against what the model makes of them."""
    strings: list[str] = []
    for text, order in zip(texts, orders, strict=True):
        top = max(1, round(SHARE * len(order)))
        masks = [text.without(order, round(len(order) * point / _POINTS)) for point in range(_POINTS + 1)]
        masks += [text.without(order, top), text.only(order, top)]
        strings += text.masked(np.stack(masks))
    scores = scorer.scores(strings).reshape(len(texts), _POINTS + 3, -1)
    outputs = np.stack([row[:, target] for row, target in zip(scores, wanted, strict=True)])
    whole = outputs[:, 0]
    return Faithfulness(
        comprehensiveness=whole - outputs[:, -2],
        sufficiency=whole - outputs[:, -1],
        deletion=np.trapezoid(outputs[:, : _POINTS + 1], dx=1 / _POINTS, axis=1),
    )


def order(text: MaskedText, values: Array) -> list[int]:
    """Give the tokens that can be hidden, those that add most to the output first."""
    return [int(place) for place in np.argsort(-values, kind="stable") if not text.kept[place]]


def chance(text: MaskedText, generator: np.random.Generator) -> list[int]:
    """Give the tokens that can be hidden in an order drawn by chance: what any method must beat."""
    return [int(place) for place in generator.permutation(len(text)) if not text.kept[place]]
