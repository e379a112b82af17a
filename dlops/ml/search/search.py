"""One search: what is tried next, what is ended early, what is recorded, when it is over; engines only run trials."""

from __future__ import annotations

import math
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol

from dlops.errors import DlopsError
from dlops.ml import memory
from dlops.ml.progress import say
from dlops.ml.search import outgrown
from dlops.ml.search.children import Children
from dlops.ml.search.schedulers import Scheduler
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.trials import Status, Trial, best


class Report(Protocol):
    """Takes an epoch's score."""

    def __call__(self, score: float, *, last: bool = False) -> bool:
        """Say whether the trial goes on; after its `last` epoch it does not, and has still not been ended early."""


class Objective(Protocol):
    """Trains a trial."""

    def __call__(self, trial: Trial, report: Report, keeps: Callable[[float], bool]) -> None:
        """Train, and report each epoch's score; keep the weights if `keeps` says so of the trial's."""


class Suggestions(Protocol):
    """Says what is tried."""

    def ask(
        self, tried: Sequence[Mapping[str, str]], refused: Callable[[Mapping[str, str]], bool]
    ) -> dict[str, str] | None:
        """Give the values of the next trial; `None` if there is nothing left that is not `refused`."""

    def tell(self, trial: Trial) -> None:
        """Hear how a trial ended."""


