"""A launch that goes on where another run was interrupted: same step, same parameters, same project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dlops.errors import UsageError
from dlops.project import plan, recorded, remotes, rerun
from dlops.project import source as sources
from dlops.project.plan import Request
from dlops.project.runs import Run, Runs
from dlops.project.source import Source
from dlops.worker import reaper

PARAMETER = "resume_from"
"""What an entry point takes that can go on: the id of a run. It finds that run's state itself."""
PIPELINE = "run"
"""What the run of a pipeline is of, instead of a step."""


def again(runs: Runs, run: Run, asked: Request) -> Request:
    """Ask for a run's launch once more, to go on from its last checkpoint; what `asked` holds wins.

    Raises:
        UsageError: the run goes on or has finished, or it is of a step that cannot go on.
    """
    check_interrupted(runs, run, hint="`dlops status` lists the runs.")
    code = of_its_project(runs, run, asked)
    entry_point = asked.entry_point or run.entry_point
    known = {
        parameter.name
        for parameter in plan.entry_point(run.step, code.uri, entry_point, code.version, code.diff).parameters
    }
    if PARAMETER not in known:
        raise UsageError(
            f"Run {run.run_id} is of {entry_point or run.step}, which cannot go on from where it was.",
            hint=f"Its entry point takes no {PARAMETER}. Launch it again.",
        )
    other = asked.environment not in ("", run.environment)
    return replace(
        code,
        step=run.step,
        given={**recorded.values(runs, run, asked.given, "resume"), PARAMETER: run.run_id},
        entry_point=entry_point,
        target=asked.target or run.target,
        environment=asked.environment or run.environment,
        lock=runs.text(run.run_id, "environment.lock") if run.rerun_of and not other else "",
        experiment=asked.experiment or run.experiment,
        tags={"dlops.resumed_from": run.run_id} | ({"dlops.rerun_of": run.rerun_of} if run.rerun_of else {}),
    )


def check_interrupted(runs: Runs, run: Run, *, hint: str) -> None:
    """Make sure that a run can be gone on with; one whose machine has given no sign for minutes is closed.

    Raises:
        UsageError: it goes on or has finished.
    """
    status = runs.given_up(run.run_id).status if run.status == "RUNNING" else run.status
    if status == "FINISHED":
        raise UsageError(f"Run {run.run_id} has finished: there is nothing left to do.", hint=hint)
    if status == "RUNNING":
        silent = f" Its machine gave no sign for {run.heartbeat_s:.0f} s." if run.silent else ""
        soon = run.silent and (run.heartbeat_s or 0.0) < reaper.GONE
        way = f"After {reaper.GONE:.0f} s it is taken for lost, and `dlops resume` goes on." if soon else hint
        raise UsageError(f"Run {run.run_id} is still running.{silent}", hint=way)


def of_its_project(runs: Runs, run: Run, asked: Request) -> Request:
    """Choose the project: the one that is asked for, the run's folder as it is now, its remote as it was, or this one.

    Raises:
        UsageError: changes that the run had beside a remote's commit cannot be had.
    """
    if asked.uri != "." or asked.version:
        return asked
    if remotes.is_remote(run.project):
        return rerun.of_its_code(runs, run, asked)
    return replace(asked, uri=run.project) if run.project and Path(run.project).is_dir() else asked


def changed(run: Run, uri: str, version: str = "", diff: str = "") -> Source | None:
    """Give the project as it is, if that differs from what the run was launched from and anybody knows."""
    found = sources.at_its_commit(sources.of(uri, version, diff))
    return found if run.commit and (found.commit, found.dirty) != (run.commit, run.dirty) else None
