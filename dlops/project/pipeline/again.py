"""A pipeline that was launched before, asked for once more: to go on with it, or to do all of it again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlops.errors import UsageError
from dlops.project import rerun, resume
from dlops.project.pipeline.asked import ARTIFACT, Asked
from dlops.project.pipeline.launching import with_overrides
from dlops.project.plan import Request
from dlops.project.runs import Run, Runs
from dlops.worker import masking


def resumed(runs: Runs, run: Run, request: Request) -> Asked:
    """Ask for what is left of a pipeline; what `request` holds wins.

    Raises:
        UsageError: it goes on or has finished, or secrets must be given again.
    """
    if run.status in ("RUNNING", "FINISHED"):
        state = "is still running" if run.status == "RUNNING" else "has finished: there is nothing left to do"
        raise UsageError(f"Run {run.run_id} {state}.", hint="`dlops run` runs what has changed.")
    uri, version = resume.project_of(run, request)
    asked = _recorded(runs, run, request, "resume")
    return replace(asked, uri=uri, version=version, resumed_from=run.run_id)


def rerun_of(runs: Runs, run: Run, request: Request) -> Asked:
    """Ask for all of a pipeline again: same commit and changes, same parameters, same environment.

    Raises:
        UsageError: its code cannot be had, or secrets must be given again.
    """
    code = rerun.of_its_code(runs, run, request)
    asked = _recorded(runs, run, request, "rerun")
    other = request.environment not in ("", asked.environment)
    return replace(
        asked,
        uri=code.uri,
        version=code.version,
        diff=code.diff,
        force=tuple(sorted(replace(asked, force=()).selection.names(asked.pipeline(Path())))),
        lock="" if other else _lock(runs, run),
        resumed_from="",
    )


def _recorded(runs: Runs, run: Run, request: Request, command: str) -> Asked:
    """Read what was asked for then.

    Raises:
        UsageError: no record tells it, or it held secrets, which no record holds.
    """
    held = _document(run.pipeline) or _document(runs.text(run.run_id, ARTIFACT))
    if held is None:
        raise UsageError(f"Run {run.run_id} does not say which pipeline it was of.", hint="`dlops run` runs it anew.")
    masked = [name for name in _masked(held) if name not in request.given]
    if masked:
        raise UsageError(
            f"Run {run.run_id} was launched with secrets, which no record holds.",
            problems=[f"{name!r} needs its value again" for name in masked],
            hint=f"dlops {command} {run.run_id} {' '.join(f'{name}=…' for name in masked)}",
        )
    asked = replace(
        Asked.from_json(json.dumps(held)),
        experiment=request.experiment or run.experiment,
        tracking_uri=request.tracking_uri,
        run_name=request.run_name,
    )
    asked = replace(
        asked,
        environment=request.environment or asked.environment,
        targets={**asked.targets, **({"": request.target} if request.target else {})},
    )
    return with_overrides(asked, request.given)


def _document(text: str) -> dict[str, Any] | None:
    try:
        held = json.loads(text)
    except ValueError:
        return None
    return held if isinstance(held, dict) and held.get("steps") else None


def _masked(held: Mapping[str, Any]) -> Iterator[str]:
    """Name the parameters, `STEP.KEY`, that the record has masked."""
    for step, body in held["steps"].items():
        values = {**(body.get("parameters") or {}), **held["given"].get(step, {})}
        yield from (f"{step}.{name}" for name, value in values.items() if masking.MASK in json.dumps(value))


def _lock(runs: Runs, run: Run) -> str:
    """Give the exact packages of the pipeline's steps, where an environment was built for them."""
    built = next((step for step in runs.below(run.run_id) if step.environment == "uv"), None)
    return runs.text(built.run_id, "environment.lock") if built else ""
