"""`dlops init` as a newcomer uses it: what it writes runs, and passes its own test."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.slow
def test_what_it_writes_runs_and_its_own_test_passes(shell):
    written = shell.json("init", "films")["written"]
    assert str(shell.folder / "films/steps/lengths.py") in written
    folder = shell.folder / "films"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=folder,
        env=shell.environ,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    shell.folder, before = folder, shell.folder
    ended = shell.json("run", "finetune.epochs=1", "finetune.max_length=16")
    assert [step["state"] for step in ended["steps"]] == ["finished"] * 4
    assert 8 <= int(ended["outputs"]["lengths.max_length"]) <= 256
    again = shell.json("run", "finetune.epochs=1", "finetune.max_length=16")
    assert [step["state"] for step in again["steps"]] == ["cached"] * 4
    assert again["saved_s"] > again["duration_s"]
    shell.folder = before


def test_it_says_what_comes_next_and_that_all_is_there(shell):
    first = shell.run("init", "films")
    assert "MLproject" in first.stdout
    assert "cd films; dlops run" in first.stderr
    assert "All of it is there already" in shell.run("init", "films").stderr
