"""What a store remembers of steps; other tests plan with it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from dlops.errors import UnreachableError
from dlops.project.pipeline import finished
from dlops.project.pipeline.finished import Store
from dlops.worker import reaper


def test_where_nothing_was_recorded_nothing_is_made(tmp_path, store):
    assert Store.opened(f"sqlite:///{tmp_path}/none/mlflow.db", "toy") is None
    assert not (tmp_path / "none").exists()
    here = Path.cwd()
    assert Store.opened(store, "an experiment that nobody made") is None
    assert Path.cwd() == here


def test_the_newest_finished_run_of_a_step(client, store):
    opened = Store.opened(store, "Default")
    made = []
    for number, (status, step) in enumerate(
        [("FINISHED", "it's"), ("FINISHED", "its"), ("FINISHED", "its"), ("FAILED", "its"), ("FINISHED", "other")]
    ):
        tags = {finished.STEP: step, finished.PARENT: "p", "dlops.fingerprint": "f", "dlops.fingerprint.own": "o"}
        made.append(client.create_run("0", start_time=1000 + number, tags=tags).info.run_id)
        client.set_terminated(made[-1], status)
    half = client.create_run("0", start_time=9000, tags={finished.STEP: "its", "dlops.worker": "{}"}).info.run_id
    client.set_terminated(half, "FINISHED")  # its worker has not said so
    assert opened.latest("its").info.run_id == made[2]
    assert opened.latest("none") is None
    assert [run.info.run_id for run in opened.with_fingerprint("f")] == [made[4], made[2], made[1], made[0]]
    assert [run.info.run_id for run in opened.below("p")] == made[::-1]
    assert (opened.ever_had("o"), opened.ever_had("n")) == (True, False)
    assert opened.ingredients(made[0]) is None
    client.set_terminated(half, "KILLED")


def test_a_store_that_does_not_answer(monkeypatch):
    monkeypatch.setattr(finished, "_PATIENCE", 0.1)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(UnreachableError, match="did not answer"):
        Store.opened("http://me:secret-pass@127.0.0.1:9", "toy")


def test_what_still_runs_of_the_pipelines_before(client, store, monkeypatch):
    monkeypatch.setattr(reaper, "_SURE", 0.1)
    opened, tags = Store.opened(store, "Default"), {}
    first = client.create_run("0").info.run_id
    second = client.create_run("0", tags={"dlops.resumed_from": first}).info.run_id
    worker = {"host": "another", "boot": "b", "pid": "1", "started": "1"}
    made = []
    for parent, age in [(first, 0), (second, 0), (second, 1000), (second, None)]:
        tags = {finished.STEP: "one", finished.PARENT: parent}
        if age is None:
            tags["dlops.handle"] = "a service"
        else:
            beat = str(int(time.time() - age))
            tags |= {"dlops.worker": json.dumps(worker), "dlops.heartbeat": beat, "dlops.handle": "h"}
        made.append(client.create_run("0", tags=tags).info.run_id)
    assert {run.info.run_id for run in opened.before(second)} == set(made)
    assert [run.info.run_id for run in opened.chain(second)] == [second, first]
    assert [run.info.run_id for run in opened.open_below(second)] == [made[1]]
    assert client.get_run(made[2]).info.status == "FAILED", "its machine is taken for lost"
    for run_id in (first, second, made[0], made[1], made[3]):
        client.set_terminated(run_id)
