"""Search beside plain trainings and plain Ray Tune, and write `benchmarks/TUNE.md`: `make bench`.

`REVIEWS` names a CSV file of texts and labels; without it the texts are synthetic. `ROWS` takes so many of them, for a
quick look: what comes of that is printed, and not written. `ROUNDS` is how often all is done.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from safetensors.torch import save_file

from benchmarks import page
from benchmarks.measure import Claim, Result
from benchmarks.trainings import Workplace
from dlops.ml import backbones, datasets, fine_tuning, hardware, targets, training
from dlops.ml.settings import Finetune

RESULTS = Path(__file__).parent / "TUNE.md"
REVIEWS = os.environ.get("REVIEWS", "")
ROWS = int(os.environ.get("ROWS", "0"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
_TRIALS, _EPOCHS, _MANY = 10, 3, 200
_EACH = 0.05
"""Seconds that a trial of nothing may take."""


def main() -> int:
    """Run all rounds in a folder of their own; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = Workplace(folder, reviews=REVIEWS, rows=ROWS)
        plain = work.plain("freeze", epochs=_EPOCHS, seed=0)
        searches = [work.tune(_TRIALS, epochs=_EPOCHS, home=f"tune-{number}") for number in range(ROUNDS)]
        features = _features(work.table, folder)
        heads = [
            (work.tune(_TRIALS, epochs=_EPOCHS, home="tune-0").trials, _plain_search("head", _TRIALS, features))
            for _ in range(ROUNDS)
        ]
        nothing = [
            (_search("process", folder), _search("ray", folder), _plain_search("nothing", _MANY)) for _ in range(ROUNDS)
        ]
    results = [
        Result(
            Claim(
                f"{_TRIALS} trials of {_EPOCHS} epochs, beside as many trainings", "at least 15 times as fast", 1 / 15
            ),
            [search.seconds for search in searches],
            [_TRIALS * plain.whole] * ROUNDS,
        ),
        Result(
            Claim("The trials themselves, beside Ray Tune on kept features", "at least 5 times as fast", 1 / 5),
            [ours for ours, _ in heads],
            [theirs for _, theirs in heads],
        ),
        Result(
            Claim(f"{_MANY} trials of nothing on Ray, beside Ray Tune", "at most 0.7 of its time", 0.7),
            [ray["seconds"] for _, ray, _ in nothing],
            [theirs for *_, theirs in nothing],
        ),
    ]
    each = sorted(ours["seconds"] / _MANY for ours, *_ in nothing)[ROUNDS // 2]
    grown = max(ours["grown_mb"] for ours, *_ in nothing)
    better = all(search.best >= search.default for search in searches)
    report = _report(results, each, grown, better)
    print(report)
    if not ROWS:
        RESULTS.write_text(report)
    return 0 if each <= _EACH and better and all(result.met for result in results) else 1


def _features(table: str, folder: Path) -> Path:
    """Compute what the frozen layers give, and keep it as the plain search reads it."""
    settings = Finetune(dataset=table, strategy="freeze")
    dataset, arithmetic = datasets.open(table), hardware.arithmetic("auto")
    target = targets.of(dataset.kind, dataset.labels, dataset.train.labels)
    training.seed(0)
    location, head = backbones.locate(settings.model), fine_tuning.head(settings)
    network, tokenizer = backbones.load(location, target, head=head, arithmetic=arithmetic)
    micro = fine_tuning.micro_tokens(settings, arithmetic, network)
    with mlflow.start_run():
        rows = fine_tuning.rows(dataset, tokenizer, target, settings, micro)
        read = fine_tuning.prepare(network, rows, settings, arithmetic).features
    assert read is not None
    assert read.val is not None
    kept = {"train": read.train, "val": read.val}
    file = folder / "features.safetensors"
    tensors = {f"{name}_features": rows.features for name, rows in kept.items()}
    save_file(tensors | {f"{name}_labels": rows.labels for name, rows in kept.items()}, file)
    return file


def _plain_search(objective: str, trials: int, features: Path | None = None) -> float:
    words = [f"--features={features}"] if features else []
    return float(_printed("benchmarks.plain_ray_tune", objective, f"--trials={trials}", *words)["seconds"])


def _search(engine: str, folder: Path) -> dict[str, Any]:
    return _printed("benchmarks.stand_in", engine, str(_MANY), MLFLOW_TRACKING_URI=f"sqlite:///{folder}/{engine}.db")


def _printed(module: str, *words: str, **environ: str) -> dict[str, Any]:
    """Run a module, and read the JSON of its last line.

    Raises:
        CalledProcessError: it failed; the figures of a failure mean nothing.
    """
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(
        command, env={**os.environ, **environ}, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    found = json.loads(done.stdout.strip().splitlines()[-1])
    return dict(found)


def _report(results: list[Result], each: float, grown: float, better: bool) -> str:
    return f"""# Searching

`python -m benchmarks.tune`, {page.machine("dlops", "mlflow", "torch", "optuna", "ray", "pytorch-lightning")}.
dlops computes in {hardware.arithmetic("auto")}, on {Path(REVIEWS).name or "the synthetic sample"}, with `freeze`.

A search is the whole command, features computed, winner tested and logged. The training beside it is
`plain_lightning.py` (float32, padded, the backbone computed in each epoch), once, its seconds times {_TRIALS}.
Ray Tune is `plain_ray_tune.py`, its start not counted: one process a trial, features read from a file; beside it
stand the trials of a second search, whose features are kept. Medians of {ROUNDS}.

{page.table(results)}

{_MANY} trials of nothing in one process, their records in SQLite with them: {each:.3f} s each; memory grew by
{grown:.0f} MB. Goal: at most {_EACH} s. Met: {"yes" if each <= _EACH else "no"}.
The winner is at least as good on the val rows as the defaults, in every search: {"yes" if better else "no"}.
"""


if __name__ == "__main__":
    sys.exit(main())
