"""One trial of a search: what it tries, how it goes, how it ended."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

Status: TypeAlias = Literal["running", "finished", "pruned", "failed", "out_of_memory", "interrupted"]

_DIGITS = 6
"""Of a score after the point: what is kept of it is what was compared."""


@dataclass
class Trial:
    """What is known of a trial so far."""

    number: int
    """Counted from 0, in the order in which they began."""
    values: dict[str, str]
    """Of the searched parameters that count, as canonical texts; the others are what they are without a search."""
    run_id: str = ""
    status: Status = "running"
    scores: list[float] = field(default_factory=list)
    """On the val rows after each epoch, the higher the better."""
    seconds: float = 0.0
    error: str = ""
    resumed_from: str = ""
    """Run of this trial that was interrupted, whose last checkpoint it goes on from."""
    stretch: int = 0
    """Of a population's training, counted from 0."""
    after: int | None = None
    """Number of the trial whose place in the population it takes."""
    weights_from: str = ""
    """Run of the trial whose weights it begins with."""

    @property
    def parameters(self) -> dict[str, str]:
        """What `finetune` is given to do the same, beside what all trials have."""
        return {**self.values, "weights_from": self.weights_from} if self.weights_from else self.values

    @property
    def score(self) -> float:
        """Of the best epoch; minus infinity before the first."""
        return max(self.scores, default=-math.inf)

    @property
    def best_epoch(self) -> int:
        """Counted from 1; of several that are alike the first."""
        return self.scores.index(self.score) + 1 if self.scores else 0

    @property
    def is_over(self) -> bool:
        return self.status not in ("running", "interrupted")

    @property
    def counts(self) -> bool:
        """Whether it may win: it was trained to its end, and no scheduler thought little of it."""
        return self.status == "finished" and bool(self.scores)

    def again(self) -> Trial:
        """Give it as it is before it goes on from where it was interrupted."""
        return replace(self, run_id="", status="running", scores=[], seconds=0.0, error="", resumed_from=self.run_id)

    def note(self, score: float) -> None:
        """Take the next epoch's score."""
        self.scores.append(round(score, _DIGITS))

    def up_to(self, epochs: int) -> float:
        """Give the best score of the first epochs."""
        return max(self.scores[:epochs])


def best(trials: Sequence[Trial], count: int = 1) -> list[Trial]:
    """Give the trials of the highest scores, the first of those that are alike first."""
    return sorted((trial for trial in trials if trial.counts), key=lambda trial: (-trial.score, trial.number))[:count]
