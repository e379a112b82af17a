"""What is kept of a pipeline in the tracking store: with each step's run what it gave, with its own how it went."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence

from dlops.project.outcome import Outcome
from dlops.project.pipeline import outputs, picture
from dlops.project.pipeline.finished import Store
from dlops.project.pipeline.progress import StepProgress
from dlops.project.pipeline.results import Result
from dlops.worker import tracking

SUMMARY = "summary.json"
_PATIENCE = 60.0


def manifest(store: Store, outcome: Outcome) -> None:
    """Keep what the outputs' files are, so that damage is noticed; without it, only that they are there is."""
    with contextlib.suppress(outputs.GoneError, tracking.Unreachable):
        if not (held := outputs.manifest(store.client, outcome.outputs)):
            return
        text = json.dumps(held)
        tracking.patiently(lambda: store.client.log_text(outcome.run_id, text, outputs.ARTIFACT), seconds=_PATIENCE)


def summary(store: Store, run_id: str, steps: Sequence[StepProgress], results: Mapping[str, Result]) -> None:
    """Keep with the pipeline's run what became of its steps, and what they gave."""
    from mlflow.entities import Metric, RunTag

    documents = [step.document() for step in steps]
    client, now = store.client, int(time.time() * 1000)
    values = {f"{name}/{metric}": value for name, result in results.items() for metric, value in result.metrics.items()}
    metrics = [
        Metric(name, value, now, 0)
        for name, value in values.items()
        if not name.partition("/")[2].startswith("system/")
    ]
    tags = [
        RunTag(f"dlops.output.{name}.{output}", value)
        for name, result in results.items()
        for output, value in result.outputs.items()
    ]

    def keep() -> None:
        for start in range(0, len(metrics), 1000):
            client.log_batch(run_id, metrics=metrics[start : start + 1000])
        for start in range(0, len(tags), 100):
            client.log_batch(run_id, tags=tags[start : start + 100])
        client.log_text(run_id, json.dumps({"steps": documents}, indent=2), SUMMARY)
        for name, text in picture.files(documents).items():
            client.log_text(run_id, text, name)

    with contextlib.suppress(tracking.Unreachable):  # the steps' own runs have it all
        tracking.patiently(keep, seconds=_PATIENCE)
