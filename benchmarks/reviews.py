"""Large files of made-up reviews: as long as real ones, with their HTML, quotes and accents, and hardly one twice."""

from __future__ import annotations

import random
from itertools import accumulate
from pathlib import Path

_SENTENCES = 20_000
_LABELS = ("negative", "positive")
_BREAKS = ("", "", "", "", "", "", "", "", "<br /><br />")
_ACCENTS, _ENTITIES = 0.005, 0.004
"""Shares of sentences with a letter beyond ASCII, and with an entity of HTML."""


def write(path: Path, megabytes: float, seed: int = 0) -> int:
    """Write a CSV file with the columns `review` and `sentiment`; give its rows.

    What it costs to read them is as with those of IMDb: 1,300 characters in the mean, line breaks as HTML in six of
    ten, quotes in half, letters beyond ASCII in nine of a hundred, entities in six.
    """
    dice = random.Random(seed)
    sentences = [_sentence(dice) for _ in range(_SENTENCES)]
    left, rows = megabytes * 1e6, 0
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("review,sentiment\n")
        while left > 0:
            text = "".join(dice.choices(sentences, k=max(4, int(dice.gammavariate(3, 5.8)))))
            row = f'"{text.rstrip()}",{dice.choice(_LABELS)}\n'
            left -= file.write(row)
            rows += 1
    return rows


def _sentence(dice: random.Random) -> str:
    words = dice.choices(_VOCABULARY, cum_weights=_FREQUENCIES, k=dice.randint(5, 19))
    if dice.random() < 0.05:
        words[0] = f'""{words[0]}""'
    if dice.random() < _ACCENTS:
        words[-1] += "é"
    if dice.random() < _ENTITIES:
        words[1] = "&amp;"
    return f"{' '.join(words).capitalize()}. {dice.choice(_BREAKS)}"


def _vocabulary(count: int = 30_000) -> list[str]:
    """Make words of two to nine letters."""
    dice = random.Random(1)
    letters, vowels = "bcdfghklmnprstvw", "aeiou"
    made: dict[str, None] = {}
    while len(made) < count:
        syllables = 1 + int(len(made) > 60) + int(dice.random() < 0.5)
        word = "".join(
            dice.choice(letters) + dice.choice(vowels) + dice.choice(("", "", "n", "r", "s")) for _ in range(syllables)
        )
        made[word] = None
    return list(made)


_VOCABULARY = _vocabulary()
_FREQUENCIES = list(accumulate(1 / rank for rank in range(1, len(_VOCABULARY) + 1)))
