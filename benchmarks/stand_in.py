"""A search whose trials do next to nothing: what the search itself costs, its records with it.

`python -m benchmarks.stand_in process|ray TRIALS` prints the seconds of the search and the memory that it grew by.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable

import mlflow

from dlops.ml.search import asked, in_process, on_ray, schedulers
from dlops.ml.search.children import Children
from dlops.ml.search.search import Report, Search
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.study import Study
from dlops.ml.search.trials import Trial
from dlops.ml.settings import Tune

EPOCHS = 3


class Nothing:
    """Reports as many numbers as a training of three epochs does."""

    def __call__(self, trial: Trial, report: Report, keeps: Callable[[float], bool]) -> None:
        """Report them."""
        del keeps
        for epoch in range(1, EPOCHS + 1):
            report(float(trial.values["head_learning_rate"]) + epoch, last=epoch == EPOCHS)


def main() -> None:
    """Search, and print the seconds as JSON."""
    engine, trials = sys.argv[1], int(sys.argv[2])
    settings = Tune(strategy="freeze", scheduler="none", trials=trials, trial_cpus=1)
    space, points = asked.read(settings)
    fixed = asked.fixed(settings)
    with mlflow.start_run() as run:
        study = Study(space, asked.KNOWN, fixed, points, search=settings.search, seed=settings.seed)
        children = Children(run.info.run_id, fixed)
        search = Search(study, schedulers.of(settings, EPOCHS), Stopping(settings), children)
        before, began = _megabytes(), time.monotonic()
        if engine == "ray":
            seconds = _on_ray(search, settings)
        else:
            in_process.run(search, Nothing())
            seconds = time.monotonic() - began
    assert [trial.status for trial in search.trials] == ["finished"] * trials
    sys.stdout.write(json.dumps({"seconds": seconds, "grown_mb": _megabytes() - before}) + "\n")


def _on_ray(search: Search, settings: Tune) -> float:
    """Search on Ray; give the seconds without those of its start and end."""
    times: list[float] = []
    next_of = search.next

    def timed() -> Trial | None:
        times.append(time.monotonic())
        return next_of()

    search.next = timed  # type: ignore[method-assign]
    on_ray.run(search, settings, Nothing)
    return times[-1] - times[0]


def _megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
