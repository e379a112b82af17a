"""The task that starts the worker: passes on what it prints, ends it, and ends as it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from dlops.targets import databricks_task

WORKER = """
import os, sys, threading, time
print("key", os.environ["DLOPS_JOB_KEY"], os.environ["DLOPS_PARENT"], os.getcwd(), flush=True)
def parent_gone():
    sys.stdin.read(); open(os.environ["GONE"], "w").close(); os._exit(9)
threading.Thread(target=parent_gone, daemon=True).start()
time.sleep(float(os.environ.get("SECONDS", "0")))
sys.exit(int(os.environ.get("CODE", "0")))
"""


def _heed_ctrl_c():
    """Undo that a shell lets what it starts in the background ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture
def begun(tmp_path):
    (tmp_path / "job").mkdir()
    (tmp_path / "job/worker.pyz").write_text(WORKER)

    def start(**environ):
        words = [sys.executable, "-S", databricks_task.__file__, str(tmp_path / "job"), "the-key", json.dumps({})]
        told = {**os.environ, "GONE": str(tmp_path / "gone"), "DATABRICKS_TOKEN": "x", **environ}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(words, env=told, preexec_fn=_heed_ctrl_c, **pipes)

    return start


@pytest.mark.parametrize("code", [0, 1])
def test_it_ends_as_the_worker_ends(begun, tmp_path, code):
    task = begun(CODE=str(code))
    out, err = task.communicate(timeout=30)
    assert out == f"key the-key stdin {tmp_path}/job\n"
    assert task.returncode == code
    assert ("RuntimeError: the job's worker ended with status 1" in err) == bool(code)
    assert not (tmp_path / "job").exists()


def test_ctrl_c_ends_the_worker(begun, tmp_path):
    task = begun(SECONDS="600")
    assert task.stdout.readline().startswith("key")
    task.send_signal(signal.SIGINT)
    task.communicate(timeout=30)
    assert task.returncode != 0
    assert not (tmp_path / "job").exists()


def test_a_task_that_is_killed_is_noticed_by_the_worker(begun, tmp_path):
    task = begun(SECONDS="600")
    assert task.stdout.readline().startswith("key")
    task.kill()
    task.communicate(timeout=30)
    deadline = time.monotonic() + 20
    while not (tmp_path / "gone").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
