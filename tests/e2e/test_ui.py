"""`dlops ui`: MLflow's own pages of what was recorded, on this machine alone, ended without a trace."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.request

import pytest


@pytest.mark.parametrize(
    "number", [signal.SIGINT, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGTERM, signal.SIGKILL))]
)
def test_it_shows_the_runs_and_leaves_nothing_behind(shell, project, number):
    project(MLproject=json.dumps({"name": "seen", "entry_points": {"ingest": {"command": "echo hello"}}}))
    if number == signal.SIGINT:
        shell.run("ingest")
    server = shell.start("ui", "--port", "0")
    assert server.stderr.readline() == f"Starting the pages of sqlite:///{shell.folder}/mlflow.db …\n"
    address = next(found[0] for line in server.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+", line)))
    assert b"<html" in _page(address), "it answers as soon as it says where"
    experiments = f"{address}/ajax-api/2.0/mlflow/experiments/search?max_results=10"
    names = [found["name"] for found in json.loads(_page(experiments))["experiments"]]
    assert ("seen" in names) == (number == signal.SIGINT)
    server.send_signal(number)
    server.communicate(timeout=20)
    assert server.returncode == (-9 if number == signal.SIGKILL else 130)
    _nothing_is_left(shell, seconds=10 if number == signal.SIGKILL else 1)


def test_ended_while_it_starts_it_leaves_nothing_behind_and_never_shows_a_password(shell):
    server = shell.start("ui", "--port", "0", "--tracking-uri", "postgresql://me:secret-word@127.0.0.1:9/x")
    assert server.stderr.readline() == "Starting the pages of postgresql://***@127.0.0.1:9/x …\n"
    deadline = time.monotonic() + 10
    while not (lines := [line for line in shell.processes().values() if "mlflow ui" in line]):
        assert time.monotonic() < deadline
    assert "secret-word" not in "".join(lines)
    server.kill()
    server.communicate(timeout=20)
    _nothing_is_left(shell, seconds=10)


def _nothing_is_left(shell, *, seconds):
    assert shell.left(seconds) == {}


def _page(address: str) -> bytes:
    with urllib.request.urlopen(address, timeout=10) as answer:
        return answer.read()
