"""An explained text for a terminal: words that speak for the answer in red, those that speak against it in blue."""

from __future__ import annotations

import os
import sys

from dlops.config.terminal import visible
from dlops.ml.explanations import Explanation

_FOR, _AGAINST = "41", "44"
"""Backgrounds of ANSI terminals."""
_STRONG = 0.2
"""Of the strongest word's value: as strong a word is coloured."""
_WORDS = 60
"""Words of a text that are printed."""


def lines(one: Explanation, *, colour: bool | None = None) -> list[str]:
    """Give the answer, and the text with the words that matter marked; without colours by signs."""
    colour = _has_colours() if colour is None else colour
    words = one.words()
    most = max((abs(value) for _, value in words), default=0.0)
    shown = [
        _marked(visible(word), value, colour=colour) if most and abs(value) >= _STRONG * most else visible(word)
        for word, value in words[:_WORDS]
    ]
    said = "" if one.label is None else f", the data says {one.label}"
    return [
        f"{visible(one.target)} {one.output:.3f}{visible(said)}",
        "  " + " ".join(shown) + (" …" if words[_WORDS:] else ""),
    ]


def _marked(word: str, value: float, *, colour: bool) -> str:
    if colour:
        return f"\x1b[{_FOR if value > 0 else _AGAINST}m{word}\x1b[0m"
    return f"{word}({value:+.3f})"


def _has_colours() -> bool:
    """Say whether colours are wanted: https://no-color.org, and what launchers set."""
    if os.environ.get("NO_COLOR"):
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()
