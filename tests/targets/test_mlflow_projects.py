"""A backend that somebody else's package brings works by its name, and is told apart from ours."""

from __future__ import annotations

import sys

import pytest

from dlops.errors import UnreachableError, UsageError
from dlops.targets import mlflow_projects, names
from dlops.targets.mlflow_projects import MlflowProjects
from tests.targets.here import quietly

BACKEND = """
import subprocess
import mlflow
from mlflow.projects.backend.abstract_backend import AbstractBackend
from mlflow.projects.submitted_run import LocalSubmittedRun

class Backend(AbstractBackend):
    def run(self, project_uri, entry_point, params, version, backend_config, tracking_uri, experiment_id):
        if backend_config.get("queue") == "closed":
            raise ValueError("the queue is closed")
        run = mlflow.MlflowClient(tracking_uri).create_run(experiment_id)
        words = ["sh", "-c", f"sleep {params.get('seconds', 0)}; exit {params.get('code', 0)}"]
        return LocalSubmittedRun(run.info.run_id, subprocess.Popen(words, start_new_session=True))
"""


@pytest.fixture
def theirs(tmp_path, monkeypatch):
    """A package of somebody's, with a backend `slurm`."""
    place = tmp_path / "site"
    (place / "slurm-1.dist-info").mkdir(parents=True)
    (place / "slurm-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: slurm\nVersion: 1\n")
    (place / "slurm-1.dist-info/entry_points.txt").write_text("[mlflow.project_backend]\nslurm = their_slurm:Backend\n")
    (place / "their_slurm.py").write_text(BACKEND)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.chdir(tmp_path)
    yield
    sys.modules.pop("their_slurm", None)


@pytest.fixture
def launched(theirs, job, tmp_path, client, monkeypatch):
    (tmp_path / "project/MLproject").write_text("entry_points: {main: {command: 'true'}}\n")

    def launch(config=None, **params):
        return MlflowProjects("slurm", "slurm", config or {}).start(job("true", params=params), quietly)

    yield launch
    import mlflow

    mlflow.set_tracking_uri(None)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_it_is_a_target_by_its_name(theirs, tmp_path):
    assert "slurm" in mlflow_projects.installed()
    assert not [name for name in mlflow_projects.installed() if name.startswith("dlops-")]
    target = names.named("slurm")
    assert (type(target), target.name, target.here) == (MlflowProjects, "slurm", False)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/targets.yaml").write_text("night: {kind: mlflow, backend: slurm, config: {queue: [a, 1]}}\n")
    assert names.named("night")._config == {"queue": ["a", 1]}
    assert names.clusters("night") == []


@pytest.mark.parametrize(("code", "status", "exit_code"), [("0", "FINISHED", 0), ("3", "FAILED", 1)])
def test_a_run_from_its_launch_to_its_end(launched, client, code, status, exit_code):
    first, last = launched(code=code).events()
    assert first["event"] == "started"
    assert (last["event"], last["status"], last["exit_code"]) == ("ended", status, exit_code)
    run = client.get_run(first["run_id"])
    assert (run.info.status, run.data.tags["dlops.target"], run.data.tags["dlops.step"]) == (
        status,
        "slurm",
        "finetune",
    )


def test_it_is_ended_when_that_is_asked(launched, client):
    run = launched(seconds="600")
    events = run.events()
    run_id = next(events)["run_id"]
    run.terminate()
    (last,) = events
    assert last["status"] in ("FAILED", "KILLED")
    assert client.get_run(run_id).info.status == last["status"]


def test_what_it_refuses_is_told(launched):
    with pytest.raises(UnreachableError, match="MLflow's backend slurm did not take the project: the queue is closed"):
        launched({"queue": "closed"})


def test_secrets_are_not_handed_to_it(theirs, job):
    found = MlflowProjects("slurm", "slurm", {}).problems(job("true", params={"api_key": "***", "epochs": "2"}))
    assert found == ["MLflow's backend slurm would log api_key, a secret"]


def test_kubernetes_is_told_with_its_limits(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="takes projects with docker_env only"):
        names.named("kubernetes")
