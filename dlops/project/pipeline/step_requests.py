"""The launch of one step of a pipeline, asked for with what is known of the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlops.config.load import Stated
from dlops.project.pipeline import references, results
from dlops.project.pipeline.asked import Asked
from dlops.project.pipeline.definition import Pipeline, Step, text_of
from dlops.project.pipeline.results import Result
from dlops.project.plan import Request


def request(
    asked: Asked, pipeline: Pipeline, step: Step, known: Mapping[str, Result], *, everything_later: bool = False
) -> Request:
    """Ask for a step's launch; what it takes from steps whose results are not `known` is given later."""
    value, later = results.of_all(known), set[str]()
    stated: dict[str, Any] = {}
    given: dict[str, str] = {}
    for name, text in asked.values(step).items():
        held = list(references.found(text_of(text)))
        if any(reference.step not in known for reference in held) or (held and everything_later):
            later.add(name)
        elif name in asked.given.get(step.name, {}):
            given[name] = references.filled(str(text), value)
        else:
            stated[name] = results.filled(text, value)
    names = dict.fromkeys(later, "")
    return Request(
        step=step.kind,
        given=given,
        stated=[Stated({**stated, **names}, step.where or pipeline.file, pipeline.base)],
        later=later,
        uri=asked.uri,
        version=asked.version,
        diff=asked.diff,
        target=asked.target_of(step),
        environment=asked.environment,
        lock=asked.lock,
        experiment=asked.experiment,
        tracking_uri=asked.tracking_uri,
    )
