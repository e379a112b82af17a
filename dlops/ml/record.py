"""What a step leaves on its MLflow run: outputs, tags, metrics, datasets and artifacts."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow.data.delta_dataset_source import DeltaDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import LoggedModelInput, Metric
from mlflow.types.schema import ColSpec, Schema

from dlops.data import scratch
from dlops.ml import ranks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OUTPUT = "dlops.output."
_inside = ""
"""Run that is recorded in instead of the one that is open."""


@ranks.first_only
def output(name: str, value: str) -> None:
    """Hand a value to the launcher and to later steps: the tag `dlops.output.NAME`."""
    mlflow.MlflowClient().set_tag(_run_id(), f"{_OUTPUT}{name}", value)


def output_of(run_id: str, name: str) -> str | None:
    """Give the output `name` of another run, or `None` if it has none.

    Raises:
        mlflow.exceptions.MlflowException: there is no such run, or the tracking server does not answer.
    """
    tags: dict[str, str] = mlflow.MlflowClient().get_run(run_id).data.tags
    return tags.get(f"{_OUTPUT}{name}")


@ranks.first_only
def tag(name: str, value: str, *, run_id: str | None = None) -> None:
    """Set the tag `dlops.NAME`; another thread than the one that opened the run must name it, or MLflow opens one."""
    mlflow.MlflowClient().set_tag(run_id or _run_id(), f"dlops.{name}", value)


def resolved(parameter: str, value: str) -> None:
    """Say what a parameter stood for, by a value that means the same tomorrow: a resumed run takes that.

    A copy that was fetched for this run alone is told as what it is a copy of.
    """
    tag(f"resolved.{parameter}", original(value))


def original(value: str) -> str:
    """Give the name of what a copy was fetched from for this run alone; of all else the name that it has."""
    origins: dict[str, str] = json.loads(os.environ.get("DLOPS_ORIGINS") or "{}")
    for copy, origin in origins.items():
        if value.startswith(copy):
            return origin + value.removeprefix(copy)
    return value


@ranks.first_only
def metrics(values: Mapping[str, float], *, step: int = 0) -> None:
    """Log figures in one request; MLflow's own call for one figure costs as much as this one for ninety."""
    now = int(time.time() * 1000)
    entries = [Metric(name, float(value), now, step) for name, value in values.items()]
    mlflow.MlflowClient().log_batch(_run_id(), metrics=entries)


@ranks.first_only
def dataset(
    *, name: str, uri: str, version: int, digest: str, context: str, synthetic: bool, labelled: bool = True
) -> None:
    """Log the data that the run made or read, as MLflow's dataset input: where, which version, which digest."""
    columns = Schema([ColSpec("string", name) for name in ("text", "label", "split") if labelled or name != "label"])
    source = DeltaDatasetSource(path=uri, delta_table_version=version)
    tags = {"version": str(version), "synthetic": "true" if synthetic else "false"}
    mlflow.log_input(MetaDataset(source, name=name, digest=digest, schema=columns), context=context, tags=tags)


@ranks.first_only
def model_input(model_id: str) -> None:
    """Log the model that the run builds on, as MLflow's model input; the fluent call would do so on Databricks only."""
    mlflow.MlflowClient().log_inputs(_run_id(), models=[LoggedModelInput(model_id)])


@ranks.first_only
def document(name: str, content: Mapping[str, Any]) -> None:
    """Keep a JSON document as the artifact `name`."""
    text(name, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


@ranks.first_only
def table(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Keep rows as the artifact `name` (JSON), which MLflow's UI shows as a table."""
    columns = {column: [row[column] for row in rows] for column in rows[0]}
    mlflow.MlflowClient().log_table(_run_id(), columns, name)


@ranks.first_only
def text(name: str, content: str) -> None:
    """Keep a text as the artifact `name`; MLflow's own call leaves a file behind where the process is killed."""
    with scratch.folder() as folder:
        written = folder / name
        written.write_text(content, encoding="utf-8")
        file(written)


@ranks.first_only
def picture(name: str, figure: Figure) -> None:
    """Keep a figure as the artifact `name` (a PNG)."""
    with scratch.folder() as folder:
        figure.savefig(folder / name, dpi=120)
        file(folder / name)


@ranks.first_only
def file(path: Path, folder: str | None = None) -> None:
    """Keep a file as an artifact of the same name, in a `folder` of the run's if one is named."""
    mlflow.MlflowClient().log_artifact(_run_id(), str(path), folder)


def place(name: str) -> str:
    """Give the URI of the artifact `name`."""
    return f"{mlflow.MlflowClient().get_run(_run_id()).info.artifact_uri}/{name}"


@contextmanager
def within(run_id: str) -> Iterator[None]:
    """Record in another run meanwhile, whichever thread does: one of this step's parts, that somebody else ends."""
    global _inside
    before, _inside = _inside, run_id
    try:
        yield
    finally:
        _inside = before


@contextmanager
def system_metrics() -> Iterator[None]:
    """Log use of processor, memory, disk, network and GPUs every 10 s meanwhile, unless MLflow was told yes or no."""
    from mlflow.environment_variables import MLFLOW_ENABLE_SYSTEM_METRICS_LOGGING as TOLD

    if TOLD.is_set() or not ranks.is_first():
        yield
        return
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(_run_id())
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def fail(run_id: str) -> None:
    """End a run as failed, from any thread, before the process ends without more ado."""
    mlflow.MlflowClient().set_terminated(run_id, "FAILED")


def run_id() -> str | None:
    """Give the id of the run that is recorded in: the one that this thread has open, or `None`."""
    if _inside:
        return _inside
    active = mlflow.active_run()
    return None if active is None else str(active.info.run_id)


def _run_id() -> str:
    found = run_id()
    if found is None:
        raise RuntimeError("no MLflow run is open: a step runs inside dlops.ml.step.main")
    return found
