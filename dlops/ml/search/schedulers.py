"""Which trials are ended early: rules over the scores of all trials so far, that keep no state of their own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune


class Scheduler:
    """Lets every trial go on to its end."""

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        """Say whether a trial is worth another epoch; `others` are all that began, whatever became of them."""
        del trial, others
        return True


@dataclass(frozen=True)
class Asha(Scheduler):
    """Asynchronous successive halving (Li et al., 2020): at each halt, only the best 1/`reduction` go on.

    A trial that comes first to a halt, or is the best so far there, goes on: there is nobody to wait for.
    """

    grace: int
    """Epochs before the first halt."""
    reduction: int

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        epochs = len(trial.scores)
        if not _is_halt(epochs, self.grace, self.reduction):
            return True
        rivals = [other.up_to(epochs) for other in others if len(other.scores) >= epochs and other is not trial]
        better = sum(score >= trial.up_to(epochs) for score in rivals)
        return better < max(1, (len(rivals) + 1) // self.reduction)


@dataclass(frozen=True)
class Hyperband(Scheduler):
    """Asynchronous Hyperband (Li et al., 2018): successive halving in several brackets, each of a longer grace.

    Trials go to the brackets in turn, so that one which begins slowly has its chance in some.
    """

    grace: int
    reduction: int
    epochs: int
    """That a trial has at most."""

    @property
    def brackets(self) -> int:
        return 1 + int(math.log(max(1.0, self.epochs / self.grace), self.reduction) + 1e-9)

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        bracket = trial.number % self.brackets
        inside = [other for other in others if other.number % self.brackets == bracket]
        return Asha(self.grace * self.reduction**bracket, self.reduction).goes_on(trial, inside)


@dataclass(frozen=True)
class Median(Scheduler):
    """A trial ends whose best score is below the median of what the others had on average (Golovin et al., 2017)."""

    grace: int
    fewest: int = 3
    """Other trials that must have come as far."""

    def goes_on(self, trial: Trial, others: Sequence[Trial]) -> bool:
        epochs = len(trial.scores)
        rivals = [
            sum(other.scores[:epochs]) / epochs
            for other in others
            if len(other.scores) >= epochs and other is not trial
        ]
        return epochs < self.grace or len(rivals) < self.fewest or trial.score >= median(rivals)


def of(settings: Tune, epochs: int) -> Scheduler:
    """Give what the settings ask for; a trial has so many `epochs` at most."""
    match settings.scheduler:
        case "asha":
            return Asha(settings.grace_epochs, settings.reduction)
        case "hyperband":
            return Hyperband(settings.grace_epochs, settings.reduction, epochs)
        case "median":
            return Median(settings.grace_epochs)
        case _:
            return Scheduler()


def _is_halt(epochs: int, grace: int, reduction: int) -> bool:
    halt = grace
    while halt < epochs:
        halt *= reduction
    return halt == epochs
