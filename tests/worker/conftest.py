"""A store of each test's own, and the worker as the process it is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import pytest

from dlops.worker.job import Job


@pytest.fixture
def store(tmp_path: Path, initialised_store: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of an initialised store; the working folder is put back after the test, which may move to it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").mkdir()
    shutil.copy(initialised_store, tmp_path / "store/mlflow.db")
    return f"sqlite:///{tmp_path}/store/mlflow.db"


@pytest.fixture
def client(store: str, tmp_path: Path) -> Any:
    """A client of that store, from the whole of MLflow: other tests of this process need what the worker leaves out.

    What MLflow's own imports and its first look at a database warn of is not ours.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow  # noqa: F401

        from dlops.worker import tracking

        return tracking.connect(store, str(tmp_path))


@pytest.fixture
def work(store: str, tmp_path: Path) -> Any:
    """Run a command under a worker process; gives its events and the run it left."""

    def of(command: str, **fields: Any) -> list[dict[str, Any]]:
        job = Job(
            **{
                **{"step": "finetune", "entry_point": "main", "target": "local", "experiment": "tests"},
                **{"folder": str(tmp_path), "tracking_uri": store, "lock_folder": str(tmp_path), "command": command},
                **fields,
            }
        )
        done = subprocess.run(
            [sys.executable, "-P", "-m", "dlops.worker"],
            input=job.to_json(),
            capture_output=True,
            text=True,
            env={**os.environ, "SECRET_OF_THE_SHELL": "inherited"},
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return of
