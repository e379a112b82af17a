"""A launch that does once more what a run did: same code, same parameters, same environment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from dlops.errors import UsageError
from dlops.project import recorded, remotes, source
from dlops.project.plan import Request
from dlops.project.runs import Run, Runs
from dlops.worker import installed, masking

_NAMED = 5
"""Packages that a note names at most."""


def again(runs: Runs, run: Run, asked: Request) -> Request:
    """Ask for a run's launch from the start; what `asked` holds wins.

    Raises:
        UsageError: the run was launched with secrets that are not given again.
    """
    given = recorded.values(runs, run, asked.given, "rerun")
    given.pop("resume_from", None)  # from the start; the values that it went on with are its own
    other = asked.environment not in ("", run.environment)
    return replace(
        of_its_code(runs, run, asked),
        step=run.step,
        given={**given, **asked.given},
        entry_point=asked.entry_point or run.entry_point,
        target=asked.target or run.target,
        environment=asked.environment or run.environment,
        lock="" if other else runs.text(run.run_id, "environment.lock"),
        experiment=asked.experiment or run.experiment,
        tags={"dlops.rerun_of": run.run_id},
    )


def notes(run: Run, request: Request) -> Iterator[str]:
    """Say what of the run cannot be had again."""
    if not run.commit:
        yield "The run's project was in no Git repository: its files are taken as they are now."
    elif run.dirty and not request.diff:
        yield "Beside its commit, the run had changes that are not recorded: files that Git did not track."
    if request.environment == "local" and request.target in ("", "local") and (differing := _differing(request.lock)):
        shown = ", ".join(differing[:_NAMED]) + (" …" if len(differing) > _NAMED else "")
        yield f"{len(differing)} packages are not what the run had: {shown}. --env uv builds an environment."


def of_its_code(runs: Runs, run: Run, asked: Request) -> Request:
    """Choose the project: the one that is asked for, else the run's commit with what differed from it.

    Raises:
        UsageError: the run's code cannot be had.
    """
    if asked.uri != "." or asked.version:
        return asked
    if not run.commit:
        return replace(asked, uri=run.project or asked.uri)
    if run.diff_masked:
        raise UsageError(
            f"The changes that run {run.run_id} had beside its commit hold secrets, and were not kept as they were.",
            hint="Name the code: --uri FOLDER, or --uri REMOTE --version REVISION.",
        )
    diff = runs.text(run.run_id, "source.diff") if run.dirty else ""
    if run.diff_kept and not diff:
        raise UsageError(
            f"The changes that run {run.run_id} had beside its commit are missing: it has no artifact source.diff.",
            hint="Name the code: --uri FOLDER, or --uri REMOTE --version REVISION.",
        )
    return replace(asked, uri=_repository(run), version=run.commit, diff=diff)


def _repository(run: Run) -> str:
    """Find the repository that has a run's commit: the folder's, else the one that was cloned from.

    Raises:
        UsageError: neither is known.
    """
    if remotes.is_remote(run.project):
        return run.project
    here = source.repository(Path(run.project), run.commit) if run.project else ""
    origin = run.remote.replace(f"{masking.MASK}@", "")
    found = here or (f"file://{origin}" if origin.startswith("/") else origin)
    if not remotes.is_remote(found):
        raise UsageError(
            f"Nobody here has commit {run.commit[:12]} of run {run.run_id}: {run.project or 'its folder'} does not.",
            hint="Name its repository: --uri REMOTE --version REVISION.",
        )
    return f"{found}#{run.subfolder}" if run.subfolder else found


def _differing(lock: str) -> list[str]:
    """List the packages of a lock that this interpreter has in another version, or not at all."""
    here = dict(line.split("==", 1) for line in installed.packages().splitlines() if "==" in line)
    then = dict(line.split("==", 1) for line in lock.splitlines() if "==" in line)
    return [
        f"{name} {version} → {here.get(name, 'none')}" for name, version in then.items() if here.get(name) != version
    ]
