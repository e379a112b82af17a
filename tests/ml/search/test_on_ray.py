"""Trials on Ray: several processes that are used again, the same records and decisions as in one process."""

from __future__ import annotations

import functools
import json
import os
import threading
import time
from pathlib import Path

import pytest
import ray

from dlops.errors import StepFailed
from dlops.ml.search import on_ray
from tests.ml.search import stand_in
from tests.ml.search.conftest import begun, tuned
from tests.ml.search.stand_in import StandIn
from tests.targets import ray_clusters

pytestmark = [
    pytest.mark.xdist_group("ray"),
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore"),  # Ray's own, many
]


@pytest.fixture(autouse=True)
def sent_by_value(monkeypatch):
    """Let the objective travel as it is: the processes of a cluster know nothing of tests."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # a process keeps the mode that it had first
    before = {name: value for name, value in os.environ.items() if name.startswith("RAY_")}
    ray.cloudpickle.register_pickle_by_value(stand_in)
    yield
    ray.cloudpickle.unregister_pickle_by_value(stand_in)
    os.environ.pop("RAY_ADDRESS", None)
    assert {name: value for name, value in os.environ.items() if name.startswith("RAY_")} == before


def searched(settings, tmp_path, resume="", **objective):
    """Search on Ray; give the search, and which process was at which epoch of which trial."""
    search = begun(settings, resume)
    on_ray.run(search, settings, functools.partial(StandIn, folder=str(tmp_path), **objective))
    lines = (tmp_path / "notes").read_text().splitlines()
    return search, [line.split(" ") for line in lines]


def test_trials_run_side_by_side_in_processes_that_are_used_again(run, store, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_RUN_ID", "the parent's")
    settings = tuned(trials=12, epochs=3, scheduler="asha", trial_cpus=1, concurrency=2)
    faults = {(3, 2): StepFailed("The loss became nan."), (4, 1): MemoryError("too much")}
    search, notes = searched(settings, tmp_path, faults=faults)
    assert len(search.trials) == 12
    assert search.reason == "12 trials have begun"
    assert {trial.status for trial in search.trials} == {"finished", "pruned", "failed", "out_of_memory"}
    assert (search.trials[3].status, search.trials[3].error) == ("failed", "The loss became nan.")
    assert search.trials[4].status == "out_of_memory"
    assert len({process for _, _, process, _ in notes}) <= 4, "two, and another for each that a fault ended"
    assert {of_run for *_, of_run in notes} == {""}, "no process knows the search's run"
    for trial in search.trials:
        child = store.get_run(trial.run_id)
        assert child.info.status == ("FAILED" if trial.status in ("failed", "out_of_memory") else "FINISHED")
        assert json.loads(child.data.tags["dlops.trial.scores"]) == trial.scores
        assert len(trial.scores) == (3 if trial.status == "finished" else len(trial.scores))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_killed_process_costs_one_trial_its_work_and_no_more(run, tmp_path):
    settings = tuned(trials=4, trial_cpus=1, concurrency=2)
    search, notes = searched(settings, tmp_path, faults={(1, 2): "killed"})
    assert [trial.status for trial in search.trials] == ["finished"] * 4
    assert [len(trial.scores) for trial in search.trials] == [3] * 4, "an epoch that was seen twice counts once"
    assert len([line for line in notes if line[:2] == ["1", "1"]]) == 2


@pytest.mark.slow
def test_what_was_finished_before_is_not_tried_again(run, tmp_path):
    import mlflow

    with mlflow.start_run(nested=True) as first:
        searched(tuned(trials=3, trial_cpus=1, concurrency=1), tmp_path)
    (tmp_path / "notes").unlink()
    with mlflow.start_run(nested=True):
        search, notes = searched(tuned(trials=5, trial_cpus=1, concurrency=1), tmp_path, resume=first.info.run_id)
    assert [trial.status for trial in search.trials] == ["finished"] * 5
    assert {number for number, *_ in notes} == {"3", "4"}


def test_what_no_node_has_is_refused(run):
    settings = tuned(trial_cpus=512)
    with pytest.raises(StepFailed, match="No node has 512 processors"):
        on_ray.run(begun(settings), settings, StandIn)


@pytest.mark.slow
def test_trials_are_spread_over_nodes_one_of_which_is_lost(run, store, tmp_path):
    settings = tuned(trials=12, epochs=4, trial_cpus=1)
    with ray_clusters.stopped_at_the_end() as cluster:
        cluster.start()
        nodes = [cluster.join(), cluster.join()]
        os.environ["RAY_ADDRESS"] = cluster.gcs

        def kill_one_halfway():
            deadline = time.monotonic() + 200
            notes = tmp_path / "notes"
            while time.monotonic() < deadline:
                lines = notes.read_text().splitlines() if notes.is_file() else []
                if len(lines) > 12 and len({line.split(" ")[2] for line in lines}) > 4:  # each node has a part in it
                    cluster.kill(nodes[0])
                    return
                time.sleep(0.1)

        killer = threading.Thread(target=kill_one_halfway)
        killer.start()
        # A trial outlasts the start of a process: else those that are there take all, and no other begins.
        search, notes = searched(settings, tmp_path, epochs=4, seconds=8.0)
        killer.join()
        assert nodes[0] not in cluster.names(), "a node was lost"
    assert [trial.status for trial in search.trials] == ["finished"] * 12
    assert [len(trial.scores) for trial in search.trials] == [4] * 12
    twice = len(notes) - 12 * 4
    assert 0 < twice <= 2 * 4, "what the lost node was at is all that was done again"
    assert not [
        child
        for child in store.search_runs([run.info.experiment_id], "attributes.status = 'RUNNING'")
        if child.info.run_id != run.info.run_id
    ]
    assert Path(tmp_path / "notes").is_file()
