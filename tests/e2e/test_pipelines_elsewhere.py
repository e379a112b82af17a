"""Pipelines with steps here, on a Ray cluster, and on Databricks; that of this very project on real reviews."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.conftest import REVIEWS, needs_reviews
from tests.e2e.test_pipelines import METRICS, NAMES, PROJECT, states
from tests.e2e.test_targets import places, ray  # noqa: F401 - fixtures
from tests.project.test_source import Repository
from tests.targets import databricks_workspace

pytestmark = pytest.mark.xdist_group("targets")

ROOT = Path(__file__).parents[2]
STEPS = ("ingest", "finetune", "evaluate", "explain", "register")
QUICK = (
    *("ingest.splits=0.6,0.1,0.3", "finetune.strategy=freeze", "finetune.epochs=1", "finetune.accelerator=cpu"),
    *("evaluate.rows=200", "evaluate.latency_rows=2", "explain.rows=4", "explain.trust_rows=4", "explain.max_evals=40"),
    *("register.rows=200",),
)


@pytest.fixture
def elsewhere(fresh_shell, places):  # noqa: F811
    """A shell in a folder that has targets and nothing else."""
    shell = fresh_shell
    shell.environ |= {"GIT_CONFIG_GLOBAL": os.devnull, "MLFLOW_TRACKING_URI": places.server.uri}
    shell.environ |= {"DATABRICKS_TOKEN": databricks_workspace.TOKEN}
    (shell.folder / "configs").mkdir()
    (shell.folder / "configs/targets.yaml").write_text(
        f"gpu: {{kind: ray, address: '{places.cluster.address}', cpus: 1, resources: {{worker: 1}}}}\n"
        f"dbx: {{kind: databricks, folder: /Volumes/main/ml/films, host: '{places.workspace.host}',"
        f" cluster: {databricks_workspace.CLUSTER}}}\n"
    )
    places.home = shell.environ["DLOPS_HOME"]
    yield shell
    assert not places.workspace.sent(), "what was sent is left"
    assert not [command for command in places.processes().values() if "worker.pyz" in command]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@needs_reviews
def test_real_reviews_go_from_a_git_remote_through_two_targets_to_a_registered_model(elsewhere, ray, tmp_path):  # noqa: F811
    shell, uri = elsewhere, f"file://{tmp_path}/dlops.git"
    subprocess.run(["git", "clone", "--quiet", "--bare", ROOT, tmp_path / "dlops.git"], check=True)
    where = ("--on", "finetune=gpu", "--on", "evaluate=dbx")
    words = ("run", "--uri", uri, f"ingest.source={REVIEWS}", *QUICK, *where)
    done = shell.json(*words, seconds=1500)
    assert {step["name"]: (step["state"], step["target"]) for step in done["steps"]} == {
        "ingest": ("finished", "local"),
        "finetune": ("finished", "gpu"),
        "evaluate": ("finished", "dbx"),
        "explain": ("finished", "local"),
        "register": ("finished", "local"),
    }
    assert done["metrics"]["ingest/rows"] > 2000
    assert done["metrics"]["evaluate/test_accuracy"] >= 0.7
    assert done["outputs"]["register.version"].startswith("models:/reviews/")
    commit = subprocess.check_output(["git", "rev-parse", "HEAD"], cwd=uri.removeprefix("file://"), text=True).strip()
    recorded = shell.json("status")
    assert {(run["commit"], run["project"], run["status"]) for run in recorded} == {(commit, uri, "FINISHED")}
    assert {run["step"] for run in recorded} == {"run", *STEPS}
    again = shell.json(*words)
    assert {step["name"]: step["state"] for step in again["steps"]} == dict.fromkeys(STEPS, "cached")
    assert again["outputs"] == done["outputs"]
    assert again["metrics"] == done["metrics"]


def running(shell, name, seconds=60.0):
    """Wait until a run of this name has begun to say something; give its id."""
    deadline = time.monotonic() + seconds
    while True:
        for run in shell.json("status"):
            if (run["name"], run["status"]) == (name, "RUNNING") and shell.run("logs", run["run_id"]).stdout:
                return run["run_id"]
        assert time.monotonic() < deadline, f"{name} does not run"


@pytest.mark.slow
@pytest.mark.parametrize("on", ["dbx", "gpu"])
@pytest.mark.parametrize("how", ["cancel", "kill"])
def test_a_step_elsewhere_ends_with_its_pipeline_which_is_resumed(elsewhere, places, request, on, how):  # noqa: F811
    if on == "gpu":
        request.getfixturevalue("ray")
    shell = elsewhere
    Repository(shell.folder).commit(**PROJECT)
    experiment = f"small-{on}-{how}"
    where = ("--experiment", experiment, "--on", f"second={on}")
    launched = shell.start("run", "second.seconds=200", *where, "--run-name", experiment)
    step = running(shell, "second")
    (pipeline,) = [run["run_id"] for run in shell.json("status") if run["name"] == experiment]
    if how == "cancel":
        assert shell.json("cancel", pipeline)["status"] == "KILLED"
    else:
        runner = [pid for pid, command in shell.processes().items() if "standby" in command and "pipeline" in command]
        os.kill(runner[0], signal.SIGKILL)
    _, err = launched.communicate(timeout=120)
    assert launched.returncode == (130 if how == "cancel" else 4), err
    deadline = time.monotonic() + 60
    while (ended := {run["run_id"]: run["status"] for run in shell.json("status")})[step] == "RUNNING":
        assert time.monotonic() < deadline, "it goes on without its pipeline"
    assert (ended[step], ended[pipeline]) == ("KILLED", "KILLED" if how == "cancel" else "FAILED")
    done = shell.json("resume", pipeline, "second.seconds=0")
    assert states(done) == dict(zip(NAMES, ("cached", "finished", "finished"), strict=True))
    assert next(each["target"] for each in done["steps"] if each["name"] == "second") == on
    assert done["metrics"] == METRICS
