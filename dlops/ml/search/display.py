"""What is seen of a search while it goes on: how many trials, the best so far, and a table of them."""

from __future__ import annotations

from dlops.ml.progress import Progress
from dlops.ml.search.search import Search
from dlops.ml.search.trials import Trial, best

_RUNNING, _BEST = 6, 5
"""Rows of the table at most: of trials that go on, and of the best."""
_LONGEST = 60


class Display:
    """Tells the progress of a search."""

    def __init__(self, total: int) -> None:
        """Take how many trials there are at most."""
        self._progress = Progress(total, "trials")

    def __call__(self, search: Search) -> None:
        """Tell how far it is."""
        over = sum(trial.is_over for trial in search.trials)
        leading = search.best
        text = f"best {leading.score:.4f}, trial {leading.number}" if leading else "no trial has finished"
        self._progress.update(over, text, table(search.trials))


def table(trials: list[Trial]) -> list[list[str]]:
    """Lay out the trials that go on and the best ones, below a heading."""
    running = [trial for trial in trials if trial.status == "running"][-_RUNNING:]
    rows = [_row(trial) for trial in [*best(trials, _BEST), *running]]
    return [["trial", "status", "epoch", "score", "parameters"], *rows]


def _row(trial: Trial) -> list[str]:
    values = ", ".join(f"{name}={text}" for name, text in trial.values.items())
    score = f"{trial.score:.4f}" if trial.scores else ""
    short = values if len(values) <= _LONGEST else f"{values[: _LONGEST - 2]} …"
    return [str(trial.number), trial.status, str(len(trial.scores)), score, short]
