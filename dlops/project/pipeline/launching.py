"""Launch a pipeline: everything is checked, then a worker of this machine keeps the process that runs the steps."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlops.config import folders, paths, yaml
from dlops.config.load import Setting
from dlops.config.parameters import Parameter
from dlops.errors import StepFailed, UsageError
from dlops.project import environment, launch, plan, resume, runs
from dlops.project import source as sources
from dlops.project.outcome import Outcome
from dlops.project.pipeline import checking, definition, references
from dlops.project.pipeline.asked import ARTIFACT, Asked
from dlops.project.pipeline.definition import Pipeline, text_of
from dlops.project.pipeline.finished import Store
from dlops.project.pipeline.planning import Look, Planner
from dlops.project.plan import Plan
from dlops.project.spec import EntryPoint
from dlops.targets.interface import Event, Show, Target
from dlops.worker import masking, reaper
from dlops.worker.job import Job

ENTRY_POINT = "main"
_RUNNER = "dlops.project.pipeline.runner"
_AHEAD = tuple(f"dlops.project.pipeline.{name}" for name in ("planning", "attempt", "picture", "asked"))
_COMMAND = EntryPoint(ENTRY_POINT, f"python -m {_RUNNER}", ahead=("dlops.worker.warm", *_AHEAD))
_GRACE = 40.0
"""Seconds that a pipeline's steps have to end, each of which has ten to end its command."""
_OUTER = "MLFLOW_RUN_ID"
"""Set where `mlflow run` has started us: its run is the pipeline's."""


def read(asked: Asked, file: Path | None) -> Asked:
    """Add what the file says: that of the project, unless another one is named; a remote's revision becomes a commit.

    Raises:
        UsageError, ConfigError: there is no such project or file, or it cannot be used.
    """
    source = sources.of(asked.uri, asked.version, asked.diff)
    place = paths.absolute(str(file)) if file else source.folder / definition.FILE
    definition.load(place)  # for its problems, with their lines
    values = yaml.load(place, as_text=True).values
    inside = place.is_relative_to(source.folder)
    return replace(
        asked,
        uri=asked.uri if source.tree else str(source.folder),
        steps={str(name): dict(body or {}) for name, body in values["steps"].items()},
        file=str(place.relative_to(source.folder)) if inside and source.tree else str(place),
        base=str(place.parent.relative_to(source.folder)) if inside else str(place.parent),
        version=source.commit if source.tree else asked.version,
        parallel=asked.parallel or int(values.get("parallel") or 0),
    )


def with_overrides(asked: Asked, given: Mapping[str, str]) -> Asked:
    """Add `STEP.KEY=VALUE`s; a value with references is as if it stood in the file.

    Raises:
        UsageError: some name no step; all at once.
    """
    unplaced = [
        f"{name}={value} names no step: write STEP.{name}={value}" for name, value in given.items() if "." not in name
    ]
    if unplaced:
        raise UsageError("The parameters could not be read.", problems=unplaced)
    steps = {name: dict(body) for name, body in asked.steps.items()}
    typed: dict[str, dict[str, str]] = {step: dict(values) for step, values in asked.given.items()}
    for name, value in given.items():
        step, _, key = name.partition(".")
        key = key.replace("-", "_")
        parameters = dict(steps.get(step, {}).get("parameters") or {})
        parameters.pop(key, None)
        typed.setdefault(step, {}).pop(key, None)
        if step in steps and _refers(value):
            parameters[key] = value
        else:
            typed[step][key] = value
        if step in steps:
            steps[step]["parameters"] = parameters
    return replace(asked, steps=steps, given={step: values for step, values in typed.items() if values})


def look(asked: Asked) -> tuple[Pipeline, list[Look]]:
    """Look at every step without starting anything.

    Raises:
        UsageError, ConfigError: something is wrong.
        UnreachableError: the tracking store does not answer.
    """
    pipeline, plans = _checked(asked)
    any_plan = next(iter(plans.values()))
    store = Store.opened(any_plan.tracking_uri, any_plan.experiment, lock_folder=str(folders.cache() / "locks"))
    return pipeline, Planner(asked, pipeline, any_plan.source.folder, store).all()


