"""A search as it is recorded: every trial a run below the search's, and a search that goes on loses none."""

from __future__ import annotations

import json

import mlflow
import pytest

from dlops.errors import StepFailed
from dlops.ml import memory
from dlops.ml.kept_weights import FILE
from dlops.ml.search import asked, in_process
from dlops.ml.search.children import Children
from dlops.ml.search.stopping import Stopping
from dlops.ml.search.trials import best
from tests.ml.search.conftest import begun, tuned
from tests.ml.search.stand_in import StandIn, score


def children(store, run):
    which = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
    return store.search_runs([run.info.experiment_id], which, order_by=["attributes.start_time ASC"])


def test_every_trial_is_a_run_below_with_its_own_parameters(run, store):
    search = begun(tuned(trials=6, epochs=3))
    in_process.run(search, StandIn())
    found = children(store, run)
    assert len(found) == 6
    for number, child in enumerate(found):
        assert child.info.status == "FINISHED"
        assert child.info.run_name == f"trial-{number}"
        values = json.loads(child.data.tags["dlops.trial.values"])
        assert {name: child.data.params[name] for name in values} == values
        assert child.data.params["strategy"] == "freeze"
        assert child.data.metrics["score"] == pytest.approx(score(values) + 0.003, abs=1e-6)
        assert child.data.tags["dlops.trial.status"] == "finished"
        assert len(json.loads(child.data.tags["dlops.trial.scores"])) == 3
    assert len({json.dumps(trial.values) for trial in search.trials}) == 6
    assert search.reason == "6 trials have begun"
    assert store.get_run(run.info.run_id).data.metrics == {}, "what is a trial's is in its run alone"
    leading = search.best
    assert leading.score == max(trial.score for trial in search.trials)
    assert leading.best_epoch == 3


def test_asha_spends_few_epochs_on_what_is_bad(run, store):
    objective, plain = StandIn(epochs=9), StandIn(epochs=9)
    search = begun(tuned(trials=20, epochs=9, scheduler="asha"))
    in_process.run(search, objective)
    whole = begun(tuned(trials=20, epochs=9))
    in_process.run(whole, plain)
    spent, all_of_them = (sum(epochs for _, epochs in one.trained) for one in (objective, plain))
    assert all_of_them == 180
    assert spent <= all_of_them / 2
    assert search.best.score >= sorted(trial.score for trial in whole.trials)[-6]
    statuses = {trial.status for trial in search.trials}
    assert statuses == {"finished", "pruned"}
    told = {child.data.tags["dlops.trial.status"] for child in children(store, run)}
    assert told == statuses
    assert all(trial.status != "finished" or len(trial.scores) == 9 for trial in search.trials)


def test_failures_are_told_apart_and_the_search_goes_on(run, store):
    exhausted = memory.exhausted("A training step", MemoryError())
    exhausted.__cause__ = MemoryError()
    faults = {
        (1, 2): StepFailed("The loss became nan in epoch 2, batch 1."),
        (2, 1): exhausted,
        (3, 1): RuntimeError("DefaultCPUAllocator: can't allocate memory"),
        (4, 1): KeyError("a bug"),
    }
    search = begun(tuned(trials=7, failures=2))
    in_process.run(search, StandIn(faults))
    assert [trial.status for trial in search.trials] == [
        *("finished", "failed", "out_of_memory", "out_of_memory", "failed", "finished", "finished")
    ]
    found = children(store, run)
    assert [child.info.status for child in found] == [*("FINISHED", "FAILED", "FAILED", "FAILED", "FAILED")] + [
        "FINISHED"
    ] * 2
    assert "loss became nan" in found[1].data.tags["dlops.error"]
    assert "KeyError" in found[4].data.tags["dlops.error"]
    assert found[1].data.metrics["score"] == search.trials[1].score, "what it came to is kept"
    assert search.best.status == "finished"


def test_what_needs_no_less_memory_is_not_tried_again(run):
    axes = {"batch_size": {"choice": ["8", "16", "32", "64"]}, "head_learning_rate": {"uniform": ["0.01", "0.1"]}}
    search = begun(tuned(axes, trials=12, search="random", seed=1))

    def objective(trial, report, keeps):
        if int(trial.values["batch_size"]) >= 32:
            raise MemoryError
        StandIn()(trial, report, keeps)

    in_process.run(search, objective)
    assert len(search.trials) == 12
    lost = [int(trial.values["batch_size"]) for trial in search.trials if trial.status == "out_of_memory"]
    assert lost in ([32], [64, 32]), "each that is known to be too large is tried once at most"


def test_too_many_failures_end_it(run):
    search = begun(tuned(trials=9, failures=1))
    in_process.run(search, StandIn({(number, 1): StepFailed("no") for number in range(9)}))
    assert search.reason == "more than 1 trials have failed"
    assert len(search.trials) == 2
    assert search.best is None


class Killed(BaseException):
    pass


