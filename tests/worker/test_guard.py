"""A run whose worker is killed gets its end, and what it had started too, with nobody there to look after it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from dlops.worker import reaper
from dlops.worker.job import Job
from tests import processes


def started(store, tmp_path, command, **fields):
    """Start a worker that has begun its command; gives it and its run's id."""
    texts = {"step": "finetune", "entry_point": "main", "target": "local", "experiment": "tests", "command": command}
    job = Job(**texts, folder=str(tmp_path), tracking_uri=store, lock_folder=str(tmp_path), **fields)
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "dlops.worker"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL
    )
    worker.stdin.write(job.to_json().encode())
    worker.stdin.close()
    deadline = time.monotonic() + 60
    while not (tmp_path / "run").exists() or not (tmp_path / "run").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return worker, (tmp_path / "run").read_text().strip()


def eventually(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def gone(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def guards():
    """Count the guards of this test's workers."""
    found = processes.carrying("DLOPS_HOME", os.environ["DLOPS_HOME"])
    return sum("dlops.worker.guard" in command for command in found.values())


def test_a_killed_worker_leaves_a_closed_run_and_no_process(store, client, tmp_path):
    command = "setsid sleep 600 & echo $! > child; echo $MLFLOW_RUN_ID > run; sleep 600"
    worker, run_id = started(store, tmp_path, command)
    child = int((tmp_path / "child").read_text())
    worker.kill()
    worker.wait()
    eventually(lambda: reaper.over(client.get_run(run_id)))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["dlops.error"]) == ("FAILED", reaper.ERROR)
    eventually(lambda: gone(child))
    eventually(lambda: guards() == 0)


def test_a_killed_worker_leaves_no_work_tree(store, client, tmp_path):
    tree = tmp_path / "trees" / "a"
    tree.mkdir(parents=True)
    worker, run_id = started(store, tmp_path, "echo $MLFLOW_RUN_ID > run; exec sleep 600", tree=str(tree))
    worker.kill()
    worker.wait()
    eventually(lambda: reaper.over(client.get_run(run_id)))
    assert client.get_run(run_id).info.status == "FAILED"
    eventually(lambda: not tree.exists())


def test_it_outlives_what_ends_the_worker_politely_and_then_goes(store, client, tmp_path):
    worker, run_id = started(store, tmp_path, "echo $MLFLOW_RUN_ID > run; exec sleep 600")
    assert guards() == 1
    worker.send_signal(signal.SIGTERM)
    worker.wait(60)
    assert client.get_run(run_id).info.status == "KILLED"
    eventually(lambda: guards() == 0)
