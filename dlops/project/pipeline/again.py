"""A pipeline that was launched before, asked for once more: to go on with it, or to do all of it again."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlops.errors import UsageError
from dlops.project import rerun, resume
from dlops.project.pipeline import references
from dlops.project.pipeline.asked import ARTIFACT, Asked
from dlops.project.pipeline.definition import text_of
from dlops.project.pipeline.keeping import SUMMARY
from dlops.project.pipeline.launching import with_overrides
from dlops.project.plan import Request
from dlops.project.runs import Run, Runs
from dlops.worker import masking


def resumed(runs: Runs, run: Run, request: Request) -> Asked:
    """Ask for what is left of a pipeline; what `request` holds wins.

    Raises:
        UsageError: it goes on or has finished, or secrets must be given again.
    """
    resume.check_interrupted(runs, run, hint="`dlops run` runs what has changed.")
    code = resume.of_its_project(runs, run, request)
    asked = _recorded(runs, run, request, "resume")
    return replace(asked, uri=code.uri, version=code.version, diff=code.diff, resumed_from=run.run_id)


def rerun_of(runs: Runs, run: Run, request: Request) -> Asked:
    """Ask for all of a pipeline again: same commit and changes, same parameters, same environment, same data.

    Raises:
        UsageError: its code cannot be had, or secrets must be given again.
    """
    code = rerun.of_its_code(runs, run, request)
    asked = _recorded(runs, run, request, "rerun")
    chosen = replace(asked, force=()).selection.names(asked.pipeline(Path()))
    then = _steps(runs, run, needed=asked.pipeline(Path()).steps.keys() - chosen)
    ran = {name: step for name, step in then.items() if name in chosen}
    stood_for = _resolved(asked, ran)
    return replace(
        with_overrides(asked, {**stood_for, **request.given}),
        uri=code.uri,
        version=code.version,
        diff=code.diff,
        force=tuple(sorted(chosen)),
        taken={name: step.run_id for name, step in then.items() if name not in chosen},
        lock=asked.lock or (_lock(runs, ran) if request.environment in ("", "uv") else ""),
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
    try:
        then = Asked.from_json(json.dumps(held))
    except TypeError as error:
        raise UsageError(
            f"Run {run.run_id} was launched by another version of dlops, which says more than this one understands.",
            hint=f"`dlops {command}` it with that version; `dlops run` runs it anew.",
        ) from error
    other = request.environment not in ("", then.environment)
    asked = replace(
        then,
        experiment=request.experiment or run.experiment,
        tracking_uri=request.tracking_uri,
        run_name=request.run_name,
        environment=request.environment or then.environment,
        lock="" if other else then.lock,
        targets={**then.targets, **({"": request.target} if request.target else {})},
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


def _steps(runs: Runs, run: Run, *, needed: Collection[str]) -> dict[str, Run]:
    """Give the run whose results each step of a pipeline has had: its own, or the one that it was taken from.

    Raises:
        UsageError: one was deleted since, of a step whose results are `needed`.
    """
    try:
        steps = json.loads(runs.text(run.run_id, SUMMARY))["steps"]
        ran = {step["name"]: step["run_id"] for step in steps if step.get("run_id")}
    except (ValueError, KeyError, TypeError):  # it was ended before it could say so
        return {step.pipeline_step: step for step in runs.below(run.run_id)}
    found = {}
    for name, run_id in ran.items():
        try:
            found[name] = runs.one(run_id)
        except UsageError as error:
            if name in needed:
                what = f"Run {run_id} of {name}, whose results were taken then, was deleted."
                raise UsageError(what, hint="`dlops run` runs the pipeline anew.") from error
    return found


def _resolved(asked: Asked, then: Mapping[str, Run]) -> dict[str, str]:
    """Give, as `STEP.KEY`, what parameters stood for then: a table at its version, a model at its commit."""
    pipeline = asked.pipeline(Path())
    return {
        f"{name}.{key}": value
        for name, step in then.items()
        for key, value in step.resolved.items()
        if key in step.params and not any(references.found(text_of(asked.values(pipeline.steps[name]).get(key, ""))))
    }


def _lock(runs: Runs, steps: Mapping[str, Run]) -> str:
    """Give the exact packages of the pipeline's steps, where an environment was built for them."""
    built = next((step for step in steps.values() if step.environment == "uv"), None)
    return runs.text(built.run_id, "environment.lock") if built else ""
