"""Files of parameters: those of this machine, and artifacts of runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlops.errors import UsageError
from dlops.project import config_files


@pytest.fixture
def made(client, tmp_path, monkeypatch):
    """A run with an artifact `best.yaml`, in the store of the environment."""
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", client.tracking_uri)
    run = client.create_run("0", tags={"dlops.step": "tune"})
    client.log_text(run.info.run_id, "epochs: 3\n", "best.yaml")
    return run.info.run_id


def test_a_file_of_this_machine_is_itself(tmp_path):
    assert config_files.local(tmp_path / "x.yaml") == tmp_path / "x.yaml"
    assert config_files.local(Path("x.yaml")) == Path("x.yaml")


def test_an_artifact_of_a_run_is_fetched(made, client):
    file = config_files.local(Path(f"runs:/{made}/best.yaml"))
    assert file.read_text() == "epochs: 3\n"
    client.log_text(made, "epochs: 4\n", "best.yaml")
    again = config_files.local(Path(f"runs:/{made[:8]}/best.yaml"), client.tracking_uri)
    assert (again, again.read_text()) == (file, "epochs: 4\n")


def test_what_is_not_there_is_refused(made):
    with pytest.raises(UsageError, match=r"has no artifact worst\.yaml"):
        config_files.local(Path(f"runs:/{made}/worst.yaml"))
    with pytest.raises(UsageError, match="No run has the id"):
        config_files.local(Path("runs:/nothing/best.yaml"))
