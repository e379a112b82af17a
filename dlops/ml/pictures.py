"""Pictures of a training: curves, confusion matrix, and the model beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from dlops.ml.callbacks import Epoch
from dlops.ml.evaluation import Classification, Evaluation, Regression

mpl.rcParams["text.parse_math"] = False  # a label may have a $ in it

_BLUE, _ORANGE, _GREEN, _GREY = "#2563a8", "#d9822b", "#3a8f5c", "#9aa5b1"
_COLOURS = (_BLUE, _ORANGE, _GREEN)
_CURVES = {
    "val_accuracy": "accuracy",
    "val_macro_f1": "macro F1",
    "val_micro_f1": "micro F1",
    "val_r2": "R²",
    "val_pearson": "Pearson's r",
}
_MANY_LABELS = 12


def curves(epochs: Sequence[Epoch], best: int, title: str) -> Figure:
    """Draw loss, and the figures of the val rows that lie between 0 and 1, against the epoch."""
    there = [name for name in _CURVES if any(name in epoch.metrics for epoch in epochs)]
    panels = 2 if there else 1
    figure = Figure(figsize=(4.5 * panels, 3.6), layout="constrained")
    (left, *right) = figure.subplots(1, panels, squeeze=False)[0]
    _lines(left, epochs, {"train_loss": ("training", _GREY), "val_loss": ("validation", _BLUE)})
    left.set(ylabel="loss", ylim=(0, None))
    for axes in right:
        _lines(axes, epochs, {name: (_CURVES[name], colour) for name, colour in zip(there, _COLOURS, strict=False)})
        axes.set(ylabel="validation score", ylim=(None, 1.0))
    for axes in (left, *right):
        axes.axvline(best, color=_GREY, linestyle=":", linewidth=1.2, label="kept")
        axes.set_xlabel("epoch")
        axes.set_xticks([epoch.number for epoch in epochs][:: max(1, len(epochs) // 10)])
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def predictions(evaluation: Evaluation, title: str) -> Figure:
    """Draw predictions against the truth: the confusion matrix, F1 of each class, or a cloud of numbers."""
    if isinstance(evaluation, Classification):
        return confusion(evaluation, title)
    if isinstance(evaluation, Regression):
        return cloud(evaluation, title)
    return bars({label: scores.f1 for label, scores in evaluation.classes.items()}, "F1", title)


def cloud(evaluation: Regression, title: str) -> Figure:
    """Draw predicted numbers against true ones."""
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.subplots()
    axes.scatter(evaluation.actual, evaluation.predicted, s=9, alpha=0.4, color=_BLUE, edgecolors="none")
    ends = [float(find(evaluation.actual)) for find in (min, max)]
    axes.plot(ends, ends, color=_GREY, linewidth=1.2)
    axes.set(xlabel="true", ylabel="predicted")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def bars(values: Mapping[str, float], label: str, title: str) -> Figure:
    """Draw a figure of each class."""
    figure = Figure(figsize=(6.4, 1.6 + 0.3 * len(values)), layout="constrained")
    axes = figure.subplots()
    axes.barh([name if len(name) <= 24 else f"{name[:23]}…" for name in values], list(values.values()), color=_BLUE)
    axes.set(xlabel=label, xlim=(0, 1))
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def confusion(evaluation: Classification, title: str) -> Figure:
    """Draw the confusion matrix: shares of each true class as colour, rows as numbers."""
    count = len(evaluation.labels)
    size = min(12.0, 3.2 + 0.55 * count)
    figure = Figure(figsize=(size + 0.8, size), layout="constrained")
    axes = figure.subplots()
    totals = evaluation.confusion.sum(axis=1, keepdims=True)
    shares = evaluation.confusion / totals.clip(min=1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    names = [label if len(label) <= 16 else f"{label[:15]}…" for label in evaluation.labels]
    axes.set_xticks(range(count), names, rotation=0 if count <= 4 else 60, ha="center" if count <= 4 else "right")
    axes.set_yticks(range(count), names)
    axes.set(xlabel="predicted", ylabel="true")
    if count <= _MANY_LABELS:
        for row in range(count):
            for column in range(count):
                text = f"{evaluation.confusion[row, column]}\n{100 * shares[row, column]:.0f} %"
                colour = "white" if shares[row, column] > 0.55 else "black"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    figure.colorbar(image, label="share of the true class", shrink=0.8)
    axes.set_title(title, fontsize=10)
    return figure


def baselines(values: Mapping[str, float], interval: tuple[float, float], label: str, title: str) -> Figure:
    """Draw a figure of the test rows as bars, the last one the model's, with its 95 % interval."""
    figure = Figure(figsize=(6.4, 1.6 + 0.5 * len(values)), layout="constrained")
    axes = figure.subplots()
    names, lengths = list(values), [max(0.0, value) for value in values.values()]
    axes.barh(names, lengths, color=[_GREY] * (len(names) - 1) + [_BLUE])
    axes.hlines(len(names) - 1, *(min(1.0, max(0.0, end)) for end in interval), color="black")
    for place, value in enumerate(values.values()):
        axes.text(0.02, place, f"{value:.3f}", va="center", color="white" if value > 0.15 else "black", fontsize=9)
    axes.set(xlabel=label, xlim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def _lines(axes: object, epochs: Sequence[Epoch], wanted: Mapping[str, tuple[str, str]]) -> None:
    for name, (label, colour) in wanted.items():
        points = [(epoch.number, epoch.metrics[name]) for epoch in epochs if name in epoch.metrics]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label)  # type: ignore[attr-defined]
