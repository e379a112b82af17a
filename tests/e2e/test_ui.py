"""`dlops ui`: MLflow's own pages of what was recorded, on this machine alone, ended without a trace."""

from __future__ import annotations

import json
import re
import signal
import time
import urllib.error
import urllib.request

import pytest


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_the_runs_and_leaves_nothing_behind(shell, project, number):
    project(MLproject=json.dumps({"name": "seen", "entry_points": {"ingest": {"command": "echo hello"}}}))
    if number == signal.SIGINT:
        shell.run("ingest")
    server = shell.start("ui", "--port", "0")
    address = re.search(r"http://127\.0\.0\.1:\d+", server.stderr.readline())
    assert address
    assert b"<html" in _page(address[0], seconds=60)
    experiments = f"{address[0]}/ajax-api/2.0/mlflow/experiments/search?max_results=10"
    names = [found["name"] for found in json.loads(_page(experiments))["experiments"]]
    assert ("seen" in names) == (number == signal.SIGINT)
    server.send_signal(number)
    server.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while shell.processes() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert shell.processes() == {}


def _page(address: str, *, seconds: float = 10) -> bytes:
    """Read a page as soon as it is served."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address, timeout=10) as answer:
                return answer.read()
        except urllib.error.URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
