"""What the tests of the steps share: each step as a real process, in a folder and a store of the test's own."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest

from tests.ml.conftest import custom_model, run, tiny_model
from tests.pipelines.preloaded import STEPS as FORKED
from tests.pipelines.preloaded import TRAININGS, Preloaded

__all__ = ["custom_model", "run", "tiny_model"]

ROOT = Path(__file__).parents[2]


@dataclass
class Steps:
    """Runs `python -m pipelines.STEP` as a user or a launcher would, in `folder`."""

    folder: Path
    environ: dict[str, str]
    preloaded: Preloaded | None
    """What becomes one of some steps in a moment; without it, each is started anew."""

    @property
    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.environ["MLFLOW_TRACKING_URI"])

    def process(self, step, *words, **environ):
        if step in TRAININGS and not any(str(word).startswith("precision=") for word in words):
            words = (*words, EXACT)
        command = [sys.executable, "-m", f"pipelines.{step}", *map(str, words)]
        settled = {**self.environ, **environ}
        if step in FORKED and self.preloaded and self.preloaded.fits(command[3:], settled):
            return self.preloaded.run(step, command[3:], self.folder, settled)
        return subprocess.run(command, cwd=self.folder, env=settled, capture_output=True, text=True, check=False)

    def run(self, step, *words, exit_code=0, **environ):
        """Run a step to its end, hold its exit code to `exit_code`, and give its run and what it said."""
        done = self.process(step, *words, **environ)
        told = f"{done.stdout}\n{done.stderr}"
        assert done.returncode == exit_code, told
        of_steps = "tags.`dlops.step` != ''"  # not what a step runs below its own
        (run,) = self.client.search_runs(["0"], of_steps, order_by=["attributes.start_time DESC"], max_results=1)
        assert run.info.status == ("FINISHED" if exit_code == 0 else "FAILED"), told
        return run, done

    def runs(self):
        return self.client.search_runs(["0"])

    def artifacts(self, run) -> Path:
        """Give the folder of a run's artifacts."""
        return Path(mlflow.artifacts.download_artifacts(run.info.artifact_uri))


def killed(steps, step, words, *, after, seconds):
    """Start a step, kill it so many seconds after it prints a line that begins so; close its run, and give its id."""
    before = {run.info.run_id for run in steps.runs()}
    process = subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{step}", *words],
        **{"cwd": steps.folder, "env": steps.environ, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT},
        start_new_session=True,
        text=True,
    )
    for line in process.stdout:
        if line.startswith(after):
            break
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    (run,) = [run for run in steps.runs() if run.info.run_id not in before]
    if run.info.status == "RUNNING":
        steps.client.set_terminated(run.info.run_id, "FAILED")
    return run.info.run_id


EXACT = "precision=32"
"""What trainings that are compared have: bf16, where a machine has it, rounds too much."""
FIXED = {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def preloaded(tmp_path_factory):
    """A process that is `finetune` in a moment."""
    found = Preloaded({**os.environ, **FIXED}, tmp_path_factory.mktemp("preloaded"))
    yield found
    found.close()


@pytest.fixture
def steps(tmp_path, initialised_store, preloaded):
    folder = tmp_path / "work"
    folder.mkdir()
    shutil.copy(initialised_store, folder / "mlflow.db")
    environ = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "DLOPS_HOME": str(tmp_path / "home"),
        **FIXED,
    }
    found = Steps(folder, environ, preloaded)
    yield found
    assert not [run for run in found.runs() if run.info.status == "RUNNING"], "a run was left open"
