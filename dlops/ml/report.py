"""What a fine-tuning came to, in words and figures: is the model worth it, on how many rows, within what error."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from dlops.config.terminal import visible
from dlops.ml import baselines
from dlops.ml.evaluation import Classification

if TYPE_CHECKING:
    from dlops.ml.datasets import Dataset
    from dlops.ml.evaluation import Evaluation
    from dlops.ml.settings import Finetune
    from dlops.ml.training import Trained


FEW = 30
"""Test rows below which every interval is wide, and the percentile bootstrap's too narrow."""


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


def warning(test: Evaluation, rivals: Mapping[str, Evaluation]) -> str:
    """Say what makes the figures say little, and which baselines the model does not beat; nothing if all is well."""
    few = [f"{test.rows} test rows are too few to say how good the model is"] if test.rows < FEW else []
    unbeaten = [baselines.TITLES[name] for name, rival in rivals.items() if test.difference(rival)[0] <= 0]
    poor = f"the model does not beat the {' and the '.join(unbeaten)}: on this data it is not worth its price so far"
    return "; ".join([*few, *([poor] if unbeaten else [])])


def spread(trainings: Sequence[Trained]) -> dict[str, float]:
    """Give mean, deviation (of a sample), least and greatest headline of the test rows over several seeds."""
    values = [trained.test.value for trained in trainings]
    return {"mean": mean(values), "std": stdev(values), "min": min(values), "max": max(values)}


def summary(
    settings: Finetune,
    dataset: Dataset,
    chosen: Trained,
    rivals: Mapping[str, Evaluation],
    trainings: Sequence[Trained] = (),
    *,
    revision: str | None = None,
) -> dict[str, Any]:
    """Collect the report's figures, as JSON keeps them.

    `chosen` is the one of `trainings` whose model is kept; `revision` is what the foundation model's name stood for.
    """
    test = chosen.test
    found: dict[str, Any] = {
        "verdict": verdict(test, rivals, synthetic=dataset.synthetic),
        "warning": warning(test, rivals),
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
            "kind": dataset.kind,
            "labels": list(dataset.labels),
            "rows": {"train": len(dataset.train), "val": len(dataset.val), "test": len(dataset.test)},
        },
        "test": _figures(test),
        "baselines": {name: rival.figures for name, rival in rivals.items()},
        "best_epoch": chosen.best_epoch,
        "training_seconds": chosen.seconds,
    }
    if chosen.val:
        found["val"] = _figures(chosen.val)
    if len(trainings) > 1:
        found["seeds"] = {"values": [trained.test.value for trained in trainings], **spread(trainings)}
    return found


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "loss": evaluation.loss,
        **evaluation.figures,
        "intervals": {name: list(ends) for name, ends in evaluation.intervals().items()},
        "classes": {label: asdict(scores) for label, scores in evaluation.classes.items()},
    }
    if isinstance(evaluation, Classification):
        found["confusion"] = evaluation.confusion.tolist()
    return found


def markdown(found: Mapping[str, Any]) -> str:
    """Lay the summary out for reading."""
    data = found["dataset"]
    rows = data["rows"]
    model = f"`{found['model']}`" + (f" (`{found['model_revision']}`)" if found["model_revision"] else "")
    lines = [
        "# Fine-tuning",
        "",
        found["verdict"],
        *(["", f"**Warning:** {found['warning']}."] if found["warning"] else []),
        "",
        f"- model: {model}, strategy `{found['strategy']}`, epoch {found['best_epoch']} kept",
        f"- data: `{data['reference']}` ({data['source']}), digest `{data['digest']}`"
        f"{', **synthetic**' if data['synthetic'] else ''}",
        f"- rows: {rows['train']} train, {rows['val']} val, {rows['test']} test",
        f"- training: {found['training_seconds']:.0f} s",
        "",
        *figures(found),
    ]
    return "\n".join(lines) + "\n"


def figures(found: Mapping[str, Any]) -> list[str]:
    """Lay out the figures of a summary, as lines of Markdown."""
    test, headline = found["test"], found["headline"]
    splits = [split for split in ("val", "test") if split in found]
    names = [name for name in test if name not in ("intervals", "classes", "confusion")]
    lines = [
        f"| | test {named(headline)} |",
        "|---|---|",
        f"| this model | {test[headline]:.3f} |",
        *(f"| {baselines.TITLES[name]} | {rival[headline]:.3f} |" for name, rival in found["baselines"].items()),
        "",
        f"| | {' | '.join(f'{split} | 95 % interval' for split in splits)} |",
        f"|---|{'---|---|' * len(splits)}",
        *(f"| {named(name)} | {' | '.join(_cells(found[split], name) for split in splits)} |" for name in names),
    ]
    if seeds := found.get("seeds"):
        each = ", ".join(f"{value:.3f}" for value in seeds["values"])
        lines += ["", f"Test {named(headline)} of {len(seeds['values'])} seeds: {spread_of(seeds)} ({each})."]
    if test["classes"]:
        lines += ["", "| test label | precision | recall | F1 | rows |", "|---|---|---|---|---|"]
    for label, scores in test["classes"].items():
        parts = " | ".join(f"{scores[name]:.3f}" for name in ("precision", "recall", "f1"))
        lines.append(f"| {cell(label)} | {parts} | {scores['rows']} |")
    return lines


def cell(text: str) -> str:
    """Write what data holds so that it is one cell of a table, and plain text there."""
    return re.sub(r"([\\|`*<])", r"\\\1", visible(text))


def spread_of(seeds: Mapping[str, float]) -> str:
    """Say how far the figures of several seeds lie apart."""
    return f"{seeds['mean']:.3f} ± {seeds['std']:.3f}"


def _cells(split: Mapping[str, Any], name: str) -> str:
    ends = split["intervals"].get(name)
    return f"{split[name]:.3f} | {f'{ends[0]:.3f} to {ends[1]:.3f}' if ends else ''}"
