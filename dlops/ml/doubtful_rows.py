"""The rows that a model answers worst, and those whose label is likely to be wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlops.ml.datasets import Split
from dlops.ml.evaluation import Classification, Labelled, MultiLabel

_CHARACTERS = 500
"""Of a text that is listed."""


@dataclass(frozen=True)
class Row:
    """A row of a list."""

    id: str
    label: Any
    answer: Any
    score: float
    """Probability of the label that the data has; of a number, how far off the answer is."""
    text: str = ""


def hardest(judged: Labelled, split: Split, count: int, *, texts: bool) -> list[Row]:
    """List the rows whose answers are worst, the worst first; right answers are none of them."""
    order = np.argsort(-judged.losses, kind="stable")
    wrong = [int(place) for place in order if not judged.right[place]]
    return _listed(judged, split, wrong[:count], texts=texts)


def label_errors(judged: Labelled, split: Split, count: int, *, texts: bool) -> list[Row]:
    """List the rows whose label is likely to be wrong, the likeliest first (Northcutt et al., 2021, by cleanlab).

    Confident learning asks which rows the model gives another class with more than its usual confidence. There are
    none for numbers, nor where a class of several has no rows or all, or a row has no class.
    """
    if not isinstance(judged, Classification | MultiLabel) or not judged.rows:
        return []
    if isinstance(judged, MultiLabel):
        from cleanlab.multilabel_classification.filter import find_label_issues

        given = [np.flatnonzero(row).tolist() for row in judged.actual]
        varied = (judged.actual.any(axis=0) & ~judged.actual.all(axis=0)).all()
        if len(judged.labels) < 2 or not varied or not all(given):
            return []
        found = find_label_issues(given, judged.probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    else:
        from cleanlab.filter import find_label_issues

        there = np.unique(judged.actual)
        if len(there) < 2:
            return []
        places = np.searchsorted(there, judged.actual)
        shares = judged.probabilities[:, there] + 1e-12
        scores = shares / shares.sum(axis=1, keepdims=True)
        found = find_label_issues(places, scores, return_indices_ranked_by="self_confidence", n_jobs=1)
    return _listed(judged, split, [int(place) for place in found[:count]], texts=texts)


def _listed(judged: Labelled, split: Split, places: Sequence[int], *, texts: bool) -> list[Row]:
    ids = split.ids()
    return [
        Row(
            id=ids[place],
            label=split.labels[place],
            answer=_answer(judged, place),
            score=_score(judged, place),
            text=_short(split, place) if texts else "",
        )
        for place in places
    ]


def _answer(judged: Labelled, place: int) -> Any:
    if isinstance(judged, Classification):
        return judged.labels[int(judged.predicted[place])]
    if isinstance(judged, MultiLabel):
        return [name for name, given in zip(judged.labels, judged.predicted[place], strict=True) if given]
    return float(judged.predicted[place])


def _score(judged: Labelled, place: int) -> float:
    if isinstance(judged, Classification | MultiLabel):
        return float(np.exp(-judged.losses[place]))
    return float(np.sqrt(judged.losses[place]))


def _short(split: Split, place: int) -> str:
    whole = split.texts[place] if split.pairs is None else f"{split.texts[place]} ⟂ {split.pairs[place]}"
    return whole if len(whole) <= _CHARACTERS else f"{whole[: _CHARACTERS - 1]}…"
