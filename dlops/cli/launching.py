"""What every launching command does: one launch, followed, its outcome printed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer

from dlops.cli import console, options
from dlops.cli.follower import Follower
from dlops.cli.options import Common
from dlops.targets.dry_run import DryRun
from dlops.targets.local import Local
from dlops.targets.names import named

if TYPE_CHECKING:
    from dlops.project.outcome import Outcome
    from dlops.project.pipeline.asked import Asked
    from dlops.project.plan import Request
    from dlops.targets.interface import Target


def launch_step(step: str, overrides: Sequence[str] | None, common: Common) -> None:
    """Launch a step as the command line asks, and exit with its outcome's code."""
    launch(lambda: options.request(step, overrides, common), common)


def launch(asked: Callable[[], Request | Asked], common: Common) -> None:
    """Launch what is asked, which is read while the target makes ready, and exit with its outcome's code."""
    _end(followed(asked, common), common)


def followed(asked: Callable[[], Request | Asked], common: Common) -> Outcome:
    """Launch what is asked, which is read while the target makes ready, and follow it to its end."""
    expected = named(common.on or "local")
    with nullcontext() if common.dry_run else expected.ahead():
        from dlops.project.launch import launch as launched
        from dlops.project.pipeline.asked import Asked

        request = asked()
        if isinstance(request, Asked):
            return _pipeline(request, expected, common)
        name = request.target or expected.name
        target: Target = expected if expected.here and name == expected.name else named(name, request.step)
        target = DryRun(target) if common.dry_run else target
        with Follower(quiet=common.quiet, detached=common.detach) as follower:
            return launched(
                request,
                target,
                show=follower.show,
                leave=follower.leave,
                detach=common.detach,
                dry_run=common.dry_run,
            )


def launch_pipeline(asked: Callable[[], Asked], common: Common, *, junit: Path | None = None) -> None:
    """Launch a pipeline, or show what would become of its steps, and exit with its outcome's code."""
    worker = Local()
    with nullcontext() if common.dry_run else worker.ahead():
        outcome = _pipeline(asked(), worker, common)
    if junit and outcome.steps:
        from dlops.project.pipeline import junit as xml

        xml.write(junit, outcome.steps)
    _end(outcome, common)


def _pipeline(asked: Asked, worker: Target, common: Common) -> Outcome:
    """Launch a pipeline on this machine, from where it launches its steps.

    Raises:
        typer.Exit: it was only looked at.
    """
    from dlops.project.pipeline import launching

    if common.dry_run:
        _show_plan(asked, as_json=common.json)
    worker = worker if worker.here else Local()
    with Follower(quiet=common.quiet, detached=common.detach) as follower:
        return launching.start(asked, worker, show=follower.show, detach=common.detach)


def _show_plan(asked: Asked, *, as_json: bool) -> NoReturn:
    from dlops.cli import pipelines
    from dlops.project.pipeline import launching

    pipeline, looks = launching.look(asked)
    steps = [look.document(pipeline) for look in looks]
    if as_json:
        console.print_json({"status": "PLANNED", "step": "run", "pipeline": pipeline.file, "steps": steps})
    else:
        console.out().print(pipelines.plan(steps))
    raise typer.Exit


def show(outcome: Outcome, *, as_json: bool = False, quiet: bool = False) -> None:
    """Print how a step, or a pipeline with all its steps, ended."""
    from dlops.cli import pipelines

    summary = pipelines.summary(outcome) if outcome.steps else None
    console.show_outcome(outcome, as_json=as_json, quiet=quiet, summary=summary)


def _end(outcome: Outcome, common: Common) -> NoReturn:
    show(outcome, as_json=common.json, quiet=common.quiet)
    raise typer.Exit(outcome.exit_code)
