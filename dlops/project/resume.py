"""A launch that goes on where another run was interrupted: same step, same parameters, same project."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dlops.errors import UsageError
from dlops.project import plan, recorded, remotes
from dlops.project import source as sources
from dlops.project.plan import Request
from dlops.project.runs import Run, Runs
from dlops.project.source import Source

PARAMETER = "resume_from"
"""What an entry point takes that can go on: the id of a run. It finds that run's state itself."""
PIPELINE = "run"
"""What the run of a pipeline is of, instead of a step."""


def again(runs: Runs, run: Run, asked: Request) -> Request:
    """Ask for a run's launch once more, to go on from its last checkpoint; what `asked` holds wins.

    Raises:
        UsageError: the run goes on or has finished, or it is of a step that cannot go on.
    """
    if run.status in ("RUNNING", "FINISHED"):
        state = "is still running" if run.status == "RUNNING" else "has finished: there is nothing left to do"
        raise UsageError(f"Run {run.run_id} {state}.", hint="`dlops status` lists the runs.")
    uri, version = project_of(run, asked)
    entry_point = asked.entry_point or run.entry_point
    known = {parameter.name for parameter in plan.entry_point(run.step, uri, entry_point, version).parameters}
    if PARAMETER not in known:
        raise UsageError(
            f"Run {run.run_id} is of {entry_point or run.step}, which cannot go on from where it was.",
            hint=f"Its entry point takes no {PARAMETER}. Launch it again.",
        )
    return replace(
        asked,
        step=run.step,
        given={**recorded.values(runs, run, asked.given, "resume"), PARAMETER: run.run_id},
        uri=uri,
        version=version,
        entry_point=entry_point,
        target=asked.target or run.target,
        environment=asked.environment or run.environment,
        experiment=asked.experiment or run.experiment,
        tags={"dlops.resumed_from": run.run_id},
    )


def project_of(run: Run, asked: Request) -> tuple[str, str]:
    """Choose the project and its revision: the one that is asked for, the run's own, else this folder."""
    if asked.uri != "." or asked.version:
        return asked.uri, asked.version
    if remotes.is_remote(run.project):
        return run.project, run.commit
    return (run.project, "") if run.project and Path(run.project).is_dir() else (asked.uri, "")


def changed(run: Run, uri: str, version: str = "") -> Source | None:
    """Give the project as it is, if that differs from what the run was launched from and anybody knows."""
    found = sources.at_its_commit(sources.of(uri, version))
    return found if run.commit and (found.commit, found.dirty) != (run.commit, run.dirty) else None
