"""A run is closed when its worker is certainly dead, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time

import pytest

from dlops.worker import processes, reaper


@pytest.fixture
def run(client):
    """Make an open run that is kept by the given worker."""

    def of(worker, **tags):
        text = worker if isinstance(worker, str) else json.dumps(worker)
        made = client.create_run("0", tags={"dlops.worker": text, **tags} if text else tags)
        return made.info.run_id

    return of


@pytest.fixture
def dead():
    """The identity of a process that is no more."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    known = processes.identity(child.pid)
    child.communicate(b"\n")
    return known


def test_of_many_open_runs_those_of_dead_workers_are_closed(client, run, dead):
    living = processes.identity(os.getpid())
    kept = [
        run(living),
        run({**dead, "host": "another"}),
        run({**dead, "space": "pid:[1]"}),
        run(""),
        run("no json"),
        run("[1]"),
        run({"host": dead["host"], "boot": dead["boot"]}),
        run({**dead, "pid": "x"}),
        run("null"),
    ]
    lost = [run(dead), run({**living, "boot": "before"}), run({**living, "started": "0"})]
    assert set(reaper.close_dead_runs(client, ["0"])) == set(lost)
    assert {client.get_run(run_id).info.status for run_id in kept} == {"RUNNING"}
    for run_id in lost:
        closed = client.get_run(run_id)
        assert closed.info.status == "FAILED"
        assert closed.data.tags["dlops.error"] == reaper.ERROR
    assert reaper.close_dead_runs(client, ["0"]) == []
    assert reaper.close_dead_runs(client, []) == []


def test_open_trials_of_a_search_that_is_ended_are_ended_too(client, run, dead):
    parent = run(dead, **{reaper.SEARCH: "first"})

    def below(above, **tags):
        return client.create_run("0", tags={"mlflow.parentRunId": above, **tags}).info.run_id

    trial, done = (below(parent, **{reaper.SEARCH: "first"}) for _ in range(2))
    other, own = below("another", **{reaper.SEARCH: "first"}), below(parent)
    client.set_terminated(done, "FINISHED")
    assert reaper.close_dead_runs(client, ["0"]) == [parent]
    statuses = {one: client.get_run(one).info.status for one in (trial, done, other, own)}
    assert statuses == {trial: "KILLED", done: "FINISHED", other: "RUNNING", own: "RUNNING"}


def test_open_steps_of_a_pipeline_that_is_ended_are_ended_or_told_to_end(client, run, dead, monkeypatch):
    monkeypatch.setattr(reaper, "_PATIENCE", 0.5)
    living = processes.identity(os.getpid())
    parent = run(dead, **{reaper.PIPELINE: "{}"})
    tags = {reaper.PARENT: parent, reaper.PIPELINE_STEP: "finetune", "dlops.heartbeat": str(int(time.time()))}
    lost, late = run(dead, **tags), run(living, **tags)
    there, on_this_machine = run({**living, "host": "another"}, **tags), run(living, **tags, **{reaper.HANDLE: "job"})
    waiting, other = run("", **tags, **{reaper.HANDLE: "job"}), run(living, **{reaper.PARENT: parent})
    assert reaper.close_dead_runs(client, ["0"])[-1] == parent
    states = {}
    names = ("lost", "late", "there", "on_this_machine", "waiting", "other")
    for name, run_id in zip(names, (lost, late, there, on_this_machine, waiting, other), strict=True):
        found = client.get_run(run_id)
        states[name] = found.info.status, "dlops.cancel" in found.data.tags
    assert states == {
        "lost": ("FAILED", False),
        "late": ("RUNNING", True),
        "there": ("RUNNING", True),
        "on_this_machine": ("RUNNING", True),
        "waiting": ("KILLED", True),
        "other": ("RUNNING", False),
    }


