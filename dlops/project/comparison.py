"""The metrics of a run beside those of the run that it did once more."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

_TIMED = re.compile(r"(.*/)?system/.*|.*(seconds|_ms|per_second|_s)$")
"""What is another each time, on the same machine even."""


@dataclass(frozen=True)
class Difference:
    """One metric, then and now; `None` where a run has none."""

    name: str
    before: float | None
    now: float | None

    @property
    def difference(self) -> float | None:
        if self.before is None or self.now is None:
            return None
        alike = self.before == self.now or (math.isnan(self.before) and math.isnan(self.now))
        return 0.0 if alike else self.now - self.before

    @property
    def is_timed(self) -> bool:
        """Whether it measures the machine, and says nothing of the results."""
        return bool(_TIMED.fullmatch(self.name))

    def is_within(self, tolerance: float) -> bool:
        """Say whether both are there and no further from one another than `tolerance`; NaN is as far as can be."""
        return self.difference is not None and abs(self.difference) <= tolerance

    def document(self) -> dict[str, float | str | None]:
        """Give it as JSON holds it."""
        return {"metric": self.name, "before": self.before, "now": self.now, "difference": self.difference}


def of(before: Mapping[str, float], now: Mapping[str, float]) -> list[Difference]:
    """Put the metrics of two runs beside one another, in the order of their names."""
    return [Difference(name, before.get(name), now.get(name)) for name in sorted({*before, *now})]
