"""Population-based training: members that go on from the weights of better ones, as the same trials after a break."""

from __future__ import annotations

import functools
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import mlflow
import pytest
import ray

from dlops.errors import StepFailed, UsageError
from dlops.ml import kept_weights
from dlops.ml.search import asked, in_process, on_ray, population
from dlops.ml.search.children import Children
from dlops.ml.search.population import Population
from dlops.ml.search.stopping import Stopping
from tests.ml.search.conftest import studied, tuned

FREE = {"head_learning_rate": {"loguniform": ["1e-4", "1e-1"]}, "batch_size": {"choice": ["8", "16", "32"]}}


@dataclass
class Climb:
    """Comes the higher the longer its rate is near 0.01; how high it is counts as weights, kept in a folder."""

    folder: str
    faults: dict = field(default_factory=dict)

    def __call__(self, trial, report, keeps):
        kept = Path(self.folder) / trial.weights_from
        height = float(kept.read_text()) if trial.weights_from else 0.0
        if fault := self.faults.get(trial.number):
            raise fault
        height += 0.1 - 0.03 * abs(math.log10(float(trial.values["head_learning_rate"])) + 2)
        assert keeps(height), "any trial may be gone on from"
        (Path(self.folder) / trial.run_id).write_text(str(height))
        report(height, last=True)


def population_of(settings, resume=""):
    searched, _ = asked.read(settings)
    children = Children(mlflow.active_run().info.run_id, asked.fixed(settings))
    before = children.resume(resume) if resume else []
    return Population(
        studied(settings),
        Stopping(settings),
        children,
        settings=settings,
        space=searched,
        known=asked.KNOWN,
        fixed=asked.fixed(settings),
        before=before,
    )


def pbt(**given):
    return tuned(FREE, **{"scheduler": "pbt", "epochs": 4, "trials": 32, **given})


def told(search):
    """Give what a search did, without the names of its runs."""
    numbers = {trial.run_id: trial.number for trial in search.trials}
    return [
        (trial.values, trial.scores, trial.stretch, trial.after, numbers.get(trial.weights_from))
        for trial in search.trials
    ]


def test_the_worst_quarter_goes_on_from_the_best(run, store, tmp_path):
    search = population_of(pbt())
    in_process.run(search, Climb(str(tmp_path)))
    assert len(search.trials) == 32
    by_run = {trial.run_id: trial for trial in search.trials}
    by_number = {trial.number: trial for trial in search.trials}
    for stretch in range(3):
        these = sorted((t for t in search.trials if t.stretch == stretch), key=lambda t: (-t.score, t.number))
        assert len(these) == 8
        next_ones = {t.after: t for t in search.trials if t.stretch == stretch + 1}
        assert sorted(next_ones) == sorted(t.number for t in these), "one in the place of each"
        for trial in these[:6]:
            assert next_ones[trial.number].weights_from == trial.run_id
            assert next_ones[trial.number].values == trial.values
        for trial in these[6:]:
            heir = next_ones[trial.number]
            assert by_run[heir.weights_from] in these[:2]
            assert heir.values != by_run[heir.weights_from].values, "changed a little"
            factor = float(heir.values["head_learning_rate"]) / float(
                by_run[heir.weights_from].values["head_learning_rate"]
            )
            assert factor == pytest.approx(0.8, rel=1e-3) or factor == pytest.approx(1.2, rel=1e-3)
    assert search.best.stretch == 3
    child = store.get_run(search.best.run_id)
    assert child.data.params["weights_from"] == search.best.weights_from
    assert child.data.params["epochs"] == "1"
    assert child.data.tags["dlops.trial.after"] == str(by_number[search.best.after].number)
    assert search.reason == "32 trials have begun"


def test_a_population_that_goes_on_is_the_one_that_was_not_interrupted(run, store, tmp_path):
    class Interrupted(Climb):
        def __call__(self, trial, report, keeps):
            if trial.number == 13:
                raise KeyboardInterrupt
            super().__call__(trial, report, keeps)

    def searched(objective, resume=""):
        with mlflow.start_run(nested=True) as nested:
            search = population_of(pbt(), resume)
            try:
                in_process.run(search, objective(str(tmp_path)))
            except KeyboardInterrupt:
                return nested.info.run_id
            return search

    whole = searched(Climb)
    resumed = searched(Climb, resume=searched(Interrupted))
    assert told(resumed) == told(whole)
    assert resumed.trials[13].resumed_from


