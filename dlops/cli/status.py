"""`dlops status [RUN]`: what runs, what ran, and how it ended."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated

import typer
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dlops.cli import console
from dlops.cli.options import AsJson, TrackingUri
from dlops.project import plan
from dlops.project.runs import Run, Runs

RunId = Annotated[str, typer.Argument(metavar="[RUN]", help="A run's id, or the beginning of one.", show_default=False)]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many of the latest runs to list.")]


def status(run: RunId = "", count: Count = 20, tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """List the latest runs, or tell all about one. Runs whose worker was killed are closed on the way."""
    runs = Runs(plan.tracking_uri(tracking_uri))
    if run:
        found = runs.one(run)
        console.print_json(dataclasses.asdict(found)) if json else console.out().print(_one(found))
        return
    recent = runs.recent(count)
    if json:
        console.print_json([dataclasses.asdict(found) for found in recent])
    elif recent:
        console.out().print(_many(recent))
    else:
        console.err().print("No run was launched here yet.")


def _many(runs: list[Run]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("run", "step", "status", "target", "age", "took", "progress"):
        table.add_column(heading, no_wrap=heading == "run")
    for run in runs:
        age = console.duration(time.time() - run.started)
        took = console.duration(run.duration_s)
        cells = (Text(run.target), Text(age), Text(took), Text(_progress(run)))
        table.add_row(run.run_id, Text(run.step), console.status_text(run.status), *cells)
    return table


def _one(run: Run) -> RenderableType:
    rows: list[tuple[str, RenderableType]] = [
        (
            run.step,
            Text.assemble(console.status_text(run.status), f" for {console.duration(run.duration_s)} on {run.target}"),
        ),
        ("run", run.run_id),
        ("name", run.name),
    ]
    rows += [("progress", text)] if (text := _progress(run)) else []
    rows += [(name, Text(value, "bold")) for name, value in run.outputs.items()]
    rows += [("parameters", console.pairs(run.params))] if run.params else []
    rows += [("metrics", console.pairs({k: console.number(v) for k, v in run.metrics.items()}))] if run.metrics else []
    rows += [("error", Text(run.error, "red"))] if run.error else []
    return Group(console.facts(rows))


def _progress(run: Run) -> str:
    if run.silent:
        return f"no sign for {console.duration(run.heartbeat_s or 0.0)}"
    if not run.progress:
        return ""
    return f"{run.progress.get('done', '?')}/{run.progress.get('total', '?')} {run.progress.get('text', '')}".strip()
