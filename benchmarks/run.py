"""Measure every contest and write `benchmarks/RESULTS.md`: `make bench`."""

from __future__ import annotations

import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import page, reviews
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
        "`dlops --help` at least 15 times faster than `mlflow --help`",
        1 / 15,
        [_DLOPS, "--help"],
        [_MLFLOW, "--help"],
    ),
    Contest(
        "Launch",
        "a trivial entry point (`echo`) in at most 0.6 of `mlflow run`'s wall time, the SQLite store being there",
        0.6,
        [_DLOPS, "finetune"],
        [_MLFLOW, "run", ".", "-e", "finetune", "--env-manager", "local"],
    ),
    Contest(
        "Launch from Git",
        "the same entry point from an unchanged Git remote (`file://`) in at most 1.3 of a launch from a folder",
        1.3,
        [_DLOPS, "finetune", "--uri", "file://{folder}/remote"],
        [_DLOPS, "finetune"],
    ),
    *(
        Contest(
            f"Ingest, beside {other}",
            f"{goal} the speed at which {other} reads {MEGABYTES} MB of CSV and writes Parquet",
            limit,
            [sys.executable, "-m", "benchmarks.ingest", "dlops", _REVIEWS],
            [sys.executable, "-m", "benchmarks.ingest", other, _REVIEWS],
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
        _commit(folder / "remote")
        reviews.write(folder / _REVIEWS, MEGABYTES)
        environ = {
            "DLOPS_HOME": str(folder / "home"),
            "PATH": f"{_PROGRAMS}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[1]),
        }
        results = []
        for contest in CONTESTS:
            results.append(run(contest, rounds=ROUNDS, folder=folder, environ=environ))
            print(page.row(results[-1]), flush=True)
    RESULTS.write_text(_report(results))
    return 0 if all(result.met for result in results) else 1


def _commit(repository: Path) -> None:
    """Make a Git repository that holds the trivial project."""
    repository.mkdir()
    (repository / "MLproject").write_text(_TRIVIAL)
    who = ("-c", "user.name=bench", "-c", "user.email=bench@example.org")
    for words in (("init", "-q"), ("add", "-A"), (*who, "commit", "-q", "-m", "trivial")):
        subprocess.run(["git", *words], cwd=repository, check=True)


def _report(results: list[Result]) -> str:
    return f"""# Results

`make bench`, {page.machine("dlops", "mlflow", "typer")}.
Whole processes, wall time, {ROUNDS} interleaved pairs (3 of ingest) after one uncounted pair, medians; the ratio is the
median of the pairs' ratios. Absolute times belong to the machine they were taken on; ratios travel.

{page.table(results)}
"""


if __name__ == "__main__":
    sys.exit(main())
