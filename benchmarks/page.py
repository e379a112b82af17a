"""What was measured, as a reader sees it: a line on the machine, a table with a row for each claim."""

from __future__ import annotations

import math
import os
import platform
import statistics
from collections.abc import Iterable
from importlib.metadata import version

from benchmarks.measure import Result

_HEAD = """\
| what | dlops, s (min to max) | the other, s (min to max) | ratio | goal | met |
|---|---|---|---|---|---|"""


def machine(*packages: str) -> str:
    """Tell Python, the machine and the versions of packages."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}; {versions}"


def table(results: Iterable[Result]) -> str:
    """Put the results below one another."""
    return "\n".join([_HEAD, *map(row, results)])


def row(result: Result) -> str:
    """Write one result as a row of the table."""
    claim = result.claim
    ratio = f"{result.ratio:.3f} ({1 / result.ratio:.2g} times the speed)"
    met = "" if claim.limit == math.inf else "yes" if result.met else "no"
    return f"| {claim.title} | {_spread(result.ours)} | {_spread(result.theirs)} | {ratio} | {claim.goal} | {met} |"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"
