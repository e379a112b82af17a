"""Names that Databricks would refuse are told before anything is sent there."""

from __future__ import annotations

import pytest

from dlops.project import databricks_names


@pytest.fixture(autouse=True)
def _no_registry(monkeypatch):
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)


@pytest.mark.parametrize("uri", ["databricks", "databricks://work"])
def test_experiments_have_absolute_paths(uri):
    (problem,) = databricks_names.problems(uri, "films", {})
    assert "--experiment /Users/NAME/films" in problem
    assert databricks_names.problems(uri, "/Shared/films", {}) == []


def test_models_of_unity_catalog_have_three_parts():
    def said(value):
        return databricks_names.problems("databricks", "/films", {"model": value})

    (problem,) = said("models:/films@champion")
    assert "model=models:/films@champion" in problem
    assert "models:/CATALOG.SCHEMA.films" in problem
    assert said("models:/a.b/3")
    assert said("models:/a..b/3")
    for value in ("models:/main.ml.films@champion", "models:/main.ml.films/3", "models:/m-0123", "films", ""):
        assert said(value) == []


def test_other_registries_have_names_of_their_own(monkeypatch):
    values = {"model": "models:/films@champion"}
    assert databricks_names.problems("http://h", "films", values) == []
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks")
    assert databricks_names.problems("databricks", "/films", values) == []
    monkeypatch.setenv("MLFLOW_REGISTRY_URI", "databricks-uc://work")
    assert len(databricks_names.problems("http://h", "films", values)) == 1
