"""Pictures of explanations: shap's own of single texts, and the strongest words of many."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

from dlops.ml.explained_set import Contrast, Word
from dlops.ml.explanations import Explanation

_FOR, _AGAINST = "#c2185b", "#1e6fb8"
_BARS = 15

# Nothing is asked for, whatever a text holds; shap's pages have scripts of their own, which open what they show.
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<title>Explanation</title>
</head>
<body>
{body}
</body>
</html>
"""


def as_shap(one: Explanation) -> Any:
    """Give an explanation as `shap.Explanation`, which all of shap's plots take."""
    import shap

    return shap.Explanation(values=one.values, base_values=one.base, data=one.tokens, feature_names=one.tokens)


def text_plot(one: Explanation) -> str:
    """Give shap's own plot of a text as a page; the same explanation gives the same page."""
    import shap

    state = random.getstate()
    random.seed(one.id)  # shap names the parts of the page by chance
    try:
        return _PAGE.replace("{body}", shap.plots.text(as_shap(one), display=False))
    finally:
        random.setstate(state)


def bars(one: Explanation) -> Figure:
    """Draw shap's own bars of the words of a text that matter most."""
    import numpy as np
    import shap
    from matplotlib import pyplot as plt

    words = one.words()
    names = [f"{word[:24]} · {place}".replace("$", r"\$") for place, (word, _) in enumerate(words)]
    explanation = shap.Explanation(
        values=np.array([value for _, value in words]), base_values=one.base, feature_names=names
    )
    with plt.rc_context():
        plt.switch_backend("agg")
        plt.figure()
        shap.plots.bar(explanation, max_display=_BARS, show=False)
        figure: Figure = plt.gcf()
        figure.axes[0].set_xlabel(f"adds to {one.target[:40]}")
        figure.tight_layout()
        plt.close(figure)
    return figure


def strongest(words: Mapping[str, Sequence[Word]], title: str) -> Figure:
    """Draw the strongest words of each label, with what they add on average and how often they occur."""
    shown = [(label, found) for label, found in words.items() if found][:6]
    longest = max((len(found) for _, found in shown), default=1)
    figure = Figure(figsize=(5.2 * max(1, len(shown)), 1.3 + 0.3 * longest), layout="constrained")
    for axes, (label, found) in zip(
        figure.subplots(1, max(1, len(shown)), squeeze=False)[0], shown or [("", [])], strict=True
    ):
        axes.barh(range(len(found)), [one.mean for one in found], color=_FOR)
        axes.set_yticks(range(len(found)), [f"{one.word[:24]} ({one.count})" for one in found], fontsize=8)
        axes.invert_yaxis()
        axes.set_xlabel(f"adds to {label[:40]}, on average")
        axes.set_title(label[:40], fontsize=10)
    figure.suptitle(title, fontsize=10)
    return figure


def contrast(found: Contrast, title: str) -> Figure:
    """Draw the words that add more, and those that add less, than with the other model."""
    words = [*found.gained, *reversed(found.lost)]
    figure = Figure(figsize=(6.4, 1.4 + 0.26 * max(1, len(words))), layout="constrained")
    axes = figure.subplots()
    axes.barh(
        range(len(words)), [value for _, value in words], color=[_FOR if value > 0 else _AGAINST for _, value in words]
    )
    axes.set_yticks(range(len(words)), [word[:24] for word, _ in words], fontsize=8)
    axes.axvline(0, color="#888", linewidth=0.8)
    axes.invert_yaxis()
    axes.set_xlabel("adds more than with the other model, on average")
    axes.set_title(title, fontsize=10)
    return figure
