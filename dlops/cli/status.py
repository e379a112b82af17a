"""`dlops status [RUN]`: what runs, what ran, and how it ended."""

from __future__ import annotations

import dataclasses
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri
from dlops.project import plan
from dlops.project.resume import PARAMETER, PIPELINE
from dlops.project.runs import Run, Runs
from dlops.targets import names
from dlops.worker import masking

RunId = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="A run's id, or the beginning of one.",
        autocompletion=completion.runs,
        show_default=False,
    ),
]
Count = Annotated[int, typer.Option("--count", "-n", min=1, help="How many of the latest runs to list.")]


def status(run: RunId = "", count: Count = 20, tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """List the latest runs, or tell all about one. Runs whose worker was killed are closed on the way."""
    uri = plan.tracking_uri(tracking_uri)
    runs = Runs(uri)
    if run:
        found = runs.one(run)
        steps = runs.below(found.run_id) if found.step == PIPELINE else []
        if json:
            below = {"steps": [dataclasses.asdict(step) for step in steps]} if steps else {}
            console.print_json({**dataclasses.asdict(found), **below})
        else:
            console.out().print(_one(found, uri, steps))
        return
    recent = runs.recent(count)
    if json:
        console.print_json([dataclasses.asdict(found) for found in recent])
    elif recent:
        console.out().print(_many(recent, short=sys.stdout.isatty()))
    else:
        console.err().print("No run was launched here yet.")


def _many(runs: list[Run], *, short: bool) -> Table:
    """Lay runs out, a line each; `short`, to fit a terminal: with the beginning of its id, which commands take too."""
    now = time.time()
    columns = {
        "run": [Text(run.run_id[:8] if short else run.run_id) for run in runs],
        "step": [Text(run.pipeline_step or run.step, no_wrap=True) for run in runs],
        "status": [console.status_text(run.status) for run in runs],
        "target": [Text(run.target) for run in runs],
        "age": [Text(console.rough(now - run.started)) for run in runs],
        "took": [Text(console.rough(run.duration_s)) for run in runs],
        "heartbeat": [_heartbeat(run) if run.target != "local" or run.silent else Text() for run in runs],
        "progress": [Text(_progress(run), no_wrap=True) for run in runs],
    }
    says_nothing = {"target": {"local"}, "heartbeat": {""}, "progress": {""}}
    shown = {name: cells for name, cells in columns.items() if {str(cell) for cell in cells} != says_nothing.get(name)}
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name, cells in shown.items():
        gives_way = name in ("step", "progress")
        table.add_column(name, no_wrap=not gives_way, min_width=len(cells[0]) if name == "run" else None)
    for row in zip(*shown.values(), strict=True):
        table.add_row(*row)
    return table


def _one(run: Run, tracking_uri: str, steps: Sequence[Run] = ()) -> Table:
    going_on = run.status == "RUNNING"
    took = f" {'for' if going_on else 'in'} {console.duration(run.duration_s)} on {run.target}"
    started = datetime.fromtimestamp(run.started, UTC).astimezone()
    params = {name: value for name, value in run.params.items() if value}
    rows: list[tuple[str, RenderableType]] = [
        (run.step, Text.assemble(console.status_text(run.status), took)),
        ("run", run.run_id),
        ("name", run.name),
        *([("resumed from", run.resumed_from)] if run.resumed_from else []),
        *([("rerun of", run.rerun_of)] if run.rerun_of else []),
        ("started", started.isoformat(timespec="seconds")),
        ("experiment", run.experiment),
        ("commit", console.commit(run.commit, run.dirty)),
        ("recorded in", masking.url(tracking_uri)),
        *([("job", run.page)] if run.page else []),
    ]
    rows += [("heartbeat", text)] if (text := _heartbeat(run)) else []
    unheard = run.silent or (going_on and run.heartbeat_s is None)
    if unheard and run.target != "local" and not names.clusters(run.target):
        rows.append(("note", f"{run.target} is in no targets.yaml here: whether its job still lives is not known"))
    rows += [("progress", words)] if (words := _progress(run)) else []
    rows += [("steps", _many(list(steps), short=sys.stdout.isatty()))] if steps else []
    rows += [(name, Text(value, "bold")) for name, value in run.outputs.items()]
    rows += [("parameters", console.pairs(params))] if params else []
    rows += [("metrics", console.metrics(run.metrics))] if run.metrics else []
    rows += [("error", Text(run.error.removeprefix("error: "), "red"))] if run.error else []
    if run.status in ("FAILED", "KILLED") and (PARAMETER in run.params or run.step == PIPELINE):
        rows.append(("goes on with", f"dlops resume {run.run_id}{plan.option(tracking_uri)}"))
    return console.facts(rows)


def _heartbeat(run: Run) -> Text:
    """Tell how long ago a run that goes on gave a sign; in yellow, too long."""
    if run.heartbeat_s is None:
        return Text()
    return Text(f"{console.rough(run.heartbeat_s)} ago", "yellow" if run.silent else "")


def _progress(run: Run) -> str:
    if not run.progress:
        return ""
    return f"{run.progress.get('done', '?')}/{run.progress.get('total', '?')} {run.progress.get('text', '')}".strip()