def start(
    asked: Asked, target: Target, *, show: Show, leave: Callable[[], bool] = lambda: False, detach: bool = False
) -> Outcome:
    """Check, start and follow; Ctrl-C ends the pipeline and its steps.

    Raises:
        UsageError, ConfigError: something is wrong, and no run was created.
        UnreachableError: the tracking store does not answer, and no run was created.
    """
    pipeline, plans = _checked(asked)
    planned = _planned(asked, pipeline, plans)
    asked = replace(asked, given=_settled(plans), experiment=planned.experiment, tracking_uri=planned.tracking_uri)
    steps: list[dict[str, Any]] = []

    def seen(event: Event) -> None:
        if event["event"] == "progress" and "steps" in event:
            steps[:] = event["steps"]
        show(event)

    job = _job(asked, planned, plans)
    runs.unhurried()
    with launch.signals_as_interrupts():
        launched = target.start(job, seen)
        outcome = launch.follow(planned, launched, seen, leave=leave, detach=detach)
    return replace(outcome, steps=tuple(steps), error=_plain(outcome))


def shown(asked: Asked, secrets: Sequence[str]) -> str:
    """Give what is asked as it may be kept: secrets masked."""

    def masked(name: str, value: Any) -> Any:
        if isinstance(value, dict | Mapping):
            return {key: masked(key, item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [masked(name, item) for item in value]
        if not isinstance(value, str):
            return value
        return _masked(name, value, secrets)

    held: dict[str, Any] = json.loads(asked.to_json())
    lock = asked.lock if masking.text(asked.lock, secrets) == asked.lock else ""  # one with holes is of no use
    held |= {"diff": "", "lock": lock, "uri": masking.url(asked.uri), "tracking_uri": masking.url(asked.tracking_uri)}
    return json.dumps({**held, "steps": masked("", held["steps"]), "given": masked("", held["given"])})


def _checked(asked: Asked) -> tuple[Pipeline, dict[str, Plan]]:
    pipeline = asked.pipeline(sources.of(asked.uri, asked.version, asked.diff).folder)
    return pipeline, checking.check(asked, pipeline)


def _planned(asked: Asked, pipeline: Pipeline, plans: Mapping[str, Plan]) -> Plan:
    """Give the plan of the pipeline's own run."""
    first = next(iter(plans.values()))
    stated = {
        f"{step.name}.{name}": text_of(value)
        for step in pipeline.steps.values()
        for name, value in asked.values(step).items()
    }
    secrets = _secrets(plans)
    settings = tuple(
        Setting(Parameter(name=name), _masked(name.partition(".")[2], value, secrets), asked.file)
        for name, value in stated.items()
    )
    tags = {"dlops.resumed_from": asked.resumed_from} if asked.resumed_from else {}
    return plan.with_commit(
        replace(
            first,
            step=resume.PIPELINE,
            entry_point=_COMMAND,
            settings=settings,
            environment_kind="local",
            lock="",
            target="local",
            run_name=asked.run_name,
            tags=tags,
        )
    )


def _job(asked: Asked, planned: Plan, plans: Mapping[str, Plan]) -> Job:
    secrets = _secrets(plans)
    job = planned.job(environment.ready("local", None))
    kept = shown(asked, secrets)
    tags = {**job.tags, reaper.PIPELINE: kept if len(kept) <= reaper.LONGEST_TAG else "pipeline.json"}
    return replace(
        job,
        folder=str(Path.cwd()),
        given=asked.to_json(),
        variables={"PYTHONSAFEPATH": "1"},
        tags=tags,
        artifacts={**job.artifacts, ARTIFACT: json.dumps(json.loads(kept), indent=2) + "\n"},
        run_id=os.environ.get(_OUTER, ""),
        secrets=secrets,
        grace=_GRACE,
    )


def _secrets(plans: Mapping[str, Plan]) -> tuple[str, ...]:
    """Give the secrets of all steps: one of them may stand in a value of another."""
    return tuple(dict.fromkeys(secret for one in plans.values() for secret in one.secrets))


def _masked(name: str, value: str, secrets: Sequence[str]) -> str:
    """Give a parameter's value as it may be kept; one that another step gives is no secret yet."""
    return masking.MASK if masking.is_secret(name) and value and not _refers(value) else masking.text(value, secrets)


def _settled(plans: Mapping[str, Plan]) -> dict[str, dict[str, str]]:
    """Give what this shell says of parameters, as any other folder and shell understand it."""
    found: dict[str, dict[str, str]] = {}
    for name, planned in plans.items():
        for setting in planned.settings:
            if setting.layer == "command line" or setting.layer.startswith("environment "):
                found.setdefault(name, {})[setting.parameter.name] = setting.value
    return found


def _plain(outcome: Outcome) -> Any:
    """Say which step failed as the error itself: the runner's last words hold no more."""
    error = outcome.error
    if not isinstance(error, StepFailed) or not error.printed.startswith("error: "):
        return error
    told = error.printed.removeprefix("error: ").partition("\nhint: ")[0]
    return StepFailed(told, hint=error.hint)


def _refers(text: str) -> bool:
    with suppress(ValueError):
        return bool(list(references.found(text)))
    return True  # what is wrong with it is told with all else
