"""What the steps of a pipeline have given, and values in which references to it are filled."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dlops.config.parameters import suggestion
from dlops.errors import StepFailed
from dlops.project.pipeline import references
from dlops.project.pipeline.references import RUN, Reference
from dlops.worker.record import summary


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a step has given, now or before."""

    run_id: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    seconds: float = 0.0

    @classmethod
    def of(cls, run: Any) -> Result:
        """Read it from a run."""
        held, info = summary(run), run.info
        seconds = ((info.end_time or info.start_time) - info.start_time) / 1000
        return cls(run_id=info.run_id, outputs=held["outputs"], metrics=held["metrics"], seconds=seconds)

    def value(self, reference: Reference) -> str:
        """Give what a reference to the step stands for.

        Raises:
            StepFailed: the step has not given it.
        """
        if not reference.metric and reference.name == RUN:
            return self.run_id
        held: Mapping[str, Any] = self.metrics if reference.metric else self.outputs
        if reference.name not in held:
            kind = "metric" if reference.metric else "output"
            near = suggestion(reference.name, held) or f"; it has {', '.join(held) or 'none'}"
            raise StepFailed(f"{reference.step} has given no {kind} {reference.name!r}{near}.")
        value = held[reference.name]
        whole = isinstance(value, float) and value.is_integer()  # a metric of an epoch, for a parameter that counts
        return str(int(value)) if whole else repr(value) if isinstance(value, float) else str(value)


def of_all(results: Mapping[str, Result]) -> Callable[[Reference], str]:
    """Give what looks up the value of a reference to any of these steps."""
    return lambda reference: results[reference.step].value(reference)


def filled(value: Any, put: Callable[[Reference], str]) -> Any:
    """Put values where references are, in a text or in all that a list or mapping holds."""
    if isinstance(value, Mapping):
        return {name: filled(item, put) for name, item in value.items()}
    if isinstance(value, list):
        return [filled(item, put) for item in value]
    return references.filled(value, put) if isinstance(value, str) else value
