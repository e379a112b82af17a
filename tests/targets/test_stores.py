"""A tracking store that a job elsewhere reaches, and those that it does not."""

from __future__ import annotations

import os

import pytest

from dlops.targets import stores

SECRET = "hunter2-secret"


@pytest.fixture
def bare(monkeypatch):
    """No variable says who we are."""
    for name in list(os.environ):
        if name.startswith(("DATABRICKS_", "MLFLOW_")):
            monkeypatch.delenv(name)
    return monkeypatch


def test_a_store_of_this_machine_is_refused_with_the_way_on(far):
    for uri in ("sqlite:////x/mlflow.db", "sqlite+pysqlite:////x.db", "file:///x", "/x/mlruns"):
        (problem,) = stores.problems(uri, far, {})
        assert "is on this machine" in problem
        assert "--tracking-uri http://HOST:PORT" in problem
    assert stores.problems("postgresql://h/d", far, {}) == []


def test_a_loopback_is_another_one_there(far):
    assert stores.problems("http://127.0.0.1:5000", far, {}) == []
    far.on_loopback = False
    (problem,) = stores.problems("http://me:hunter2@127.0.0.1:5000", far, {})
    assert "own name for itself" in problem
    assert "hunter2" not in problem
    assert stores.problems("http://mlflow:5000", far, {}) == []
    for uri in ("http://0.0.0.0:5000", "postgresql:///db", "http://localhost", "http://127.1.2.3", "http://[::1]:5000"):
        assert stores.problems(uri, far, {}), uri
    for uri in ("mssql+pyodbc:///?odbc_connect=Server%3Dh", "postgresql:///db?host=h", "http://0.example.org"):
        assert stores.problems(uri, far, {}) == [], uri


def test_a_workspace_lets_in_who_has_its_variables(far, bare):
    (problem,) = stores.problems("databricks", far, {})
    assert "DATABRICKS_HOST with DATABRICKS_TOKEN" in problem
    bare.setenv("DATABRICKS_HOST", "https://w")
    assert stores.problems("databricks", far, {})
    bare.setenv("DATABRICKS_TOKEN", SECRET)
    assert stores.problems("databricks", far, {}) == []
    assert stores.variables("databricks", far) == {"DATABRICKS_HOST": "https://w", "DATABRICKS_TOKEN": SECRET}
    assert stores.variables("http://h", far) == {}


def test_a_registry_is_reached_as_a_store_is(far, bare):
    bare.setenv("MLFLOW_REGISTRY_URI", "databricks-uc")
    (problem,) = stores.problems("http://h", far, {})
    assert "DATABRICKS_HOST with DATABRICKS_TOKEN" in problem
    bare.setenv("DATABRICKS_HOST", "https://w")
    bare.setenv("DATABRICKS_TOKEN", SECRET)
    assert stores.problems("http://h", far, {}) == []
    assert stores.variables("http://h", far)["DATABRICKS_TOKEN"] == SECRET
    bare.setenv("MLFLOW_REGISTRY_URI", "http://127.0.0.1:5001")
    far.on_loopback = False
    (problem,) = stores.problems("http://h", far, {})
    assert "the model registry http://127.0.0.1:5001 is this machine's own name" in problem


def test_what_the_target_gives_its_jobs_counts(far, bare):
    given = {"DATABRICKS_HOST": "https://w", "DATABRICKS_TOKEN": SECRET}
    assert stores.problems("databricks", far, given) == []


def test_a_job_in_the_workspace_is_let_in_by_it(far, bare):
    far.is_workspace = True
    bare.setenv("DATABRICKS_TOKEN", SECRET)
    assert stores.problems("databricks", far, {}) == []
    assert stores.variables("databricks", far) == {}
    (problem,) = stores.problems("databricks://work", far, {})
    assert "--tracking-uri databricks" in problem


def test_credentials_of_a_tracking_server_travel_with_the_job(far, bare):
    bare.setenv("MLFLOW_TRACKING_TOKEN", SECRET)
    bare.setenv("MLFLOW_EXPERIMENT_NAME", "x")
    assert stores.variables("https://mlflow.example.org", far) == {"MLFLOW_TRACKING_TOKEN": SECRET}
    assert stores.variables("postgresql://x", far) == {}


@pytest.mark.parametrize(
    ("registry", "goes"),
    [("http://h:5000", True), ("databricks-uc", True), ("databricks-uc://work", False), ("sqlite:///x.db", False)],
)
def test_a_model_registry_of_its_own_is_the_same_there(far, bare, registry, goes):
    bare.setenv("MLFLOW_REGISTRY_URI", registry)
    assert stores.variables("http://h", far) == ({"MLFLOW_REGISTRY_URI": registry} if goes else {})


@pytest.mark.parametrize(
    ("tracking", "registry"),
    [
        ("databricks", "databricks-uc"),
        ("databricks://work", "databricks-uc://work"),
        ("http://h", "http://h"),
        ("sqlite:///x.db", "sqlite:///x.db"),
    ],
)
def test_the_registry_is_the_one_that_mlflow_takes(tracking, registry):
    from mlflow.tracking._model_registry.utils import _get_default_registry_uri_for_tracking_uri

    assert stores.registry(tracking) == registry
    assert _get_default_registry_uri_for_tracking_uri(tracking) == registry
