"""The ways to attribute a model's answer to the tokens of a text: Owen values as shap's, and integrated gradients."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

import numpy as np

from . import owen
from .masked_text import MaskedText
from .scoring import Scorer

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]
Method: TypeAlias = Literal["shap", "integrated_gradients"]
METHODS: tuple[Method, ...] = get_args(Method)

TOGETHER = 6
"""Variants of a text that are asked for before what they tell decides which come next: as many as shap takes."""


@dataclass(frozen=True)
class Attribution:
    """Of one answer to one text."""

    text: str
    tokens: list[str]
    """Parts of the text, [tokens]; empty for those that the tokenizer adds."""
    values: Array
    """How much each token adds to the output, [tokens]."""
    base: float
    """What the model makes of the text with all tokens hidden."""
    output: float
    """Its probability of the target, or its number."""
    target: int
    """Place of the label that is explained."""
    method: Method

    @property
    def error(self) -> float:
        """How far base and values together are from the output."""
        return abs(self.base + float(self.values.sum()) - self.output)


def targets(scores: Array) -> list[int]:
    """Give the place of each text's likeliest label, of [texts, labels]."""
    return [int(place) for place in scores.argmax(axis=1)]


def shap(
    scorer: Scorer, texts: Sequence[MaskedText], wanted: Sequence[int], *, evaluations: int, seconds: float = 0.0
) -> list[Attribution]:
    """Attribute by Owen values over a tree of each text's tokens (Lundberg & Lee, 2017), as `shap.Explainer` does.

    At most about so many `evaluations` of the model a text; `seconds` a text, where they are not 0, end it earlier.
    """
    rows = [owen.row(text.clustering, evaluations=evaluations, together=TOGETHER) for text in texts]

    def outputs(asked: dict[int, Array]) -> dict[int, Array]:
        strings = {place: texts[place].masked(masks) for place, masks in asked.items()}
        scores = scorer.scores([string for some in strings.values() for string in some])
        found, start = {}, 0
        for place, some in strings.items():
            found[place] = scores[start : start + len(some), wanted[place]]
            start += len(some)
        return found

    until = time.monotonic() + seconds * len(texts) if seconds else math.inf
    found = owen.explain(rows, outputs, until=until)
    return [
        Attribution(text.text, text.segments, one.values, one.base, one.output, target, "shap")
        for text, one, target in zip(texts, found, wanted, strict=True)
    ]


def integrated_gradients(
    scorer: Scorer, texts: Sequence[MaskedText], wanted: Sequence[int], *, steps: int
) -> list[Attribution]:
    """Attribute by gradients on the way from hidden tokens to the text (Sundararajan et al., 2017)."""
    values = scorer.gradients([text.ids for text in texts], [text.kept for text in texts], wanted, steps=steps)
    ends = scorer.scores([string for text in texts for string in (text.hidden, text.text)]).reshape(len(texts), 2, -1)
    return [
        Attribution(
            text.text, text.segments, one, float(base[target]), float(output[target]), target, "integrated_gradients"
        )
        for text, one, (base, output), target in zip(texts, values, ends, wanted, strict=True)
    ]
