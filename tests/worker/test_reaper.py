"""A run is closed when its worker is certainly dead, and only then."""

from __future__ import annotations

import json
import os
import subprocess
import sys

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
