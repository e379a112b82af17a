"""However a run is ended, by whomever: everything it started is gone, and its record says what happened."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

TREE = """
import os, signal, subprocess, sys, time
subprocess.Popen(["sleep", "300"])
subprocess.Popen(["sleep", "301"], start_new_session=True)
if "stubborn" in sys.argv:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("working", flush=True)
for second in range(int(os.environ.get("SECONDS_TO_WORK", "120"))):
    time.sleep(1)
    print("second", second, flush=True)
print("all done", flush=True)
"""
WORKS = {
    "MLproject": json.dumps(
        {
            "name": "works",
            "entry_points": {
                "finetune": {"parameters": {"how": {"default": "gentle"}}, "command": "python work.py {how}"},
                "ingest": {"command": "echo quick"},
            },
        }
    ),
    "work.py": TREE,
}


@pytest.fixture
def working(shell, project):
    """A shell, and a launch whose step has started its own processes."""
    project(**WORKS)

    def start(*words: str):
        process = shell.start("finetune", *words)
        run = shell.wait_for_run()
        deadline = time.monotonic() + 30
        while sum("sleep" in command for command in shell.processes().values()) < 2:
            assert time.monotonic() < deadline
            assert process.poll() is None, process.communicate()
            time.sleep(0.05)
        return process, run

    return start


def worker_of(shell, run: str) -> int:
    with sqlite3.connect(shell.database) as connection:
        (tag,) = connection.execute(
            "SELECT value FROM tags WHERE run_uuid = ? AND key = 'dlops.worker'", [run]
        ).fetchone()
    connection.close()
    return int(json.loads(tag)["pid"])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_command_line_ends_everything(shell, working, number):
    process, run = working("--json")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    document = json.loads(out)
    assert (process.returncode, document["status"], document["error"]["kind"]) == (130, "KILLED", "interrupted")
    assert shell.left() == {}
    assert shell.json("status", run)["status"] == "KILLED"


def test_what_does_not_heed_sigterm_is_killed_after_the_grace_period(shell, working):
    process, run = working("how=stubborn")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert 8 < time.monotonic() - began < 25
    assert shell.json("status", run)["status"] == "KILLED"


def test_asked_twice_it_is_killed_at_once(shell, working):
    process, _ = working("how=stubborn")
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert time.monotonic() - began < 8
    assert shell.statuses() == ["KILLED"]


def test_a_killed_command_line_leaves_the_work_running(shell, working):
    shell.environ["SECONDS_TO_WORK"] = "8"
    process, run = working()
    process.kill()
    process.communicate()
    listed = shell.json("status")
    assert [(found["run_id"], found["status"]) for found in listed] == [(run, "RUNNING")]
    log = shell.run("logs", run, "-f").stdout
    assert "working" in log
    assert "all done" in log
    assert shell.json("status", run)["status"] == "FINISHED"


def test_a_killed_worker_is_told_by_the_command_line_that_followed_it(shell, working):
    process, run = working("--json")
    os.kill(worker_of(shell, run), signal.SIGKILL)
    out, _ = process.communicate(timeout=60)
    document = json.loads(out)
    assert (process.returncode, document["status"], document["run_id"]) == (4, "FAILED", run)
    assert "worker" in document["error"]["message"]
    assert shell.left() == {}


@pytest.mark.parametrize("noticed_by", ["status", "launch"])
def test_a_worker_killed_with_its_guard_is_noticed_and_its_run_closed(shell, working, noticed_by):
    process, run = working()
    worker = worker_of(shell, run)
    process.kill()
    process.communicate()
    (guard,) = (pid for pid, command in shell.processes().items() if "dlops.worker.guard" in command)
    os.kill(guard, signal.SIGKILL)
    os.kill(worker, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shell.processes(), "the orphans were expected to outlive their worker"
    if noticed_by == "status":
        shell.run("status")
    else:
        shell.run("ingest")
    assert shell.left() == {}
    assert not Path(tempfile.gettempdir(), f"dlops-{run}").exists()
    found = shell.json("status", run)
    assert found["status"] == "FAILED"
    assert "killed" in found["error"]


def test_a_run_is_cancelled_from_another_shell(shell, working):
    process, run = working("--json")
    assert "KILLED" in shell.run("cancel", run[:10]).stdout
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)["status"]) == (130, "KILLED")
    assert shell.left() == {}
    shell.run("cancel", run, exit_code=2)


def test_a_run_is_cancelled_by_its_tag_alone_as_from_another_machine(shell, working):
    process, run = working()
    program = f"from mlflow import MlflowClient; MlflowClient().set_tag({run!r}, 'dlops.cancel', 'now')"
    elsewhere = {**shell.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{shell.database}"}
    subprocess.run([sys.executable, "-c", program], env=elsewhere, check=True)
    process.communicate(timeout=40)
    assert process.returncode == 130
    assert shell.json("status", run)["status"] == "KILLED"
