"""A file may be larger than the memory: what `ingest` holds does not grow with it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import reviews
from dlops.data import tables

ROOT = Path(__file__).parents[2]


def ingested(folder: Path, megabytes: float) -> int:
    """Ingest a file of this size with all defaults; give the most that the process held in memory, in bytes."""
    folder.mkdir()
    rows = reviews.write(folder / "reviews.csv", megabytes)
    environ = {**os.environ, "PYTHONPATH": str(ROOT), "DLOPS_HOME": str(folder / "home"), "TMPDIR": str(folder)}
    environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
    command = [sys.executable, "-m", "pipelines.ingest", "source=reviews.csv", "table=./table"]
    process = subprocess.Popen(command, cwd=folder, env=environ, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    assert tables.read(str(folder / "table"))[1]["counts"]["rows"] == rows
    (folder / "reviews.csv").unlink()
    return used.ru_maxrss << (10 if sys.platform == "linux" else 0)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_memory_is_flat_and_below_two_gigabytes(tmp_path):
    half, two = ingested(tmp_path / "half", 500), ingested(tmp_path / "two", 2000)
    print(f"peak memory: {half >> 20} MB for 0.5 GB, {two >> 20} MB for 2 GB")
    assert two < 2e9
    assert two < 1.25 * half
