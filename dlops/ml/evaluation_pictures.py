"""Pictures of an evaluation: calibration, precision against recall, the slices beside each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from dlops.ml.evaluation import Array, Classification, MultiLabel
from dlops.ml.slices import Slice

_BLUE, _GREY = "#2563a8", "#9aa5b1"
_BINS = 10
_CURVES = 8
"""Classes that have a curve: those with the most rows."""
_BARS = 40


def reliability(judged: Classification | MultiLabel, title: str) -> Figure:
    """Draw how often answers are right against how sure they are (Niculescu-Mizil & Caruana, 2005)."""
    confidence, right = judged.confidences
    bins = np.minimum((confidence * _BINS).astype(int), _BINS - 1)
    counts = np.bincount(bins, minlength=_BINS)
    there = counts > 0
    sure, correct = (
        np.bincount(bins, weights=values, minlength=_BINS)[there] / counts[there] for values in (confidence, right)
    )
    figure = Figure(figsize=(4.8, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    above.plot([0, 1], [0, 1], color=_GREY, linewidth=1.2, label="as sure as right")
    above.plot(sure, correct, marker="o", color=_BLUE, label="this model")
    above.set(ylabel="share of right answers", ylim=(0, 1), xlim=(0, 1))
    above.legend(frameon=False)
    below.bar((np.arange(_BINS) + 0.5) / _BINS, counts, width=0.9 / _BINS, color=_BLUE)
    below.set(xlabel="how sure the model is", ylabel="answers")
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=10)
    return figure


def precision_recall(judged: Classification | MultiLabel, title: str) -> Figure:
    """Draw precision against recall of each class, with its average precision."""
    from sklearn.metrics import average_precision_score, precision_recall_curve

    figure = Figure(figsize=(5.2, 4.6), layout="constrained")
    axes = figure.subplots()
    for name, there, scores in of_each_class(judged)[:_CURVES]:
        precision, recall, _ = precision_recall_curve(there, scores)
        label = name if len(name) <= 24 else f"{name[:23]}…"
        axes.step(recall, precision, where="post", label=f"{label} ({average_precision_score(there, scores):.3f})")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(frameon=False, title="average precision", fontsize=8, title_fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def of_each_class(judged: Classification | MultiLabel) -> list[tuple[str, Array, Array]]:
    """Give name, truth and scores of each class that some rows have and some have not, the most frequent first."""
    truth = judged.actual if isinstance(judged, MultiLabel) else judged.actual[:, None] == np.arange(len(judged.labels))
    found = [
        (name, truth[:, place], judged.probabilities[:, place])
        for place, name in enumerate(judged.labels)
        if 0 < truth[:, place].sum() < len(truth)
    ]
    return sorted(found, key=lambda one: -one[1].sum())


def slices(parts: Sequence[Slice], whole: float, title: str) -> Figure:
    """Draw the headline of each part with its 95 % interval, beside that of all rows; parts with few rows are grey."""
    shown = parts[:_BARS]
    figure = Figure(figsize=(6.8, 1.4 + 0.28 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for place, part in enumerate(shown):
        colour = _BLUE if part.counts else _GREY
        axes.hlines(place, *part.interval, color=colour)
        axes.plot(part.judged.value, place, "o", color=colour, markersize=5)
    names = [f"{part.name[:40]} ({part.judged.rows})" for part in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=8)
    axes.axvline(whole, color=_GREY, linestyle=":", linewidth=1.2)
    axes.invert_yaxis()
    axes.set_xlabel(shown[0].judged.headline.replace("_", " "))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure
