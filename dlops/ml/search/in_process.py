"""Trials one after the other in this process: what they all need is in memory once, and nothing is imported twice."""

from __future__ import annotations

from functools import partial

from dlops.ml.search.search import Objective, Search
from dlops.ml.search.trials import Trial


def run(search: Search, objective: Objective) -> None:
    """Run trials until the search is over."""
    while trial := search.next():
        search.tried(trial, partial(_train, search, objective, trial))


def _train(search: Search, objective: Objective, trial: Trial) -> None:
    objective(trial, partial(search.report, trial), search.keeps)
