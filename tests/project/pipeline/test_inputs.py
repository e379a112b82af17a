"""A model or a dataset is told by what it is: its content, its id, its commit."""

from __future__ import annotations

from importlib import metadata

import pytest

from dlops.data import tables
from dlops.project.pipeline import inputs
from tests.data import hub_server
from tests.data.test_tables import ROWS


@pytest.fixture
def run(client):
    """Make a run with outputs."""

    def of(**outputs):
        tags = {f"dlops.output.{name}": value for name, value in outputs.items()}
        run_id = client.create_run("0", tags=tags).info.run_id
        client.set_terminated(run_id)
        return run_id

    return of


def test_files_are_their_content(tmp_path):
    (tmp_path / "a").write_text("1")
    (tmp_path / "b").write_text("1")
    states = {inputs.state(None, kind, str(tmp_path / name)) for kind in ("path", "location") for name in "ab"}
    assert len(states) == 1


def test_the_dataset_of_a_run_is_its_table(client, run, tmp_path):
    uri = str(tmp_path / "table")
    digest = tables.write(uri, ROWS, {}).digest
    first, second = run(dataset=f"{uri}@0"), run(dataset=f"{uri}@0")
    for name in (f"runs:/{first}/dataset", f"runs:/{second}/dataset", uri):
        assert inputs.state(client, "dataset", name) == digest


def test_a_model_is_the_one_that_its_run_has_logged(client, run):
    run_id = run(model="models:/m-1")
    assert inputs.state(client, "model", f"runs:/{run_id}/model") == "models:/m-1"
    assert inputs.state(client, "model", f"runs:/{run_id}/other") == f"runs:/{run_id}/other"
    assert inputs.state(client, "model", "models:/m-1") == "models:/m-1"


def test_an_alias_is_the_version_that_it_names(client):
    client.create_registered_model("films")
    for _ in range(2):
        client.create_model_version("films", source="s3://models/1")
    client.set_registered_model_alias("films", "champion", "1")
    first = inputs.state(client, "model", "models:/films@champion")
    assert inputs.state(client, "model", "models:/films/1") == first
    client.set_registered_model_alias("films", "champion", "2")
    assert inputs.state(client, "model", "models:/films@champion") == inputs.state(client, "model", "models:/films/2")
    assert inputs.state(client, "model", "models:/films/2") != first


def test_latest_is_the_last_version_whatever_takes_it(client):
    client.create_registered_model("latest")
    first = client.create_model_version("latest", "/somewhere/1")
    before = inputs.state(client, "model", "models:/latest/latest")
    assert before == inputs.state(client, "path", f"models:/latest/{first.version}")
    client.create_model_version("latest", "/somewhere/2")
    assert inputs.state(client, "path", "models:/latest/latest") != before


def test_a_version_made_anew_is_another(client):
    states = set()
    for _ in range(2):
        client.create_registered_model("films")
        client.create_model_version("films", source="s3://models/1")
        states.add(inputs.state(client, "model", "models:/films/1"))
        client.delete_registered_model("films")
    assert len(states) == 2


def test_a_folder_is_its_content_and_a_package_its_version(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    (tmp_path / "model/weights").write_text("1")
    first = inputs.state(None, "model", str(tmp_path / "model"))
    (tmp_path / "model/weights").write_text("2")
    assert inputs.state(None, "model", str(tmp_path / "model")) != first
    assert inputs.state(None, "model", "package:pytest") == f"package:pytest {metadata.version('pytest')}"
    assert inputs.state(None, "model", "package:not-installed") == "package:not-installed "


def test_a_model_of_the_hub_is_its_commit(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with hub_server.running() as hub:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.uri)
        monkeypatch.setattr("huggingface_hub.hf_api.ENDPOINT", hub.uri, raising=False)
        hub.models["ann/tiny"] = hub_server.Repository()
        sha = hub.models["ann/tiny"].commit({"config.json": b"{}"}, "v1")
        assert inputs.state(None, "model", "ann/tiny") == inputs.state(None, "model", "ann/tiny@v1")
        assert sha in inputs.state(None, "model", "ann/tiny")
        with pytest.raises(inputs.UnknownError, match="does not say at which commit"):
            inputs.state(None, "model", "ann/none")
        assert inputs.state(None, "model", f"ann/none@{'a' * 40}") == f"ann/none@{'a' * 40}"


def test_what_is_not_there_is_not_known(client, tmp_path):
    tables.write(str(tmp_path / "table"), ROWS, {})
    for kind, value in {
        "dataset": f"{tmp_path}/table@7",
        "model": "models:/none/1",
        "location": f"runs:/{'0' * 32}/dataset",
    }.items():
        with pytest.raises(inputs.UnknownError):
            inputs.state(client, kind, value)
