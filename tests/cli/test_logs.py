"""`dlops logs`: what a run printed, to the byte."""

from __future__ import annotations

import subprocess
import sys


def test_of_the_latest_run(looking):
    command = [sys.executable, "-m", "dlops.cli.main", "logs"]
    out = subprocess.run(command, cwd=looking.folder, env=looking.environ, capture_output=True, check=True).stdout
    assert out == "epochs=2 note=[red] ünï key=***\n25%\r50%\r\nünï\n".encode()


def test_without_a_store_it_says_so_and_makes_none(shell, listing):
    before = listing()
    assert "Nothing is recorded in" in shell.run("logs", exit_code=2).stderr
    assert listing() == before
