"""What a fine-tuning came to, in words and figures: is the model worth it, on how many rows, within what error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlops.ml import baselines

if TYPE_CHECKING:
    from dlops.ml.datasets import Dataset
    from dlops.ml.evaluation import Evaluation
    from dlops.ml.settings import Finetune
    from dlops.ml.training import Trained


def verdict(test: Evaluation, rivals: Mapping[str, float], *, synthetic: bool) -> str:
    """Say whether the model beats each baseline, as far as the number of test rows allows to say so."""
    figure = f"Test accuracy {test.accuracy:.3f} on {test.rows} rows (standard error {test.standard_error:.3f})"
    parts = [
        f"{_against(test, accuracy)} the {baselines.TITLES[name]} ({accuracy:.3f})" for name, accuracy in rivals.items()
    ]
    ending = " The data is synthetic: the figures say nothing about real reviews." if synthetic else ""
    return f"{figure}: the model {' and '.join(parts)}.{ending}"


def _against(test: Evaluation, rival: float) -> str:
    """Compare with the standard error of a difference between two shares of equal size."""
    error = math.sqrt(test.standard_error**2 + rival * (1 - rival) / test.rows)
    difference = test.accuracy - rival
    if difference > 2 * error:
        return "beats"
    if difference < -2 * error:
        return "falls behind"
    return "is, within two standard errors, level with"


def summary(settings: Finetune, dataset: Dataset, trained: Trained, rivals: Mapping[str, float]) -> dict[str, Any]:
    """Collect the report's figures, as JSON keeps them."""
    test = trained.test
    return {
        "verdict": verdict(test, rivals, synthetic=dataset.synthetic),
        "model": settings.model,
        "strategy": settings.strategy,
        "dataset": {
            "reference": dataset.reference,
            "digest": dataset.digest,
            "source": dataset.source,
            "synthetic": dataset.synthetic,
            "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        },
        "test": {
            **test.metrics("test"),
            "test_accuracy_standard_error": test.standard_error,
            "classes": {
                label: {"precision": found.precision, "recall": found.recall, "f1": found.f1, "rows": found.rows}
                for label, found in test.classes.items()
            },
            "confusion": test.confusion.tolist(),
        },
        "baselines": dict(rivals),
        "best_epoch": trained.best_epoch,
        "training_seconds": trained.seconds,
    }


def markdown(found: Mapping[str, Any]) -> str:
    """Lay the summary out for reading."""
    data, test = found["dataset"], found["test"]
    rows = data["rows"]
    lines = [
        "# Fine-tuning",
        "",
        found["verdict"],
        "",
        f"- model: `{found['model']}`, strategy `{found['strategy']}`, epoch {found['best_epoch']} kept",
        f"- data: `{data['reference']}` ({data['source']}), digest `{data['digest']}`"
        f"{', **synthetic**' if data['synthetic'] else ''}",
        f"- rows: {rows['train']} train, {rows['val']} val, {rows['test']} test",
        f"- training: {found['training_seconds']:.0f} s",
        "",
        "| | test accuracy |",
        "|---|---|",
        f"| this model | {test['test_accuracy']:.3f} |",
        *(f"| {baselines.TITLES[name]} | {value:.3f} |" for name, value in found["baselines"].items()),
        "",
        "| label | precision | recall | F1 | rows |",
        "|---|---|---|---|---|",
        *(
            f"| {label} | {scores['precision']:.3f} | {scores['recall']:.3f} | {scores['f1']:.3f} | {scores['rows']} |"
            for label, scores in test["classes"].items()
        ),
    ]
    return "\n".join(lines) + "\n"
