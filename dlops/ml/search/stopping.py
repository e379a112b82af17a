"""When a search ends: enough trials, enough time, a score that was asked for, no more progress, too many failures."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from dlops.ml.search.trials import Trial, best
from dlops.ml.settings import Tune


@dataclass
class Stopping:
    """The rules of one search."""

    settings: Tune
    seconds_before: float = 0.0
    """That the search took before it was interrupted."""
    failed_before: int = 0
    """Trials that had failed then: what was wrong may be mended."""
    _began: float = field(default_factory=lambda: time.monotonic())

    @property
    def seconds(self) -> float:
        """That the search has taken so far, all parts of it."""
        return self.seconds_before + time.monotonic() - self._began

    def reason(self, trials: Sequence[Trial]) -> str:
        """Say why no further trial begins; nothing if one may."""
        chosen = self.settings
        over = [trial for trial in trials if trial.is_over]
        leading = best(over)
        if self.has_failed(trials):
            return f"more than {chosen.failures} trials have failed"
        if len(trials) >= chosen.trials:
            return f"{chosen.trials} trials have begun"
        if chosen.time_limit and self.seconds >= chosen.time_limit:
            return f"{chosen.time_limit:g} s are over"
        if chosen.stop_at is not None and leading and leading[0].score >= chosen.stop_at:
            return f"the score {chosen.stop_at:g} is reached"
        if chosen.plateau and _since_best(over) >= chosen.plateau:
            return f"{chosen.plateau} trials in a row were no better"
        return ""

    def has_failed(self, trials: Sequence[Trial]) -> bool:
        """Say whether more trials have failed than may."""
        return sum(trial.status == "failed" for trial in trials) - self.failed_before > self.settings.failures


def _since_best(over: Sequence[Trial]) -> int:
    """Count the trials that ended after the best one; none before there is one."""
    leading = best(over)
    return sum(trial.number > leading[0].number for trial in over) if leading else 0