def test_orphans_are_ended_and_a_run_that_ended_is_left_alone(client, run, dead):
    run_id = run(dead)
    orphan = subprocess.Popen(
        ["sleep", "60"], env={**os.environ, processes.MARK: run_id}, start_new_session=True, stdin=subprocess.DEVNULL
    )
    try:
        assert reaper.close_if_dead(client, client.get_run(run_id)) is True
        assert orphan.wait(10) < 0
    finally:
        orphan.kill()
        orphan.wait()
    assert reaper.close_if_dead(client, client.get_run(run_id)) is False


def test_after_a_restart_no_process_is_touched(client, run, dead):
    """Numbers and marks of another boot mean nothing; only the run is closed."""
    run_id = run({**dead, "boot": "before"})
    bystander = subprocess.Popen(["sleep", "60"], env={**os.environ, processes.MARK: run_id})
    try:
        assert reaper.close_if_dead(client, client.get_run(run_id)) is True
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_run_that_a_script_ended_itself_goes_on_until_its_worker_says_so(client, run, dead):
    run_id = run(dead)
    client.set_terminated(run_id, "FINISHED")
    assert reaper.over(client.get_run(run_id)) is False
    assert reaper.close_if_dead(client, client.get_run(run_id)) is True
    closed = client.get_run(run_id)
    assert (closed.info.status, reaper.over(closed)) == ("FAILED", True)
    ended = run(dead, **{"dlops.exit_code": "0"})
    assert reaper.over(client.get_run(ended)) is False
    client.set_terminated(ended, "FINISHED")
    assert reaper.over(client.get_run(ended)) is True
    strangers = client.create_run("0").info.run_id
    client.set_terminated(strangers, "FINISHED")
    assert reaper.over(client.get_run(strangers)) is True


def test_a_run_that_ended_well_since_it_was_listed_is_left_alone(client, run, dead):
    run_id = run(dead)
    listed = client.get_run(run_id)
    reaper.end(client, run_id, "FINISHED", **{"dlops.exit_code": "0"})
    assert reaper.close_if_dead(client, listed) is False
    assert client.get_run(run_id).info.status == "FINISHED"


def test_a_machine_of_the_same_name_is_told_apart_by_its_heartbeat(client, run, dead):
    """Another boot of this machine, or another machine that is called as this one."""
    elsewhere = {**processes.identity(os.getpid()), "boot": "another"}
    beating = run(elsewhere, **{"dlops.heartbeat": str(int(time.time()))})
    silent = run(elsewhere, **{"dlops.heartbeat": str(int(time.time() - 100))})
    assert reaper.close_dead_runs(client, ["0"]) == [silent]
    assert client.get_run(beating).info.status == "RUNNING"
    client.set_terminated(beating, "KILLED")


def test_a_launch_that_came_to_nothing_on_a_machine_that_is_no_more_is_closed(client, dead):
    def launched(age, **tags):
        beat = {"dlops.heartbeat": str(int(time.time() - age))}
        elsewhere = json.dumps({**dead, "host": "a container"})
        return client.create_run("0", tags={reaper.LAUNCHER: elsewhere, **beat, **tags}).info.run_id

    kept = [launched(60), launched(5000, **{reaper.HANDLE: "h"}), launched(5000, **{"dlops.worker": "{}"})]
    lost = launched(5000)
    assert reaper.close_dead_runs(client, ["0"]) == [lost]
    assert client.get_run(lost).data.tags["dlops.error"] == reaper.NOT_HANDED_OVER
    for run_id in kept:
        assert client.get_run(run_id).info.status == "RUNNING"
        client.set_terminated(run_id, "KILLED")


def test_a_service_that_answers_by_itself_is_no_job_of_a_worker(client):
    tags = [{reaper.HANDLE: "h"}, {reaper.HANDLE: "h", "dlops.heartbeat": "1"}, {"dlops.worker": "{}"}]
    made = [client.create_run("0", tags=each) for each in tags]
    assert [reaper.hosted(run) for run in made] == [True, False, False]
    for run in made:
        client.set_terminated(run.info.run_id, "KILLED")


