from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

from dlops.errors import StepFailed
from dlops.ml import checkpoint_artifacts, checkpoints, record
from tests import servers


def keep(name, series="seed-0-"):
    """Write a checkpoint that holds its own name."""
    with checkpoint_artifacts.writing(series, name) as file:
        checkpoints.write({"name": name}, file)
    return file


def kept():
    client, run_id = mlflow.MlflowClient(), mlflow.active_run().info.run_id
    return [Path(file.path).name for file in client.list_artifacts(run_id, checkpoint_artifacts.FOLDER)]


def found(run_id, series="seed-0-"):
    with checkpoint_artifacts.newest(run_id, series) as file:
        return checkpoints.read(file)["name"] if file else None


def folder(run):
    return Path(record.place(checkpoint_artifacts.FOLDER).removeprefix("file://"))


def test_the_last_two_of_a_series_stay(run):
    for number in range(1, 4):
        keep(f"{number:08d}", series="seed-1-")
        keep(f"{number:08d}", series="seed-10-")
        keep(f"{number:08d}")
    keep("finished")
    assert kept() == [
        *("seed-0-00000003.safetensors", "seed-0-finished.safetensors"),
        *("seed-1-00000002.safetensors", "seed-1-00000003.safetensors"),
        *("seed-10-00000002.safetensors", "seed-10-00000003.safetensors"),
    ]


def test_where_artifacts_are_files_it_is_written_among_them(run):
    assert keep("00000001").parent == folder(run)
    assert [file.name for file in folder(run).iterdir()] == ["seed-0-00000001.safetensors"]


def test_an_interrupted_one_leaves_the_others_as_they_were(run):
    for number in (1, 2):
        keep(f"{number:08d}")
    with pytest.raises(ValueError, match="cut"), checkpoint_artifacts.writing("seed-0-", "00000003"):
        raise ValueError("cut")
    assert kept() == ["seed-0-00000001.safetensors", "seed-0-00000002.safetensors"]


def test_other_processes_write_nothing(run, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    with checkpoint_artifacts.writing("seed-0-", "00000001"):
        pass
    assert kept() == []


def test_the_newest_of_the_series_is_found_and_told(run, capsys):
    for name in ("00000009", "00000010"):
        keep(name)
    keep("00000099", series="seed-1-")
    assert found(run.info.run_id) == "00000010"
    assert f"seed-0-00000010.safetensors of run {run.info.run_id}" in capsys.readouterr().out
    keep("finished")
    assert found(run.info.run_id) == "finished"


def test_damaged_ones_are_passed_over_and_told(run, capsys):
    for name in ("00000001", "00000002"):
        keep(name)
    (folder(run) / "seed-0-00000002.safetensors").write_bytes(b"cut")
    (folder(run) / "seed-0-00000003.safetensors.99").write_bytes(b"half written")
    assert found(run.info.run_id) == "00000001"
    assert "seed-0-00000002.safetensors of run" in capsys.readouterr().out
    (folder(run) / "seed-0-00000001.safetensors").write_bytes(b"")
    assert found(run.info.run_id) is None
    assert f"Run {run.info.run_id} has no whole checkpoint of seed-0: this training begins" in capsys.readouterr().out


def test_without_one_that_of_the_run_before_is_taken(run):
    keep("00000007")
    before = run.info.run_id
    for _ in range(2):
        with mlflow.start_run(nested=True) as later:
            record.tag("resumed_from", before)
            before = later.info.run_id
    assert found(before) == "00000007"
    assert found(before, series="seed-1-") is None


def test_runs_that_name_each_other_end(run, capsys):
    record.tag("resumed_from", run.info.run_id)
    assert found(run.info.run_id) is None
    capsys.readouterr()
    assert found("") is None
    assert capsys.readouterr().out == "", "nothing was to be resumed"


def test_an_unknown_run_is_told_with_its_name(run):
    with pytest.raises(StepFailed, match=f"The run {'f' * 32} cannot be read"):
        found("f" * 32)


@pytest.fixture
def server(tmp_path, initialised_store):
    """MLflow's own server, which keeps artifacts where this process sees no files; it ends with the test."""
    with servers.tracking(tmp_path / "server", initialised_store) as served:
        mlflow.set_tracking_uri(served.uri)
        yield served
        mlflow.set_tracking_uri(None)


def test_a_store_elsewhere_gets_and_gives_them(server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    mlflow.set_experiment("elsewhere")
    run = mlflow.start_run()
    try:
        assert found(run.info.run_id) is None
        for number in range(1, 4):
            file = keep(f"{number:08d}")
            assert not file.exists(), "it was but sent from there"
        assert kept() == ["seed-0-00000002.safetensors", "seed-0-00000003.safetensors"]
        assert found(run.info.run_id) == "00000003"
        (damaged,) = server.artifacts.rglob("seed-0-00000003.safetensors")
        damaged.write_bytes(b"cut")
        assert found(run.info.run_id) == "00000002"
        server.stop()
        with pytest.raises(StepFailed, match=r"seed-0-00000004\.safetensors cannot be kept"):
            keep("00000004")
        with pytest.raises(StepFailed, match=f"The run {run.info.run_id} cannot be read"):
            found(run.info.run_id)
        assert list(tmp_path.glob("dlops-*")) == []
    finally:
        mlflow.tracking.fluent._active_run_stack.get().clear()  # nobody is there to hear of its end
