"""`dlops logs [RUN]`: what a run printed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dlops.cli.options import TrackingUri
from dlops.cli.status import RunId
from dlops.project import plan
from dlops.project.runs import Runs

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")]


def logs(run: RunId = "", follow: Follow = False, tracking_uri: TrackingUri = "") -> None:
    """Print what a run printed (the latest, when none is named)."""
    runs = Runs(plan.tracking_uri(tracking_uri))
    for text in runs.log(run or runs.latest(), follow=follow):
        sys.stdout.write(text)
        sys.stdout.flush()
