"""What every launching command does: one launch, followed, its outcome printed once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from dlops.cli import console, options
from dlops.cli.follower import Follower
from dlops.cli.options import Common
from dlops.targets.dry_run import DryRun
from dlops.targets.names import named

if TYPE_CHECKING:
    from dlops.project.plan import Request
    from dlops.targets.interface import Target


def launch_step(step: str, overrides: Sequence[str] | None, common: Common) -> None:
    """Launch a step as the command line asks, and exit with its outcome's code."""
    launch(lambda: options.request(step, overrides, common), common)


def launch(asked: Callable[[], Request], common: Common) -> None:
    """Launch what is asked, which is read while the target makes ready, and exit with its outcome's code."""
    expected = named(common.on or "local")
    with nullcontext() if common.dry_run else expected.ahead():
        from dlops.project.launch import launch as launched

        request = asked()
        name = request.target or expected.name
        target: Target = expected if expected.here and name == expected.name else named(name, request.step)
        target = DryRun(target) if common.dry_run else target
        with Follower(quiet=common.quiet, detached=common.detach) as follower:
            outcome = launched(
                request,
                target,
                show=follower.show,
                leave=follower.leave,
                detach=common.detach,
                dry_run=common.dry_run,
            )
    console.show_outcome(outcome, as_json=common.json, quiet=common.quiet)
    raise typer.Exit(outcome.exit_code)
