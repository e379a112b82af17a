"""Pictures of a search: how the best score grew, which parameters decide, and what the good trials have in common."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from dlops.ml.search.trials import Trial, best

_BLUE, _ORANGE, _GREY, _RED = "#2563a8", "#d9822b", "#9aa5b1", "#b03a3a"
_KINDS = {"finished": ("finished", _BLUE, "o"), "pruned": ("ended early", _GREY, "v")}


def history(trials: Sequence[Trial], title: str) -> Figure:
    """Draw each trial's score, in the order in which they began, and the best so far."""
    figure = Figure(figsize=(6.4, 3.8), layout="constrained")
    axes = figure.subplots()
    for status, (label, colour, marker) in _KINDS.items():
        some = [trial for trial in trials if trial.status == status and trial.scores]
        if some:
            places, scores = [trial.number for trial in some], [trial.score for trial in some]
            axes.scatter(places, scores, s=22, color=colour, marker=marker, label=label, zorder=3)
    lost = [trial.number for trial in trials if trial.status in ("failed", "out_of_memory")]
    if lost:
        axes.plot(lost, [0.02] * len(lost), "x", color=_RED, label="failed", transform=axes.get_xaxis_transform())
    finished = [trial for trial in trials if trial.counts]
    leading = [max(trial.score for trial in finished[: place + 1]) for place in range(len(finished))]
    axes.step([trial.number for trial in finished], leading, where="post", color=_ORANGE, label="best so far")
    axes.set(xlabel="trial", ylabel="val score", title=title)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    axes.legend(frameon=False, fontsize=8)
    return figure


def importance(shares: Mapping[str, float], title: str) -> Figure:
    """Draw how much each parameter decides of the score."""
    names = sorted(shares, key=lambda name: shares[name])
    figure = Figure(figsize=(6.4, 1.2 + 0.36 * len(names)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh(names, [shares[name] for name in names], color=_BLUE)
    axes.bar_label(bars, [f"{shares[name]:.0%}" for name in names], padding=3, fontsize=8)
    axes.set(xlabel="share of the score's variance", xlim=(0, 1.1), title=title)
    _plain(axes)
    return figure


def parallel(trials: Sequence[Trial], title: str) -> Figure:
    """Draw each trial with a score as a line through its values, the higher the darker, the best one in orange."""
    some = sorted((trial for trial in trials if trial.scores), key=lambda trial: trial.score)
    names = list(dict.fromkeys(name for trial in some for name in trial.values))
    scales = {name: _Scale([trial.values[name] for trial in some if name in trial.values]) for name in names}
    figure = Figure(figsize=(max(6.4, 1.5 * (len(names) + 1)), 4.2), layout="constrained")
    axes = figure.subplots()
    low, high = some[0].score, some[-1].score
    leading = next(iter(best(trials)), None)
    for trial in some:
        height = (trial.score - low) / (high - low) if high > low else 1.0
        places = [scales[name].place(trial.values[name]) if name in trial.values else math.nan for name in names]
        colour, width = (_ORANGE, 2.2) if trial is leading else (_BLUE, 0.9)
        axes.plot([*places, height], color=colour, alpha=0.15 + 0.85 * height, linewidth=width, marker=".")
    for place, name in enumerate(names):
        for height, text in scales[name].ticks:
            axes.annotate(text, (place, height), fontsize=7, xytext=(3, 2), textcoords="offset points")
    for height, score in ((0.0, low), (1.0, high)):
        axes.annotate(f"{score:.3f}", (len(names), height), fontsize=7, xytext=(3, 2), textcoords="offset points")
    axes.set_xticks(range(len(names) + 1), [*names, "val score"], fontsize=8, rotation=15)
    axes.set_yticks([])
    axes.set(xlim=(-0.1, len(names) + 0.4), title=title)
    axes.grid(axis="x", alpha=0.4)
    _plain(axes)
    axes.spines["left"].set_visible(False)
    return figure


class _Scale:
    """Puts the values of one parameter between 0 and 1: numbers by size, or by logarithm if they lie far apart."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._numbers = {text: number for text in texts if (number := _number(text)) is not None}
        if len(self._numbers) < len(set(texts)):
            self._numbers = {text: float(place) for place, text in enumerate(sorted(set(texts)))}
            shown = list(self._numbers)
        else:
            ordered = sorted(self._numbers, key=self._numbers.__getitem__)
            shown = list(dict.fromkeys([ordered[0], ordered[-1]]))
        values = self._numbers.values()
        self._log = min(values) > 0 and max(values) > 30 * min(values)
        self._low, self._high = (self._measure(find(values)) for find in (min, max))
        self.ticks = [(self.place(text), text) for text in shown]
        """Heights that are named, and their names."""

    def place(self, text: str) -> float:
        if self._high == self._low:
            return 0.5
        return (self._measure(self._numbers[text]) - self._low) / (self._high - self._low)

    def _measure(self, number: float) -> float:
        return math.log(number) if self._log else number


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _plain(axes: object) -> None:
    axes.spines[["top", "right"]].set_visible(False)  # type: ignore[attr-defined]
