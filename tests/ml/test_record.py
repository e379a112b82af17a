from __future__ import annotations

import contextlib
import json
import threading
import time

import mlflow
import pytest
from matplotlib.figure import Figure

from dlops.ml import record


def fetched(run):
    return mlflow.get_run(run.info.run_id)


def test_an_output_is_a_tag_that_other_runs_can_read(run):
    record.output("dataset", "/tables/reviews@3")
    assert fetched(run).data.tags["dlops.output.dataset"] == "/tables/reviews@3"
    assert record.output_of(run.info.run_id, "dataset") == "/tables/reviews@3"
    assert record.output_of(run.info.run_id, "model") is None


def test_metrics_keep_their_step(run):
    record.metrics({"val_loss": 0.5, "rows": 3}, step=2)
    history = mlflow.MlflowClient().get_metric_history(run.info.run_id, "val_loss")
    assert [(metric.value, metric.step) for metric in history] == [(0.5, 2)]
    assert fetched(run).data.metrics["rows"] == 3


def test_a_dataset_carries_digest_source_and_version(run):
    given = {"name": "reviews", "uri": "/tables/reviews", "version": 3, "digest": "a" * 32}
    record.dataset(**given, context="training", synthetic=True)
    found = fetched(run).inputs.dataset_inputs[0]
    assert (found.dataset.name, found.dataset.digest) == ("reviews", "a" * 32)
    assert json.loads(found.dataset.source) == {"path": "/tables/reviews", "delta_table_version": 3}
    assert {tag.key: tag.value for tag in found.tags} == {
        "mlflow.data.context": "training",
        "version": "3",
        "synthetic": "true",
    }


def test_documents_texts_and_pictures_are_artifacts(run):
    record.document("figures.json", {"größe": 1})
    record.text("story.md", "# Story\n")
    record.picture("picture.png", Figure())
    names = {file.path for file in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert names == {"figures.json", "story.md", "picture.png"}
    assert "größe" in mlflow.artifacts.load_text(f"runs:/{run.info.run_id}/figures.json")


def test_without_a_run_it_is_a_bug():
    with pytest.raises(RuntimeError, match="no MLflow run is open"):
        record.metrics({"rows": 1})


def system(run):
    return {name for name in fetched(run).data.metrics if name.startswith("system/")}


def test_the_use_of_the_machine_is_logged_meanwhile(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    deadline = time.monotonic() + 30
    with record.system_metrics():
        while not system(run):
            assert time.monotonic() < deadline
            time.sleep(0.1)
    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_megabytes"} <= system(run)
    assert watchers() == []


def watchers():
    return [thread for thread in threading.enumerate() if thread.name == "SystemMetricsMonitor"]


def test_a_failure_ends_the_watch_too(run, monkeypatch):
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    found = []
    with contextlib.suppress(ZeroDivisionError), record.system_metrics():
        found.extend(watchers())
        raise ZeroDivisionError
    assert len(found) == 1
    assert watchers() == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "false"),
        ("MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING", "true"),
        ("LOCAL_RANK", "1"),
    ],
)
def test_where_mlflow_was_told_or_another_process_speaks_nothing_watches(run, monkeypatch, name, value):
    """MLflow itself watches, where it was told to, the runs that it starts."""
    monkeypatch.setenv(name, value)
    with record.system_metrics():
        assert watchers() == []