@pytest.mark.parametrize(("number", "epoch"), [(0, 1), (4, 2), (9, 3)])
def test_a_search_that_goes_on_is_as_if_it_had_not_been_interrupted(run, store, number, epoch):
    settings = tuned(trials=12, epochs=3, scheduler="asha", search="tpe")
    whole = begun(settings)
    in_process.run(whole, StandIn())
    interrupted = begun(settings)
    with mlflow.start_run(nested=True) as first:
        interrupted = begun(settings)
        with pytest.raises(Killed):
            in_process.run(interrupted, StandIn({(number, epoch): Killed()} | _pruned_before(whole, number, epoch)))
    (cut,) = [trial for trial in interrupted.trials if trial.status == "interrupted"]
    assert store.get_run(cut.run_id).info.status == "KILLED"
    objective = StandIn()
    with mlflow.start_run(nested=True) as second:
        resumed = begun(settings, resume=first.info.run_id)
        in_process.run(resumed, objective)
    assert [trial.values for trial in resumed.trials] == [trial.values for trial in whole.trials]
    assert [trial.scores for trial in resumed.trials] == [trial.scores for trial in whole.trials]
    assert [trial.status for trial in resumed.trials] == [trial.status for trial in whole.trials]
    assert objective.trained[0][0] == cut.number, "what was finished is not trained again"
    again = resumed.trials[cut.number]
    assert store.get_run(again.run_id).data.tags["dlops.resumed_from"] == cut.run_id
    third = begun(settings, resume=second.info.run_id)
    assert third.next() is None, "a search is found by any of its runs"
    assert len(third.trials) == 12


def _pruned_before(whole, number, epoch):
    """Where that trial is ended before that epoch, be killed in the first one."""
    return {(number, 1): Killed()} if len(whole.trials[number].scores) < epoch else {}


def test_a_killed_process_leaves_trials_that_are_taken_up(run, store):
    settings = tuned(trials=4)
    with mlflow.start_run(nested=True) as first:
        search = begun(settings)
        done = search.next()
        search.report(done, 0.5, last=True)
        search.end(done)
        lost = search.next()  # its process is killed here: nothing is said of its end
    with mlflow.start_run(nested=True):
        resumed = begun(settings, resume=first.info.run_id)
        assert [trial.status for trial in resumed.trials] == ["finished", "interrupted"]
        again = resumed.next()
        assert (again.number, again.values, again.resumed_from) == (1, lost.values, lost.run_id)


def test_the_best_are_those_that_were_trained_to_their_end(run):
    search = begun(tuned(trials=3))
    for value, status in ((0.5, None), (0.9, "failed"), (0.6, None)):
        trial = search.next()
        search.report(trial, value, last=True)
        search.end(trial, status)
    assert [trial.number for trial in best(search.trials, 3)] == [2, 0]
    assert search.keeps(0.6), "of those that are alike, the first may come later, after an interruption"
    assert not search.keeps(0.59)


def test_what_does_not_go_together_is_not_tried(run):
    search = begun(tuned(trials=6, search="random"), refuses=lambda values: values["batch_size"] != "16")
    in_process.run(search, StandIn())
    assert len(search.trials) == 6
    assert {trial.values["batch_size"] for trial in search.trials} == {"16"}


def test_failures_before_an_interruption_do_not_count_again(run):
    settings = tuned(trials=9, failures=1)
    with mlflow.start_run(nested=True) as first:
        search = begun(settings)
        in_process.run(search, StandIn({(number, 1): StepFailed("no") for number in range(2)}))
        assert search.failed
    children = Children(mlflow.active_run().info.run_id, asked.fixed(settings))
    before = children.resume(first.info.run_id)
    failed = sum(trial.status == "failed" for trial in before)
    assert Stopping(settings, failed_before=failed).reason(before) == ""
    assert children.seconds > 0


def test_a_search_of_other_settings_does_not_go_on(run):
    with mlflow.start_run(nested=True) as first:
        in_process.run(begun(tuned(trials=1)), StandIn())
    with pytest.raises(StepFailed, match=r"weight_decay was 0\.01, is 0\.2"):
        begun(tuned(trials=2, weight_decay=0.2), resume=first.info.run_id)
    begun(tuned(trials=2, micro_tokens=99), resume=first.info.run_id)


def test_what_outdone_trials_kept_is_removed(run, store):
    search = begun(tuned(trials=3))
    for value in (0.5, 0.7, 0.6):
        trial = search.next()
        search.report(trial, value, last=True)
        if search.keeps(trial.score):
            store.log_text(trial.run_id, "weights", FILE)
            store.log_text(trial.run_id, "state", "checkpoints/1")
        search.end(trial)
    kept = [[file.path for file in store.list_artifacts(trial.run_id)] for trial in search.trials]
    assert kept == [[], ["checkpoints", FILE], []]


def test_two_hundred_trials_take_little_each(run):
    import time

    search = begun(tuned(trials=200, epochs=3, scheduler="asha", search="tpe"))
    began = time.process_time()
    in_process.run(search, StandIn())
    assert len(search.trials) == 200
    assert (time.process_time() - began) / 200 < 0.05
