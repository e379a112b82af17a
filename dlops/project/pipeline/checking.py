"""Everything that is wrong with a pipeline, in all its steps, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from dlops.config.parameters import suggestion
from dlops.errors import ConfigError, DlopsError, UsageError
from dlops.project import plan, preflight
from dlops.project.environment import Environment
from dlops.project.pipeline import references, step_requests
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.definition import Pipeline, Step, text_of
from dlops.project.pipeline.references import RUN, Reference
from dlops.project.plan import Plan
from dlops.targets.names import named


def check(asked: Asked, pipeline: Pipeline) -> dict[str, Plan]:
    """Look for everything that is wrong; give each step's plan.

    Raises:
        ConfigError, UsageError: with every problem.
    """
    chosen = asked.selection.names(pipeline)
    problems: list[str] = []
    kinds: list[type[DlopsError]] = []
    plans: dict[str, Plan] = {}
    for step in pipeline.steps.values():
        try:
            request = step_requests.request(asked, pipeline, step, {}, everything_later=True)
            plans[step.name] = planned = plan.make(request)
            if step.name in chosen:
                target = named(asked.target_of(step), step.kind)
                preflight.check(planned, planned.job(Environment(planned.environment_kind, ())), target)
        except (ConfigError, UsageError) as error:
            kinds.append(type(error))
            problems += [f"{step.name}: {problem}" for problem in error.problems or [error.message]]
    problems += [problem for step in pipeline.steps.values() for problem in _references(asked, pipeline, step, plans)]
    problems += _names(asked, pipeline)
    if problems:
        kind = ConfigError if kinds and set(kinds) == {ConfigError} else UsageError
        raise kind(f"The pipeline {pipeline.file} cannot run.", problems=problems)
    return plans


def _names(asked: Asked, pipeline: Pipeline) -> Iterator[str]:
    """List what the command line says of steps that there are not."""
    for name, values in asked.given.items():
        if name not in pipeline.steps:
            near = suggestion(name, pipeline.steps)
            yield from (f"{name}.{key}={value}: there is no step {name!r}{near}" for key, value in values.items())
    for name, target in asked.targets.items():
        if name and name not in pipeline.steps:
            yield f"--on {name}={target}: there is no such step{suggestion(name, pipeline.steps)}"


def _references(asked: Asked, pipeline: Pipeline, step: Step, plans: Mapping[str, Plan]) -> Iterator[str]:
    """List references to outputs that a step does not give, as far as MLproject says what it gives."""
    held = [reference for text in asked.values(step).values() for reference in references.found(text_of(text))]
    for reference in [*held, *(reference for condition in step.when for reference in condition.references)]:
        if wrong := _wrong(reference, asked, pipeline, plans):
            yield f"{step.where or step.name}: {step.name}: {reference}: {wrong}"


def _wrong(reference: Reference, asked: Asked, pipeline: Pipeline, plans: Mapping[str, Plan]) -> str:
    if reference.step not in pipeline.steps:
        return f"there is no step {reference.step!r}{suggestion(reference.step, pipeline.steps)}"
    outputs = _outputs(pipeline.steps[reference.step], asked, plans)
    if reference.metric or reference.name == RUN or outputs is None or reference.name in outputs:
        return ""
    near = suggestion(reference.name, outputs) or f"; it gives {', '.join(outputs) or 'none'}"
    return f"{reference.step} gives no output {reference.name!r}{near}"


def _outputs(step: Step, asked: Asked, plans: Mapping[str, Plan]) -> Sequence[str] | None:
    """Name what a step gives, also of one whose parameters are wrong; `None` where MLproject does not say."""
    if step.name in plans:
        return plans[step.name].entry_point.outputs
    with suppress(ConfigError, UsageError):  # it is told with the step's own problems
        return plan.entry_point(step.kind, asked.uri, "", asked.version, asked.diff).outputs
    return None