class Search:
    """A search from its first trial, or from those that were made before it was interrupted, to its last."""

    def __init__(
        self,
        study: Suggestions,
        scheduler: Scheduler,
        stopping: Stopping,
        children: Children,
        *,
        before: list[Trial] | None = None,
        kept: int = 1,
        refuses: Callable[[Mapping[str, str]], bool] | None = None,
        show: Callable[[Search], None] | None = None,
    ) -> None:
        """Take its parts; `kept` is how many of the best trials keep their weights, `refuses` what is not tried."""
        self._study, self._scheduler, self._stopping, self._children = study, scheduler, stopping, children
        self._kept, self._display = kept, show
        self._refuses = refuses
        self._above: dict[int, float] = {}
        """Scores from which the weights of trials were kept, by number; of those that still are."""
        self.trials: list[Trial] = list(before or [])
        """All that began, in order."""
        self.reason = ""
        """Why no further trial begins."""
        self._began: dict[int, float] = {}
        for trial in self.trials:
            if trial.is_over:
                self._study.tell(trial)

    def next(self) -> Trial | None:
        """Begin the next trial; `None` when the search is over, or `waits`."""
        for place, trial in enumerate(self.trials):
            if trial.status == "interrupted":
                self.trials[place] = trial.again()
                return self._begun(self.trials[place])
        self.reason = self._stopping.reason(self.trials)
        another = None if self.reason else self._another()
        if another is None:
            self.reason = self.reason or ("" if self.waits else "there is nothing else to try")
            return None
        self.trials.append(another)
        return self._begun(another)

    @property
    def waits(self) -> bool:
        """Whether there is nothing to try until some trial is over, and something then."""
        return False

    def report(self, trial: Trial, score: float, *, last: bool = False, epoch: int = 0) -> bool:
        """Take an epoch's score, the next one's unless told otherwise; say whether the trial goes on."""
        if epoch:  # one whose process was lost goes on from an earlier epoch
            del trial.scores[epoch - 1 :]
        trial.note(score)
        self._show_all()
        if last or self._scheduler.goes_on(trial, self.trials):
            return True
        trial.status = "pruned"
        return False

    def keeps(self, score: float) -> bool:
        """Say whether a trial that ended with this score is among the best so far."""
        return score >= self.least_kept()

    def least_kept(self) -> float:
        """Give the score from which a trial is among the best so far."""
        if not self._kept:
            return math.inf
        leading = best(self.trials, self._kept)
        return leading[-1].score if len(leading) == self._kept else -math.inf

    def end(self, trial: Trial, status: Status | None = None, error: str = "") -> None:
        """Record how a trial ended."""
        with _undisturbed():
            if status or trial.status == "running":
                trial.status = status or "finished"
            trial.error = error
            trial.seconds = time.monotonic() - self._began[trial.number]
            self._children.end(trial)
            if trial.is_over:
                self._study.tell(trial)
                self._tell(trial)
            self._forget_outdone()
            self._show_all()

    def tried(self, trial: Trial, work: Callable[[], None]) -> None:
        """Do a trial's work, and record its end, whatever that is."""
        try:
            work()
        except Exception as error:
            self.end(trial, *ending(error))
        except BaseException:
            self.end(trial, "interrupted")
            raise
        else:
            self.end(trial)

    def _forget_outdone(self) -> None:
        """Remove what trials kept that are no longer among the best."""
        leading = {trial.number for trial in best(self.trials, self._kept)}
        for trial in self.trials:
            above = self._above.get(trial.number, math.inf)
            if trial.status == "finished" and trial.number not in leading and trial.score >= above:
                del self._above[trial.number]
                self._children.forget(trial)

    @property
    def failed(self) -> bool:
        """Whether more trials have failed than may."""
        return self._stopping.has_failed(self.trials)

    @property
    def best(self) -> Trial | None:
        """The trial of the highest score so far."""
        leading = best(self.trials)
        return leading[0] if leading else None

    @property
    def _number(self) -> int:
        """Of the next trial."""
        return 1 + max((trial.number for trial in self.trials), default=-1)

    def _another(self) -> Trial | None:
        """Make a trial; `None` if there is nothing to try."""
        values = self._values(self.trials)
        return None if values is None else Trial(self._number, values)

    def _values(self, before: Sequence[Trial]) -> dict[str, str] | None:
        """Give values that none of the trials `before` had; `None` if there is nothing left."""
        fitted = [trial.values for trial in self.trials if trial.status in ("finished", "pruned")]
        too_large = [
            trial.values
            for trial in self.trials
            if trial.status == "out_of_memory" and not any(outgrown.reaches(values, trial.values) for values in fitted)
        ]
        return self._study.ask(
            [trial.values for trial in before],
            lambda values: (
                bool(self._refuses and self._refuses(values))
                or any(outgrown.reaches(values, large) for large in too_large)
            ),
        )

    def _begun(self, trial: Trial) -> Trial:
        self._began[trial.number] = time.monotonic()
        self._above[trial.number] = self.least_kept()
        with _undisturbed():
            self._children.begin(trial)
        self._show_all()
        return trial

    def _show_all(self) -> None:
        if self._display:
            self._display(self)

    def _tell(self, trial: Trial) -> None:
        chosen = ", ".join(f"{name}={text}" for name, text in trial.values.items())
        score = f"{trial.score:.4f}" if trial.scores else "no score"
        epochs = f"{len(trial.scores)} epoch{'s' if len(trial.scores) != 1 else ''}"
        leading = self.best
        told = f"; best {leading.score:.4f} (trial {leading.number})" if leading else ""
        why = f": {trial.error.splitlines()[0]}" if trial.error else ""
        status = trial.status.replace("_", " ")
        name = self._children.kind.capitalize()
        say(f"{name} {trial.number} {status}, {score} after {epochs}, {trial.seconds:.1f} s ({chosen}){told}{why}")


def ending(error: BaseException) -> tuple[Status, str]:
    """Tell how a trial ended by what was raised: memory that was too small is another thing than a failure."""
    if memory.is_exhausted(error) or (error.__cause__ is not None and memory.is_exhausted(error.__cause__)):
        return "out_of_memory", str(error) or type(error).__name__
    if isinstance(error, DlopsError):
        return "failed", str(error)
    return "failed", f"{type(error).__name__}: {error}\n" + "".join(traceback.format_exception(error))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Let a signal that ends the step wait for what is recorded as a whole."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    came: list[int] = []
    for number in before:
        signal.signal(number, lambda number, _: came.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if came:
        signal.raise_signal(came[0])
