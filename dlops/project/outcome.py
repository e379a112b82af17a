"""How a launch ended: the one value that is printed, as a table or as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlops.errors import DlopsError, GateFailed, Interrupted, StepFailed, UnreachableError
from dlops.worker import masking


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A run's end, or a plan that was not started, or a run that goes on without us."""

    step: str
    target: str
    entry_point: str
    tracking_uri: str
    status: str
    """FINISHED, FAILED, KILLED, RUNNING (detached) or PLANNED (dry run)."""
    run_id: str = ""
    experiment_id: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)
    duration_s: float = 0.0
    error: DlopsError | None = None
    plan: dict[str, Any] | None = None
    steps: tuple[dict[str, Any], ...] = ()
    """Of a pipeline, as `dlops.project.pipeline.progress` tells them."""

    @property
    def exit_code(self) -> int:
        return self.error.exit_code if self.error else 0

    @property
    def url(self) -> str | None:
        """The run's page, where the tracking store is a server."""
        if not self.run_id or not self.tracking_uri.startswith("http"):
            return None
        base = masking.url(self.tracking_uri).replace(f"{masking.MASK}@", "").rstrip("/")
        return f"{base}/#/experiments/{self.experiment_id}/runs/{self.run_id}"

    def as_dict(self) -> dict[str, Any]:
        """Give the document of `--json`."""
        document: dict[str, Any] = {
            "run_id": self.run_id or None,
            "status": self.status,
            "step": self.step,
            "target": self.target,
            "entry_point": self.entry_point,
            "params": self.params,
            "metrics": self.metrics,
            "outputs": self.outputs,
            "tracking_uri": masking.url(self.tracking_uri),
            "url": self.url,
            "duration_s": self.duration_s,
        }
        if self.steps:
            document |= {"steps": list(self.steps), "saved_s": round(saved(self.steps), 3)}
        if self.plan is not None:
            document["plan"] = self.plan
        if self.error is not None:
            document["error"] = problem(self.error)
        return document


def saved(steps: Sequence[Mapping[str, Any]]) -> float:
    """Give the seconds that steps of a pipeline took when they ran which are taken from the cache now."""
    return float(sum(step.get("seconds", 0.0) for step in steps if step["state"] == "cached"))


def problem(error: DlopsError) -> dict[str, Any]:
    """Give an error as `--json` shows it."""
    return {"kind": error.kind, "message": str(error), "hint": error.hint}


def error_of(ended: dict[str, Any], step: str, run_id: str, *, option: str = "", way_on: str = "") -> DlopsError | None:
    """Judge a worker's last event; a gate is one only when the step itself said so by its tag.

    `option` is what a command needs to find the store, `way_on` says how an interrupted run can go on.
    """
    logs = f"`dlops logs {run_id}{option}` shows all that it printed."
    if unreachable := ended.get("unreachable"):
        return UnreachableError(str(unreachable), hint="`dlops status` closes the run when the store is back.")
    if ended["status"] == "KILLED":
        return Interrupted(f"{step} was {ended['error']}; its run is closed.", hint=f"{logs} {way_on}".strip())
    if ended["status"] == "FINISHED":
        return None
    if ended["exit_code"] == GateFailed.exit_code and ended.get("gate"):
        return GateFailed(ended["error"] or f"A gate of {step} said no.", hint=logs)
    if ended["exit_code"] == UnreachableError.exit_code and ended.get("gate") == "unreachable":
        return UnreachableError(ended["error"] or f"{step} did not reach what it needs.", hint=logs)
    return StepFailed(f"{step} failed with exit code {ended['exit_code']}.", hint=logs, printed=ended["error"])
