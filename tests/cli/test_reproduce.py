"""`dlops reproduce`: what a run did once more, its figures beside those of then."""

from __future__ import annotations

import pytest

PROJECT = """
name: figures
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
    command: "python figures.py {epochs}"
"""
STEP = """
import os, pathlib, sys, time
from dlops.worker import tracking
client = tracking.connect(os.environ["MLFLOW_TRACKING_URI"])
told = pathlib.Path(os.environ["DLOPS_HOME"], "accuracy").read_text()
client.log_metric(os.environ["MLFLOW_RUN_ID"], "accuracy", float(told))
client.log_metric(os.environ["MLFLOW_RUN_ID"], "train_seconds", time.time())
"""


@pytest.fixture
def measured(shell, initialised_store, tmp_path):
    """Launch a run that measures what it is told; gives its id."""
    (shell.folder / "MLproject").write_text(PROJECT)
    (shell.folder / "figures.py").write_text(STEP)
    shell.database.write_bytes(initialised_store.read_bytes())
    (tmp_path / "home").mkdir(exist_ok=True)
    (tmp_path / "home/accuracy").write_text("0.75")
    return shell.json("finetune", "epochs=3", "--uri", ".")["run_id"]


def test_each_metric_stands_beside_that_of_then(shell, measured, tmp_path):
    (tmp_path / "home/accuracy").write_text("0.5")
    document = shell.json("reproduce", measured, "--uri", ".")
    assert document["reproduces"] == measured
    (accuracy,) = [one for one in document["compared"] if one["metric"] == "accuracy"]
    assert accuracy == {"metric": "accuracy", "before": 0.75, "now": 0.5, "difference": -0.25}
    refused = shell.run("reproduce", measured, "--uri", ".", "--within", "0.2", exit_code=3)
    assert "1 metrics differ by more than 0.2: accuracy." in refused.stderr
    (tmp_path / "home/accuracy").write_text("0.75")
    good = shell.run("reproduce", measured, "--uri", ".", "--within", "0")
    assert "equal" in good.stdout


def test_a_run_that_did_not_finish_is_nothing_to_reproduce(shell, measured, tmp_path):
    (tmp_path / "home/accuracy").unlink()
    shell.run("finetune", exit_code=4)
    failed = shell.json("status", "-n", "1")[0]["run_id"]
    assert "there is nothing to reproduce" in shell.run("reproduce", failed, exit_code=2).stderr
