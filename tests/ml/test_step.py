"""Steps as real processes, with a store of their own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import mlflow
import pytest

from dlops.ml import step
from dlops.ml.settings import Ingest

PROGRAM = """
import time
from dataclasses import dataclass
from typing import Annotated
from dlops.config.schema import Kind
from dlops.errors import ConfigError, DataError, GateFailed, StepFailed
from dlops.ml import record, step

@dataclass(frozen=True, kw_only=True)
class Try:
    how: str = "well"
    "How it ends."
    place: Annotated[str, Kind("location")] | None = None
    "Left out."

def attempt(settings: Try) -> None:
    record.output("way", settings.how)
    match settings.how:
        case "config": raise ConfigError("The file is wrong.")
        case "data": raise DataError("The data is wrong.", hint="Mend it.", problems=["a", "b"])
        case "gate": raise GateFailed("Not good enough.")
        case "bug": raise ZeroDivisionError("by zero")
        case "exit": raise SystemExit(9)
        case "wait":
            print("waiting", flush=True)
            try:
                time.sleep(60)
            except Exception as error:
                raise StepFailed("A library took the signal for a failure of its own.") from error

if __name__ == "__main__":
    step.main(Try, attempt)
"""


@pytest.fixture
def place(tmp_path, initialised_store):
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    (tmp_path / "attempt.py").write_text(textwrap.dedent(PROGRAM))
    return tmp_path


def client(place: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{place}/mlflow.db")


def start(place: Path, *words: str, **environ: str) -> subprocess.Popen[str]:
    settled = {**os.environ, "MLFLOW_TRACKING_URI": f"sqlite:///{place}/mlflow.db", **environ}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "attempt.py", *words], cwd=place, env=settled, **pipes)


def only_run(place: Path) -> mlflow.entities.Run:
    runs = client(place).search_runs(["0"])
    assert len(runs) == 1
    return runs[0]


@pytest.mark.parametrize(
    ("how", "code", "status"),
    [
        ("well", 0, "FINISHED"),
        ("config", 2, "FAILED"),
        ("gate", 3, "FAILED"),
        ("data", 4, "FAILED"),
        ("bug", 1, "FAILED"),
        ("exit", 9, "FAILED"),
    ],
)
def test_every_end_is_truthful(place, how, code, status):
    process = start(place, f"how={how}")
    _, err = process.communicate(timeout=60)
    run = only_run(place)
    assert (process.returncode, run.info.status) == (code, status), err
    assert run.data.params == {"how": how}
    assert run.data.tags["dlops.step"] == "try"
    assert run.data.tags["dlops.output.way"] == how
    assert run.data.tags.get("dlops.gate") == ("failed" if how == "gate" else None)
    assert ("Traceback" in err) == (how == "bug")
    if how == "data":
        assert err == "error: The data is wrong.\n  - a\n  - b\nhint: Mend it.\n"


def test_wrong_parameters_open_no_run(place):
    process = start(place, "hwo=well")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "did you mean 'how'" in err
    assert client(place).search_runs(["0"]) == []


def test_a_launchers_run_is_used_and_its_parameters_are_left_alone(place):
    """Stock MLflow logs shell-quoted values; logging them again would raise."""
    run_id = client(place).create_run("0").info.run_id
    client(place).log_param(run_id, "how", "'well'")
    process = start(place, "how=well", MLFLOW_RUN_ID=run_id)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    run = only_run(place)
    assert (run.info.run_id, run.info.status, run.data.params) == (run_id, "FINISHED", {"how": "'well'"})
    assert run.data.tags["dlops.output.way"] == "well"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_as_killed(place, number):
    process = start(place, "how=wait")
    assert process.stdout
    assert process.stdout.readline() == "waiting\n"
    process.send_signal(number)
    began = time.monotonic()
    _, err = process.communicate(timeout=30)
    assert time.monotonic() - began < 10
    assert (process.returncode, only_run(place).info.status) == (130, "KILLED")
    assert err == f"error: Ended by {number.name}.\n"


def test_the_garbage_collector_is_on_while_a_step_works(monkeypatch):
    gc.disable()
    monkeypatch.delenv("MLFLOW_RUN_ID", raising=False)
    try:
        assert step.run(Ingest, lambda settings: None, ["nonsense=1"]) == 2
        assert gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
