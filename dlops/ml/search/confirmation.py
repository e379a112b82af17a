"""The best trials, trained with other seeds too, before one is named the winner: a single score may be luck."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import mean

from dlops.ml.search.schedulers import Scheduler
from dlops.ml.search.search import Search
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune

BEST = 3
"""Trials that are judged by several seeds."""


@dataclass(frozen=True)
class Listed:
    """Tries what is in a list, one after the other."""

    values: Sequence[Mapping[str, str]]

    def ask(
        self, tried: Sequence[Mapping[str, str]], refused: Callable[[Mapping[str, str]], bool]
    ) -> dict[str, str] | None:
        """Give what comes next."""
        del refused
        return next((dict(values) for values in self.values if values not in tried), None)

    def tell(self, trial: Trial) -> None:
        """Learn nothing."""


def listed(settings: Tune, candidates: Sequence[Trial]) -> Listed:
    """List the candidates with each seed but the one that they were trained with."""
    seeds = range(settings.seed + 1, settings.seed + settings.confirm_seeds)
    return Listed([{**trial.values, "seed": str(seed)} for trial in candidates for seed in seeds])


def rules(settings: Tune) -> tuple[Scheduler, Stopping]:
    """Give a scheduler and a rule that end nothing early."""
    whole = replace(settings, trials=10**5, time_limit=0.0, stop_at=None, plateau=0)
    return Scheduler(), Stopping(whole)


def means(settings: Tune, candidates: Sequence[Trial], search: Search) -> dict[int, float]:
    """Give the mean score of each candidate over all its seeds, by number; where one failed, minus infinity."""
    found = {}
    for trial in candidates:
        scores = [
            other.score
            for other in search.trials
            if other.counts and {**other.values, "seed": ""} == {**trial.values, "seed": ""}
        ]
        whole = len(scores) >= settings.confirm_seeds - 1
        found[trial.number] = mean([trial.score, *scores]) if whole else -math.inf
    return found
