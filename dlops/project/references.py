"""Which versions of which tables the runs of a tracking store refer to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from dlops.config import locations
from dlops.project.runs import Runs


@dataclass(frozen=True)
class Reference:
    """A run that made or read a version of a table."""

    run_id: str
    uri: str
    version: int | str
    """A number or a time (ISO 8601); when the run began, where it does not say which version it meant."""


def of_runs(tracking_uri: str) -> Iterator[Reference]:
    """Give what every run in a store refers to: by its parameters, its outputs, and the data that MLflow notes.

    Raises:
        UsageError, ConfigError: nothing was ever recorded there, or it is no tracking store.
        UnreachableError: it does not answer.
    """
    for run in Runs(tracking_uri).every():
        yield from _of_run(run)


def _of_run(run: Any) -> Iterator[Reference]:
    began = datetime.fromtimestamp(run.info.start_time / 1000, UTC).isoformat(timespec="milliseconds")
    values = {**run.data.params, "dataset output": run.data.tags.get("dlops.output.dataset", "")}
    for name, value in values.items():
        uri, version = locations.versioned(value)
        if version is not None or (name == "dataset" and value and not value.startswith("runs:")):
            yield Reference(run.info.run_id, uri, began if version is None else version)
    for entry in run.inputs.dataset_inputs if run.inputs else ():
        source = _read(entry.dataset.source)
        version = source.get("delta_table_version")
        if source.get("path") and version is not None:
            yield Reference(run.info.run_id, str(source["path"]), int(version))


def _read(text: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
