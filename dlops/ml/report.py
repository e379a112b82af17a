"""What a fine-tuning came to, in words and figures: is the model worth it, on how many rows, within what error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from dlops.ml import baselines
from dlops.ml.evaluation import Classification

if TYPE_CHECKING:
    from dlops.ml.datasets import Dataset
    from dlops.ml.evaluation import Evaluation
    from dlops.ml.settings import Finetune
    from dlops.ml.training import Trained


def verdict(test: Evaluation, rivals: Mapping[str, Evaluation], *, synthetic: bool) -> str:
    """Say whether the model beats each baseline, as far as the number of test rows allows to say so."""
    low, high = test.intervals()[test.headline]
    figure = f"Test {named(test.headline)} {test.value:.3f} on {test.rows} rows (95 % interval {low:.3f} to {high:.3f})"
    parts = [
        f"{_against(test, rival)} the {baselines.TITLES[name]} ({rival.value:.3f})" for name, rival in rivals.items()
    ]
    ending = " The data is synthetic: the figures say nothing about real reviews." if synthetic else ""
    return f"{figure}: the model {' and '.join(parts)}.{ending}"


def named(figure: str) -> str:
    """Give a figure's name as people write it."""
    return {"r2": "R²", "rmse": "RMSE", "mae": "MAE"}.get(figure, figure.replace("_f1", " F1").replace("_", " "))


def _against(test: Evaluation, rival: Evaluation) -> str:
    """Compare on the same rows (paired bootstrap)."""
    low, high = test.difference(rival)
    if low > 0:
        return "beats"
    return "falls behind" if high < 0 else "is not told apart from"


def summary(
    settings: Finetune,
    dataset: Dataset,
    trained: Trained,
    rivals: Mapping[str, Evaluation],
    *,
    revision: str | None = None,
) -> dict[str, Any]:
    """Collect the report's figures, as JSON keeps them; `revision` is what the model's name stood for."""
    test = trained.test
    found: dict[str, Any] = {
        "verdict": verdict(test, rivals, synthetic=dataset.synthetic),
        "headline": test.headline,
        "model": settings.model,
        "model_revision": revision,
        "strategy": settings.strategy,
        "head": settings.head,
        "dataset": {
            "reference": dataset.reference,
            "digest": dataset.digest,
            "source": dataset.source,
            "synthetic": dataset.synthetic,
            "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        },
        "test": {
            "loss": test.loss,
            **test.figures,
            "intervals": {name: list(ends) for name, ends in test.intervals().items()},
            "classes": {label: asdict(scores) for label, scores in test.classes.items()},
        },
        "baselines": {name: rival.figures for name, rival in rivals.items()},
        "best_epoch": trained.best_epoch,
        "training_seconds": trained.seconds,
    }
    if isinstance(test, Classification):
        found["test"]["confusion"] = test.confusion.tolist()
    return found


def markdown(found: Mapping[str, Any]) -> str:
    """Lay the summary out for reading."""
    data, test, headline = found["dataset"], found["test"], found["headline"]
    rows = data["rows"]
    figures = [name for name in test if name not in ("intervals", "classes", "confusion", "loss")]
    intervals = {name: f"{low:.3f} to {high:.3f}" for name, (low, high) in test["intervals"].items()}
    model = f"`{found['model']}`" + (f" (`{found['model_revision']}`)" if found["model_revision"] else "")
    lines = [
        "# Fine-tuning",
        "",
        found["verdict"],
        "",
        f"- model: {model}, strategy `{found['strategy']}`, epoch {found['best_epoch']} kept",
        f"- data: `{data['reference']}` ({data['source']}), digest `{data['digest']}`"
        f"{', **synthetic**' if data['synthetic'] else ''}",
        f"- rows: {rows['train']} train, {rows['val']} val, {rows['test']} test",
        f"- training: {found['training_seconds']:.0f} s",
        "",
        f"| | test {named(headline)} |",
        "|---|---|",
        f"| this model | {test[headline]:.3f} |",
        *(f"| {baselines.TITLES[name]} | {rival[headline]:.3f} |" for name, rival in found["baselines"].items()),
        "",
        "| test rows | | 95 % interval |",
        "|---|---|---|",
        *(f"| {named(name)} | {test[name]:.3f} | {intervals.get(name, '')} |" for name in figures),
    ]
    if test["classes"]:
        lines += ["", "| label | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for label, scores in test["classes"].items():
        parts = " | ".join(f"{scores[name]:.3f}" for name in ("precision", "recall", "f1"))
        lines.append(f"| {label} | {parts} | {scores['rows']} |")
    return "\n".join(lines) + "\n"
