"""Fine-tune beside a plain Lightning script and write `benchmarks/FINETUNE.md`: `make bench`.

`REVIEWS` names a CSV file of texts and labels; without it the texts are synthetic. `ROWS` takes so many of them, for a
quick look: what comes of that is printed, and not written. `ROUNDS` is how often all is done, with another seed each.
"""

from __future__ import annotations

import math
import os
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import page
from benchmarks.measure import Claim, Result
from benchmarks.trainings import Training, Workplace
from dlops.ml import hardware

RESULTS = Path(__file__).parent / "FINETUNE.md"
REVIEWS = os.environ.get("REVIEWS", "")
ROWS = int(os.environ.get("ROWS", "0"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
_FROZEN_EPOCHS = 3
_RESAMPLES = 1000
_BF16 = hardware.arithmetic("auto").bf16


@dataclass(frozen=True)
class Round:
    """All trainings of one seed, in the order in which they were run."""

    freeze: Training
    plain_freeze: Training
    freeze_again: Training
    no_freeze: Training
    plain_no_freeze: Training


@dataclass(frozen=True)
class Accuracy:
    """Shares of the test rows that were right, seed by seed, and how far ours is above theirs."""

    ours: list[float]
    theirs: list[float]
    difference: float
    low: float
    high: float

    @property
    def met(self) -> bool:
        """The interval does not lie wholly below zero."""
        return self.high >= 0


def main() -> int:
    """Run all rounds in a folder of their own; exit 1 when a goal is missed."""
    with tempfile.TemporaryDirectory() as name:
        work = Workplace(Path(name), reviews=REVIEWS, rows=ROWS)
        rounds = [_round(work, seed) for seed in range(ROUNDS)]
    results, found = _results(rounds), accuracy(rounds, work.splits["test"].labels)
    report = _report(results, found, work)
    print(report)
    if not ROWS:
        RESULTS.write_text(report)
    return 0 if found.met and all(result.met for result in results) else 1


def _round(work: Workplace, seed: int) -> Round:
    """Train in turn, dlops with nothing kept from before except where that is what is measured.

    Frozen comes first: it warms up the disk's cache for both, where the first step is waited for.
    """
    frozen, whole = f"frozen-{seed}", f"whole-{seed}"
    return Round(
        freeze=work.dlops("freeze", epochs=_FROZEN_EPOCHS, seed=seed, home=frozen),
        plain_freeze=work.plain("freeze", epochs=_FROZEN_EPOCHS, seed=seed),
        freeze_again=work.dlops("freeze", epochs=_FROZEN_EPOCHS, seed=seed, home=frozen),
        no_freeze=work.dlops("no_freeze", epochs=1, seed=seed, home=whole),
        plain_no_freeze=work.plain("no_freeze", epochs=1, seed=seed),
    )


def _results(rounds: list[Round]) -> list[Result]:
    frozen = f"{_FROZEN_EPOCHS} epochs"
    return [
        Result(
            Claim("`no_freeze`, an epoch", "at least 3.5 times as fast with bf16", 1 / 3.5 if _BF16 else math.inf),
            [statistics.mean(one.no_freeze.epochs) for one in rounds],
            [statistics.mean(one.plain_no_freeze.epochs) for one in rounds],
        ),
        Result(
            Claim(f"`freeze`, {frozen}", "at least 8 times as fast", 1 / 8),
            [one.freeze.seconds for one in rounds],
            [one.plain_freeze.seconds for one in rounds],
        ),
        Result(
            Claim(f"`freeze` again, {frozen}", "at least 50 times as fast", 1 / 50),
            [one.freeze_again.seconds for one in rounds],
            [one.plain_freeze.seconds for one in rounds],
        ),
        Result(
            Claim("Command to first step", "at most 0.6 of the plain script's time", 0.6),
            [one.no_freeze.first_step for one in rounds],
            [one.plain_no_freeze.first_step for one in rounds],
        ),
    ]


def accuracy(rounds: list[Round], labels: list[str]) -> Accuracy:
    """Compare the two on the same rows (Efron, 1979: percentile bootstrap of the paired differences).

    A row is drawn with all its seeds, for what is hard in it is hard for every seed.
    """
    actual = np.array(labels)
    ours, theirs = (
        np.array([np.array(predicted) == actual for predicted in some], dtype=float)
        for some in ([one.no_freeze.predicted for one in rounds], [one.plain_no_freeze.predicted for one in rounds])
    )
    gained = (ours - theirs).mean(axis=0)
    drawn = np.random.default_rng(0).choice(gained, (_RESAMPLES, len(gained))).mean(axis=1)
    low, high = np.percentile(drawn, [2.5, 97.5])
    shares = [some.mean(axis=1).tolist() for some in (ours, theirs)]
    return Accuracy(shares[0], shares[1], float(gained.mean()), float(low), float(high))


def _report(results: list[Result], found: Accuracy, work: Workplace) -> str:
    sizes = ", ".join(f"{len(split)} {name}" for name, split in work.splits.items())
    length = statistics.mean(len(text) for split in work.splits.values() for text in split.texts)
    ours, theirs = (", ".join(f"{share:.3f}" for share in shares) for shares in (found.ours, found.theirs))
    return f"""# Fine-tuning

`python -m benchmarks.finetune`, {page.machine("dlops", "mlflow", "torch", "pytorch-lightning", "transformers")}.
dlops computes in {hardware.arithmetic("auto")}; bf16 is {"" if _BF16 else "not "}in the hardware.
all-MiniLM-L6-v2 on {Path(REVIEWS).name or "the synthetic sample"}: {sizes} rows of {length:.0f} characters in the mean.
The other is `plain_lightning.py`: float32, padded to 256 tokens, the same batch size and learning rates. The two run in
turn, each round with another seed; medians of {ROUNDS}, and the ratio is the median of the rounds' ratios.

An epoch's time is that of its steps and its validation, of trainings of one. The time of `freeze` is that of all
epochs, of Lightning's start, and of computing, or reading, what the frozen layers give for the train and val rows; the
plain script computes that in each epoch. Before the first step come the start of the command, imports, data,
tokens, model, and in the plain script Lightning's two batches of validation.

{page.table(results)}

Accuracy of `no_freeze` with one epoch, by seed: dlops {ours}; the plain script {theirs}.
Difference {found.difference:+.4f}, 95 % interval {found.low:+.4f} to {found.high:+.4f} (paired bootstrap over the test
rows, each with all its seeds). Goal: it does not lie wholly below zero. Met: {"yes" if found.met else "no"}.
"""


if __name__ == "__main__":
    sys.exit(main())
