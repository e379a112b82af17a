"""Measure every contest and write `benchmarks/RESULTS.md`: `make bench`."""

from __future__ import annotations

import math
import os
import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks import reviews
from benchmarks.measure import Contest, Result, run

RESULTS = Path(__file__).parent / "RESULTS.md"
ROUNDS = int(os.environ.get("ROUNDS", "9"))
MEGABYTES = int(os.environ.get("MEGABYTES", "2000"))
"""Size of the file that is ingested."""
_PROGRAMS = Path(sys.executable).parent
_DLOPS, _MLFLOW = str(_PROGRAMS / "dlops"), str(_PROGRAMS / "mlflow")
_REVIEWS = "reviews.csv"
_TRIVIAL = """\
name: trivial
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2}
    command: "echo {epochs}"
"""
CONTESTS = (
    Contest(
        "Help",
        [_DLOPS, "--help"],
        [_MLFLOW, "--help"],
        "`dlops --help` at least 15 times faster than `mlflow --help`",
        1 / 15,
    ),
    Contest(
        "Launch",
        [_DLOPS, "finetune"],
        [_MLFLOW, "run", ".", "-e", "finetune", "--env-manager", "local"],
        "a trivial entry point (`echo`) in at most 0.6 of `mlflow run`'s wall time, the SQLite store being there",
        0.6,
    ),
    *(
        Contest(
            f"Ingest, beside {other}",
            [sys.executable, "-m", "benchmarks.ingest", "dlops", _REVIEWS],
            [sys.executable, "-m", "benchmarks.ingest", other, _REVIEWS],
            f"{goal} the speed at which {other} reads {MEGABYTES} MB of CSV and writes Parquet",
            limit,
            rounds=3,
        )
        for other, goal, limit in (
            ("pyarrow", "at least 0.3 of", 1 / 0.3),
            ("polars", "no goal: shown beside", math.inf),
        )
    ),
)


def main() -> int:
    """Run all contests in a folder of their own; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "MLproject").write_text(_TRIVIAL)
        reviews.write(folder / _REVIEWS, MEGABYTES)
        environ = {
            "DLOPS_HOME": str(folder / "home"),
            "PATH": f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        results = []
        for contest in CONTESTS:
            results.append(run(contest, rounds=ROUNDS, folder=folder, environ=environ))
            print(_row(results[-1]), flush=True)
    RESULTS.write_text(_report(results))
    return 0 if all(result.met for result in results) else 1


def _report(results: list[Result]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("dlops", "mlflow", "typer"))
    machine = f"Python {platform.python_version()}, {os.cpu_count()} cores, {platform.system()}"
    rows = "\n".join(map(_row, results))
    return f"""# Results

`make bench`, {machine}; {versions}.
Whole processes, wall time, {ROUNDS} interleaved pairs (3 of ingest) after one uncounted pair, medians; the ratio is the
median of the pairs' ratios. Absolute times belong to the machine they were taken on; ratios travel.

| what | dlops, s (min to max) | the other, s (min to max) | ratio | goal | met |
|---|---|---|---|---|---|
{rows}
"""


def _row(result: Result) -> str:
    contest = result.contest
    ratio = f"{result.ratio:.3f} ({1 / result.ratio:.2g} times the speed)"
    met = "" if contest.limit == math.inf else "yes" if result.met else "no"
    return f"| {contest.title} | {_spread(result.ours)} | {_spread(result.theirs)} | {ratio} | {contest.goal} | {met} |"


def _spread(seconds: list[float]) -> str:
    return f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})"


if __name__ == "__main__":
    sys.exit(main())
