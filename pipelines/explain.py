"""Explain a model's answers: what of each text they rest on, how far that can be trusted, and a report of it."""

from __future__ import annotations

import time
from collections.abc import Sequence

import mlflow

from dlops.errors import DataError
from dlops.ml import (
    coloured_words,
    datasets,
    explainable,
    explained_set,
    explainer_packaging,
    explaining,
    explanation_report,
    explanation_shards,
    gates,
    hardware,
    judging,
    logged_models,
    record,
    results,
    step,
)
from dlops.ml.datasets import Dataset, Split
from dlops.ml.explainable import Explainable
from dlops.ml.explained_set import Collected, Contrast
from dlops.ml.explaining import Choice, Reject
from dlops.ml.explanation_report import Explained
from dlops.ml.explanations import Explanation
from dlops.ml.hardware import Arithmetic
from dlops.ml.progress import say, show
from dlops.ml.settings import Explain
from dlops.registry import versions


def explain(settings: Explain) -> None:
    """Explain texts, log what came of each and of all, and hold that to requirements."""
    required = gates.parse(settings.require, explanation_report.facts_named(settings))
    if settings.register_as is not None:
        versions.check_name("register_as", settings.register_as, mlflow.get_registry_uri())
    arithmetic = hardware.arithmetic(settings.precision, settings.accelerator)
    dataset, split = _texts(settings)
    model = _loaded("model", settings.model, arithmetic)
    other = _loaded("against", settings.against, arithmetic) if settings.against else None
    if settings.label is not None:
        model.place(settings.label)
    if other:
        model.check_beside(other)
    say(f"{len(split):,} texts, {arithmetic}")
    choice = _choice(model, split, settings)
    record.tag("method", choice.method)
    say(f"Explained by {choice.method.replace('_', ' ')}: {choice.why}")
    collected = Collected(shown=settings.shown, listed=settings.shown)
    rejected: list[Reject] = []
    first: list[Explanation] = []
    began = time.monotonic()
    with record.system_metrics():
        for shard in explanation_shards.each(model, split, choice.method, settings):
            collected.add(shard.explained)
            rejected += shard.rejected
            first += shard.explained[: max(settings.trust_rows, 1) - len(first)]
        seconds = time.monotonic() - began
        if not collected.rows:
            raise DataError(
                "None of the texts can be explained.", problems=[f"{one.id}: {one.reason}" for one in rejected]
            )
        trust, chance = explaining.trusted(model, first, settings.seed) if settings.trust_rows else (None, None)
        contrast = _contrast(other, split, first, choice, settings) if other else None
    found = Explained(settings, model, dataset, choice, collected, rejected, trust, chance, contrast, seconds)
    answers = gates.answered(required, found.facts)
    explanation_report.log(found, answers)
    for one in collected.first[: settings.top]:
        for line in coloured_words.lines(one):
            show(line)
    gates.check(answers)
    if settings.register_as:
        explainer_packaging.register(model, choice, settings)


def _choice(model: Explainable, split: Split, settings: Explain) -> Choice:
    """Choose the method; a run that goes on has the one that it began with."""
    if settings.method == "auto" and settings.resume_from:
        before = explanation_shards.method_of(settings.resume_from)
        if before:
            return Choice(before, f"as run {settings.resume_from} chose, which this one goes on with", {})
    return explaining.choose(model, split, settings)


def _texts(settings: Explain) -> tuple[Dataset | None, Split]:
    """Give the texts that are explained, and the dataset that they are of."""
    if settings.text is not None:
        return None, Split([settings.text], [])
    try:
        dataset = datasets.open(settings.dataset)
    except DataError:  # labels are told where there are some, and nothing here needs them
        dataset = datasets.open(settings.dataset, labelled=False)
    results.data(dataset, context="explanation")
    return dataset, judging.chosen(dataset, settings)


def _loaded(parameter: str, reference: str, arithmetic: Arithmetic) -> Explainable:
    """Load a model, and record what its name stands for now."""
    model = explainable.load(reference, arithmetic)
    record.resolved(parameter, model.uri)
    if model_id := logged_models.model_id(model.uri):
        record.model_input(model_id)
    return model


def _contrast(
    other: Explainable, split: Split, mine: Sequence[Explanation], choice: Choice, settings: Explain
) -> Contrast:
    """Let the other model explain some rows for the labels that this one gave, and compare."""
    texts = dict(zip(split.ids(), split.texts, strict=True))
    return explained_set.contrast(mine, explaining.of_labels(other, texts, mine, choice.method, settings))


if __name__ == "__main__":
    step.main(Explain, explain)
