"""How a pipeline is: one line for each step, as whoever follows it, or reads its record, sees it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

WAITING, RUNNING, CACHED, TAKEN = "waiting", "running", "cached", "taken"
FINISHED, FAILED, REFUSED, SKIPPED, ENDED, LEFT_OUT = "finished", "failed", "refused", "skipped", "ended", "left out"
"""`refused`: a gate said no; `ended`: somebody asked for the end."""
OVER = frozenset({CACHED, TAKEN, FINISHED, FAILED, REFUSED, SKIPPED, ENDED, LEFT_OUT})
USABLE = frozenset({CACHED, TAKEN, FINISHED, LEFT_OUT})
"""States after which others that need the step may begin."""


@dataclass(kw_only=True)
class StepProgress:
    """One step of a pipeline that goes on."""

    name: str
    before: Sequence[str] = ()
    state: str = WAITING
    why: str = ""
    """Why it runs, or need not, or did not."""
    target: str = ""
    run_id: str = ""
    seconds: float = 0.0
    """That it took; of one that is taken from the cache, that this saved."""
    began: float = 0.0
    """Of one that runs, on this machine's clock."""
    told: str = ""
    """What it says of its progress."""
    error: str = ""
    attempts: int = 0
    outputs: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        seconds = time.monotonic() - self.began if self.state == RUNNING else self.seconds
        held = {
            "name": self.name,
            "state": self.state,
            "why": self.why,
            "target": self.target,
            "run_id": self.run_id,
            "seconds": round(seconds, 3),
            "needs": list(self.before),
            "progress": self.told if self.state == RUNNING else "",
            "error": self.error,
            "attempts": self.attempts,
            "outputs": dict(self.outputs),
        }
        return {name: value for name, value in held.items() if value not in ("", [], {}, 0)} | {"state": self.state}


def write(place: Path, steps: Sequence[StepProgress]) -> None:
    """Tell the worker, which passes it on; beside and renamed, so that nobody reads half of it."""
    running = [step for step in steps if step.state == RUNNING]
    document = {
        "done": sum(step.state in OVER for step in steps),
        "total": len(steps),
        "unit": "steps",
        "text": ", ".join(f"{step.name} {step.told}".strip() for step in running),
        "steps": [step.document() for step in steps],
    }
    beside = place.with_name(f"{place.name}.new")
    beside.write_text(json.dumps(document), encoding="utf-8")
    beside.replace(place)