def test_open_steps_of_a_pipeline_that_is_ended_are_ended_or_told(client, run, dead):
    parent = run(dead, **{reaper.PIPELINE: "{}"})
    below = {reaper.PARENT: parent, reaper.PIPELINE_STEP: "one"}
    elsewhere = json.dumps({**dead, "host": "another"})
    here, away, unbegun = run(dead, **below), run(elsewhere, **below), run("", **below)
    others = [run(elsewhere, **{reaper.PARENT: parent}), run(elsewhere, **{**below, reaper.PARENT: "x"})]
    assert parent in reaper.close_dead_runs(client, ["0"])
    found = {name: client.get_run(one) for name, one in {"here": here, "away": away, "unbegun": unbegun}.items()}
    assert [found[name].info.status for name in found] == ["FAILED", "RUNNING", "KILLED"]
    assert "dlops.cancel" in found["away"].data.tags, "its own worker ends it"
    for other in others:
        assert client.get_run(other).info.status == "RUNNING"
        assert "dlops.cancel" not in client.get_run(other).data.tags


def test_a_machine_that_gave_no_sign_for_minutes_is_given_up_where_somebody_asks(client, run, dead, monkeypatch):
    monkeypatch.setattr(reaper, "_SURE", 0.1)

    def beaten(worker, age):
        return run(worker, **{"dlops.heartbeat": str(int(time.time() - age))})

    elsewhere = {**dead, "host": "another"}
    kept = [beaten(elsewhere, 100), beaten(processes.identity(os.getpid()), 1000), run(elsewhere)]
    silent = beaten(elsewhere, 1000)
    assert reaper.close_dead_runs(client, ["0"]) == [], "nobody has asked: it may be the network"
    assert [reaper.give_up(client, client.get_run(run_id)) for run_id in [*kept, silent]] == [False, False, False, True]
    found = client.get_run(silent)
    assert (found.info.status, found.data.tags["dlops.error"]) == ("FAILED", reaper.LOST)
    assert "dlops.cancel" in found.data.tags, "should it live after all, it ends"
    assert reaper.give_up(client, found) is False
    for run_id in kept:
        client.set_terminated(run_id, "KILLED")


def test_a_worker_that_gives_a_sign_after_all_is_left_alone(client, run, dead, monkeypatch):
    """Its clock is another, or the store was away."""
    monkeypatch.setattr(reaper, "_SURE", 5.0)
    living = run({**dead, "host": "another"}, **{"dlops.heartbeat": str(int(time.time() - 1000))})
    beat = threading.Timer(0.5, client.set_tag, [living, "dlops.heartbeat", str(int(time.time() - 990))])
    beat.start()
    assert reaper.give_up(client, client.get_run(living)) is False
    beat.join()
    found = client.get_run(living)
    assert (found.info.status, "dlops.cancel" in found.data.tags) == ("RUNNING", False)
    client.set_terminated(living, "KILLED")


def test_silent_steps_of_a_pipeline_whose_machine_is_lost_are_closed_with_it(client, run, dead, monkeypatch):
    monkeypatch.setattr(reaper, "_SURE", 0.1)
    long_ago = {"dlops.heartbeat": str(int(time.time() - 1000))}
    elsewhere = {**dead, "host": "another"}
    parent = run(elsewhere, **long_ago, **{reaper.PIPELINE: "{}"})
    below = {reaper.PARENT: parent, reaper.PIPELINE_STEP: "one"}
    step, sent = (run(elsewhere, **long_ago, **below, **more) for more in ({}, {reaper.HANDLE: "h"}))
    assert reaper.give_up(client, client.get_run(parent)) is True
    assert client.get_run(step).info.status == "FAILED"
    found = client.get_run(sent)
    assert (found.info.status, "dlops.cancel" in found.data.tags) == ("RUNNING", True), "its cluster may still know it"
    client.set_terminated(sent, "KILLED")
