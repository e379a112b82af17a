"""What a recorded run was launched with, asked for once more."""

from __future__ import annotations

from collections.abc import Mapping

from dlops.errors import UsageError
from dlops.project.runs import Run, Runs
from dlops.worker import masking


def values(runs: Runs, run: Run, given: Mapping[str, str], command: str) -> dict[str, str]:
    """Give the run's parameters, each as what it stood for then, and those that are given anew.

    `command` is what launches it again (`resume`).

    Raises:
        UsageError: some were masked and are not given; all at once.
    """
    launched = runs.parameters(run.run_id)
    found = {**launched, **{name: value for name, value in run.resolved.items() if name in launched}, **given}
    masked = [name for name, value in found.items() if masking.MASK in value]
    if masked:
        told = " ".join(f"{name}=…" for name in masked)
        raise UsageError(
            f"Run {run.run_id} was launched with secrets, which no record holds.",
            problems=[f"{name!r} needs its value again" for name in masked],
            hint=f"dlops {command} {run.run_id} {told}",
        )
    return found
