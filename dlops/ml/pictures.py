"""Pictures of a training: curves, confusion matrix, and the model beside its baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from dlops.ml.callbacks import Epoch
from dlops.ml.evaluation import Evaluation

_BLUE, _ORANGE, _GREY = "#2563a8", "#d9822b", "#9aa5b1"
_MANY_LABELS = 12


def curves(epochs: Sequence[Epoch], best: int, title: str) -> Figure:
    """Draw loss, and accuracy and macro F1 of the val rows, against the epoch."""
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    _lines(left, epochs, {"train_loss": ("training", _GREY), "val_loss": ("validation", _BLUE)})
    left.set(ylabel="loss (cross-entropy)", ylim=(0, None))
    _lines(right, epochs, {"val_accuracy": ("accuracy", _BLUE), "val_macro_f1": ("macro F1", _ORANGE)})
    right.set(ylabel="validation score", ylim=(None, 1.0))
    for axes in (left, right):
        axes.axvline(best, color=_GREY, linestyle=":", linewidth=1.2, label="kept")
        axes.set_xlabel("epoch")
        axes.set_xticks([epoch.number for epoch in epochs][:: max(1, len(epochs) // 10)])
        axes.grid(axis="y", alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    figure.suptitle(title, fontsize=10)
    return figure


def confusion(evaluation: Evaluation, title: str) -> Figure:
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


def baselines(accuracies: Mapping[str, float], standard_error: float, title: str) -> Figure:
    """Draw test accuracies as bars, the last one the model's, with its standard error."""
    figure = Figure(figsize=(6.4, 1.6 + 0.5 * len(accuracies)), layout="constrained")
    axes = figure.subplots()
    names, values = list(accuracies), list(accuracies.values())
    colours = [_GREY] * (len(values) - 1) + [_BLUE]
    axes.barh(names, values, color=colours)
    axes.errorbar(values[-1], len(values) - 1, xerr=standard_error, color="black", capsize=3)
    for place, value in enumerate(values):
        axes.text(max(0.02, value - 0.025), place, f"{value:.3f}", ha="right", va="center", color="white", fontsize=9)
    axes.set(xlabel="test accuracy", xlim=(0, 1))
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title, fontsize=10)
    return figure


def _lines(axes: object, epochs: Sequence[Epoch], wanted: Mapping[str, tuple[str, str]]) -> None:
    for name, (label, colour) in wanted.items():
        points = [(epoch.number, epoch.metrics[name]) for epoch in epochs if name in epoch.metrics]
        if points:
            axes.plot(*zip(*points, strict=True), marker="o", markersize=4, color=colour, label=label)  # type: ignore[attr-defined]
