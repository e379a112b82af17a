"""Judge a logged model on an ingested dataset: figures with their error, slices, a comparison, and what must hold."""

from __future__ import annotations

from dlops.ml import gates, judging, step
from dlops.ml.settings import Evaluate


def evaluate(settings: Evaluate) -> None:
    """Let the model answer the rows, judge that, log figures, report and lists; a requirement that fails is a gate."""
    found, requirements = judging.judge(settings)
    judging.log(found, requirements)
    gates.check(requirements)


if __name__ == "__main__":
    step.main(Evaluate, evaluate)
