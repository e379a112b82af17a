"""`dlops cancel RUN`: end a run, wherever it runs."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri
from dlops.project import plan
from dlops.project.runs import Runs

RunId = Annotated[
    str,
    typer.Argument(metavar="RUN", help="A run's id, or the beginning of one.", autocompletion=completion.runs),
]


def cancel(run: RunId, tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """End a run and everything it started, and wait until it has ended."""
    ended = Runs(plan.tracking_uri(tracking_uri)).cancel(run)
    if json:
        console.print_json(dataclasses.asdict(ended))
    else:
        console.out().print(f"Run {ended.run_id} is {ended.status}.")
