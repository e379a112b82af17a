"""Whatever becomes of what a run has given is noticed: a table's file, a model's, a report."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dlops.data import tables
from dlops.project.pipeline import outputs
from tests.data.test_tables import ROWS


@pytest.fixture
def given(client, tmp_path):
    """What a run gives, the folder or file of each; and the run."""
    run_id = client.create_run("0").info.run_id
    client.log_text(run_id, "<html>good</html>", "report/page.html")
    client.log_text(run_id, "one", "single.txt")
    artifacts = place(client.get_run(run_id).info.artifact_uri)
    model = client.create_logged_model("0", name="model", source_run_id=run_id)
    weights = place(model.artifact_location)
    (weights / "data").mkdir(parents=True)
    (weights / "MLmodel").write_text("flavors: {}")
    (weights / "data/weights").write_bytes(b"x" * 100_000)
    tables.write(str(tmp_path / "table"), ROWS, {})
    (tmp_path / "answers.csv").write_text("text\n")
    client.set_terminated(run_id)
    values = {
        "model": f"models:/{model.model_id}",
        "report": f"runs:/{run_id}/report",
        "single": f"runs:/{run_id}/single.txt",
        "dataset": f"{tmp_path}/table@0",
        "predictions": f"{tmp_path}/answers.csv",
        "verdict": "passed",
    }
    (part,) = (tmp_path / "table").glob("*.parquet")
    places = {
        "model": weights / "data/weights",
        "report": artifacts / "report/page.html",
        "single": artifacts / "single.txt",
        "dataset": part,
        "predictions": tmp_path / "answers.csv",
    }
    return values, places, run_id


def place(uri):
    return Path(urlsplit(uri).path)


def test_what_is_as_it_was_is_no_damage(client, given):
    values, places, _ = given
    kept = outputs.read(json.dumps(outputs.manifest(client, values)))
    assert set(kept) == set(places)
    assert kept["model"].keys() == {"MLmodel", "data/weights"}
    assert outputs.damage(client, values, kept) == ""
    tables.write(values["dataset"].removesuffix("@0"), {**ROWS, "label": ["x", "x"]}, {})
    assert outputs.damage(client, values, kept) == "", "a later version leaves this one as it was"


@pytest.mark.parametrize("name", ["model", "report", "single", "dataset", "predictions"])
def test_a_file_that_is_another_or_gone_is_noticed(client, given, name):
    values, places, _ = given
    kept = outputs.manifest(client, values)
    file, content = places[name], places[name].read_bytes()
    file.write_bytes(b"y" + content[1:])
    assert outputs.damage(client, values, kept).startswith(f"its {name} is damaged: ")
    file.write_bytes(content)
    assert outputs.damage(client, values, kept) == ""
    file.unlink()
    told = outputs.damage(client, values, kept)
    assert told.startswith((f"its {name} is damaged: ", f"its {name} is gone: "))


@pytest.mark.parametrize("name", ["model", "report", "dataset"])
def test_a_folder_that_is_gone_is_noticed_without_a_manifest(client, given, name):
    values, places, _ = given
    folder = {"model": places["model"].parents[1]}.get(name, places[name].parent)
    shutil.rmtree(folder)
    assert outputs.damage(client, values, {}).startswith(f"its {name} is gone: ")


def test_what_the_store_has_deleted_is_noticed(client, given):
    values, _, run_id = given
    client.delete_logged_model(values["model"].removeprefix("models:/"))
    assert outputs.damage(client, {"model": values["model"]}, {}) == f"its model is gone: {values['model']} was deleted"
    client.create_registered_model("films")
    client.create_model_version("films", source="s3://models/1", run_id=run_id)
    assert outputs.damage(client, {"version": "models:/films/1"}, {}) == ""
    client.delete_model_version("films", "1")
    assert outputs.damage(client, {"version": "models:/films/1"}, {}).startswith("its version is gone")


@pytest.mark.parametrize("text", ["", "[]", "null", '{"a": 1}', '{"a": {"b": 1}}'])
def test_a_manifest_that_cannot_be_read_says_nothing(text):
    assert outputs.read(text) == {}


def test_files_of_a_bucket_are_told_by_its_list(client, monkeypatch):
    import fsspec

    bucket = fsspec.filesystem("memory")
    for name in ("weights.bin", "deep/labels.json"):
        bucket.pipe(f"/models/{name}", b"one")
    values = {"model": "memory://models", "url": "http://127.0.0.1:9/page", "job": "odd://x/y"}
    kept = outputs.manifest(client, values)
    assert kept["model"].keys() == {"memory:///models/weights.bin", "memory:///models/deep/labels.json"}
    assert outputs.damage(client, values, kept) == ""
    bucket.pipe("/models/weights.bin", b"two")
    told = "its model is damaged: memory:///models/weights.bin is "
    assert outputs.damage(client, values, kept) == f"{told}another"
    bucket.rm("/models/weights.bin")
    assert outputs.damage(client, values, kept) == f"{told}missing"
    assert outputs.damage(client, values, {}) == "", "what could never be asked for"

    def away(*_words, **_more):
        raise OSError("the store is away")

    monkeypatch.setattr(type(bucket), "find", away)
    assert outputs.damage(client, values, kept) == "", "which is no sign of damage"
    assert outputs.manifest(client, values) == {}
