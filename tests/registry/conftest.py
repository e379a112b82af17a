"""What the tests of the registry share: real registries, with a model of some versions."""

from __future__ import annotations

import shutil

import pytest
from mlflow import MlflowClient


@pytest.fixture
def uri(tmp_path, initialised_store):
    shutil.copy(initialised_store, tmp_path / "mlflow.db")
    return f"sqlite:///{tmp_path}/mlflow.db"


@pytest.fixture
def client(uri):
    return MlflowClient(uri)


@pytest.fixture
def films(client):
    """A model called `films` with three versions."""
    client.create_registered_model("films")
    for number in range(3):
        client.create_model_version("films", source=f"s3://models/{number}")
    return client
