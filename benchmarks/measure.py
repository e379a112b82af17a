"""Two commands timed in turn, A B A B …, so that a machine whose speed drifts treats both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Claim:
    """What is said of our speed beside another's."""

    title: str
    goal: str
    limit: float
    """The most that ours may take, as a share of theirs; infinite where there is no goal."""


@dataclass(frozen=True)
class Contest(Claim):
    """Ours against theirs: what each command does is the same, in wall seconds of a whole process.

    `{folder}` in a command stands for the folder that it is run in.
    """

    ours: Sequence[str]
    theirs: Sequence[str]
    rounds: int = 0
    """Pairs that are enough; 0 for as many as are usual."""


@dataclass(frozen=True)
class Result:
    """What was measured, pair by pair, in seconds."""

    claim: Claim
    ours: list[float]
    theirs: list[float]

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios, ours by theirs."""
        return statistics.median(ours / theirs for ours, theirs in zip(self.ours, self.theirs, strict=True))

    @property
    def met(self) -> bool:
        return self.ratio <= self.claim.limit


def run(contest: Contest, *, rounds: int, folder: Path, environ: Mapping[str, str]) -> Result:
    """Time both commands `rounds` times in turn, after one uncounted run of each.

    Raises:
        CalledProcessError: a command failed; the time of a failure means nothing.
    """
    ours, theirs = [], []
    for number in range((contest.rounds or rounds) + 1):
        pair = [_seconds(command, folder, environ) for command in (contest.ours, contest.theirs)]
        if number:
            ours.append(pair[0])
            theirs.append(pair[1])
    return Result(contest, ours, theirs)


def _seconds(command: Sequence[str], folder: Path, environ: Mapping[str, str]) -> float:
    words = [word.replace("{folder}", str(folder)) for word in command]
    began = time.perf_counter()
    subprocess.run(words, cwd=folder, env={**os.environ, **environ}, check=True, capture_output=True)
    return time.perf_counter() - began