def test_a_member_that_fails_goes_on_from_one_of_the_best(run, tmp_path):
    search = population_of(pbt())
    in_process.run(search, Climb(str(tmp_path), {2: StepFailed("The loss became nan.")}))
    assert search.trials[2].status == "failed"
    heir = next(trial for trial in search.trials if trial.after == 2)
    best = sorted((trial for trial in search.trials[:8] if trial.counts), key=lambda trial: -trial.score)
    assert heir.weights_from == best[0].run_id
    assert len(search.trials) == 32


def test_weights_stay_as_long_as_they_may_be_gone_on_from(run, store, tmp_path):
    class Keeping(Climb):
        def __call__(self, trial, report, keeps):
            super().__call__(trial, report, keeps)
            store.log_text(trial.run_id, "weights", kept_weights.FILE)

    search = population_of(pbt())
    in_process.run(search, Keeping(str(tmp_path)))
    kept = {trial.run_id for trial in search.trials if store.list_artifacts(trial.run_id)}
    last = {trial.run_id for trial in search.trials if trial.stretch == 3}
    assert kept == last | {search.best.weights_from}


@pytest.mark.slow
@pytest.mark.xdist_group("ray")
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")
def test_on_ray_a_stretch_waits_for_the_one_before(run, tmp_path, monkeypatch):
    from tests.ml.search import test_population

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.cloudpickle.register_pickle_by_value(test_population)
    try:
        settings = pbt(trials=16, trial_cpus=1, concurrency=4)
        search = population_of(settings)
        on_ray.run(search, settings, functools.partial(test_population.Climb, str(tmp_path)))
    finally:
        ray.cloudpickle.unregister_pickle_by_value(test_population)
        os.environ.pop("RAY_ADDRESS", None)
    assert [trial.status for trial in search.trials] == ["finished"] * 16
    assert [trial.stretch for trial in search.trials].count(3) == 4
    assert all(trial.weights_from for trial in search.trials if trial.stretch)
    assert search.reason == "16 trials have begun"


def test_what_does_not_go_together_is_told_at_once():
    axes = {"epochs": {"choice": ["2", "4"]}, "strategy": {"choice": ["freeze", "freeze_unfreeze"]}}
    with pytest.raises(UsageError) as caught:
        asked.read(tuned(axes, scheduler="pbt", epochs=5, grace_epochs=2, refit=True))
    problems = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 4, problems
    for words in ("epochs=5 cannot be cut", "epochs is not searched", "stages of their own", "confirm_seeds and refit"):
        assert words in problems
    for words, given in {
        "trials=16 at least": {"trials": 15},
        "two stretches": {"epochs": 1},
        "search=grid": {"search": "grid", "space": json.dumps({"batch_size": {"grid": ["8", "16"]}})},
    }.items():
        with pytest.raises(UsageError) as caught:
            asked.read(pbt(**given))
        assert words in "\n".join(caught.value.problems)


def test_a_change_stays_within_what_counts(run, tmp_path):
    axes = {
        "schedule": {"choice": ["linear", "cosine"]},
        "warm_up": {"uniform": ["0", "0.3"], "when": {"schedule": "linear"}},
        "clip": {"uniform": ["0.5", "2"], "when": {"schedule": "cosine"}},
        "head_learning_rate": {"loguniform": ["1e-4", "1e-1"]},
    }
    search = population_of(pbt(space=json.dumps(axes)))
    in_process.run(search, Climb(str(tmp_path)))
    for trial in search.trials:
        extra = "warm_up" if trial.values["schedule"] == "linear" else "clip"
        assert set(trial.values) == {"schedule", "head_learning_rate", extra}
    assert {trial.values["schedule"] for trial in search.trials if trial.stretch} == {"linear", "cosine"}


def test_how_many_members_there_are():
    assert population.size(pbt(trials=35)) == population.Size(8, 4)
    assert population.size(pbt(trials=35)).trials == 32
    assert population.size(pbt(epochs=6, grace_epochs=3)) == population.Size(16, 2)
