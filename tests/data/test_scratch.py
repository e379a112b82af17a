from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dlops.data import scratch
from dlops.errors import DataError


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_has_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    program = """
import os, signal, sys
from dlops.data import scratch
from dlops.errors import DataError
with scratch.folder() as folder:
    print(folder, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""
    started = [sys.executable, "-c", program]
    environ = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(started, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        theirs = Path(other.stdout.readline().strip())
        with scratch.folder() as ours:
            assert sorted(tmp_path.iterdir()) == sorted([theirs, ours])
        other.stdin.close()
        other.wait()
    assert list(tmp_path.iterdir()) == [theirs]
    with scratch.folder() as ours:
        assert list(tmp_path.iterdir()) == [ours]
    assert not list(tmp_path.iterdir())


def test_a_folder_of_the_users_that_is_not_there_is_told(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match="which TMPDIR names"), scratch.folder():
        pass
