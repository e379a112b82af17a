"""MLflow's own command launches on our targets, and is told the truth."""

from __future__ import annotations

import os

import pytest
from mlflow.exceptions import MlflowException
from mlflow.projects.backend import loader

from dlops.project import mlflow_backend
from dlops.targets import stores
from dlops.targets.remote import Remote
from tests.project.test_source import Repository
from tests.targets.conftest import far  # noqa: F401 - a fixture

PROJECT = """
name: theirs
entry_points:
  main:
    parameters: {times: {type: int, default: 1}, code: {type: int, default: 0}}
    command: "echo ran {times}; exit {code}"
"""


@pytest.fixture
def backend(tmp_path, far, client, monkeypatch):  # noqa: F811
    """The backend, with a target `gpu` that is this machine."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    work = Repository(tmp_path / "theirs")
    work.commit(MLproject=PROJECT)
    monkeypatch.setattr(mlflow_backend.names, "kind", lambda name: {"gpu": "ray", "local": "local"}.get(name, ""))
    target = Remote(far, shared=("/",), variables={})
    monkeypatch.setattr(stores, "problems", lambda *known: [])
    monkeypatch.setattr(mlflow_backend.names, "named", lambda name, step: target)
    return loader.load_backend("dlops-ray")


def launched(backend, tmp_path, store, config, **params):
    folder = str(tmp_path / "theirs")
    return backend.run(folder, "main", params, None, {"ENV_MANAGER": "local", **config}, store, "0")


def test_mlflow_finds_them_by_their_names(backend):
    assert isinstance(loader.load_backend("dlops-databricks"), mlflow_backend.Databricks)
    assert isinstance(backend, mlflow_backend.Ray)


def test_a_run_from_its_launch_to_its_end(backend, tmp_path, store, client, capsys):
    submitted = launched(backend, tmp_path, store, {"target": "gpu"}, times=3)
    assert submitted.wait() is True
    assert "ran 3" in capsys.readouterr().out
    run = client.get_run(submitted.run_id)
    assert (run.info.status, run.data.params["times"], run.info.experiment_id) == ("FINISHED", "3", "0")
    assert submitted.get_status() == "FINISHED"


def test_one_that_fails_has_failed(backend, tmp_path, store, client):
    submitted = launched(backend, tmp_path, store, {"target": "gpu"}, code=7)
    assert submitted.wait() is False
    assert client.get_run(submitted.run_id).data.tags["dlops.exit_code"] == "7"


@pytest.mark.parametrize(
    ("config", "params", "said"),
    [
        ({}, {}, "Name a target of kind ray"),
        ({"target": "local"}, {}, "Name a target of kind ray"),
        ({"target": "gpu"}, {"time": 3}, "did you mean 'times'"),
    ],
)
def test_what_is_wrong_is_told_and_starts_nothing(backend, tmp_path, store, client, config, params, said):
    with pytest.raises(MlflowException, match=said):
        launched(backend, tmp_path, store, config, **params)
    assert client.search_runs(["0"]) == []
