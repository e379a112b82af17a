"""How a model is judged: it answers the rows, beside others; what came of that is left on the run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dlops.data import scratch
from dlops.errors import DataError
from dlops.ml import (
    answers,
    baselines,
    comparison,
    datasets,
    evaluation_page,
    evaluation_pictures,
    gates,
    judgement,
    logged_models,
    pictures,
    record,
    results,
    slices,
)
from dlops.ml.answers import Answers, Model
from dlops.ml.datasets import Dataset, Split
from dlops.ml.evaluation import Classification, Labelled, MultiLabel
from dlops.ml.judgement import Judgement
from dlops.ml.progress import say
from dlops.ml.report import named
from dlops.ml.settings import Evaluate, Explain

REPORT = "evaluation.html"
DOCUMENT = "evaluation.json"
PREDICTIONS = "predictions.parquet"


def judge(settings: Evaluate) -> tuple[Judgement, tuple[gates.Answer, ...]]:
    """Let the model answer the rows, and hold that against what is required.

    Raises:
        UsageError: what is required is wrong.
        DataError: there are no such rows or columns.
        StepFailed: a model cannot answer, or not so that it can be judged.
    """
    dataset = datasets.open(settings.dataset, more=settings.slice_by, optional=slices.BUILT_IN)
    required = gates.parse(settings.require, judgement.names(dataset, settings))
    split = chosen(dataset, settings)
    results.data(dataset, context="evaluation")
    model = _loaded("model", settings.model, settings)
    other = _loaded("against", settings.against, settings) if settings.against else None
    with record.system_metrics():
        seconds = model.seconds(split, settings.latency_rows) if settings.latency_rows else np.empty(0)
        given, judged = _judged(model, dataset, split)
        against = comparison.compare(judged, _judged(other, dataset, split)[1]) if other else None
        rivals = baselines.evaluations(replace(dataset, test=split)) if settings.baselines else {}
        parts = (
            slices.of(judged, split, tuple(dict.fromkeys(settings.slice_by)), dataset.train)
            if settings.slice_by
            else None
        )
    found = Judgement(settings, dataset, split, model, given, judged, rivals, other, against, parts, seconds)
    return found, gates.answered(required, found.facts)


def chosen(dataset: Dataset, settings: Evaluate | Explain) -> Split:
    """Give the rows that are meant.

    Raises:
        DataError: there are none.
    """
    whole = settings.split == "all"
    split: Split = dataset.train + dataset.val + dataset.test if whole else getattr(dataset, settings.split)
    if not split:
        raise DataError(
            f"{dataset.reference} has no {settings.split} rows.", hint="Name others: split=test, or split=all."
        )
    if 0 < settings.rows < len(split):
        return split.at(datasets.drawn(len(split), settings.rows, settings.seed))
    return split


def _loaded(parameter: str, reference: str, settings: Evaluate) -> Model:
    """Load a model, and record what its name stands for now."""
    model = answers.load(reference, allow_pickle=settings.allow_pickle)
    if model.uri != reference:
        say(f"The model {reference} is {model.uri}")
    record.resolved(parameter, model.uri)
    if model_id := logged_models.model_id(model.uri):
        record.model_input(model_id)
    return model


def _judged(model: Model, dataset: Dataset, split: Split) -> tuple[Answers, Labelled]:
    say(f"{model.reference} answers {len(split):,} rows")
    given = model.answers(split)
    return given, given.judged(dataset.kind, dataset.labels, split, dataset.unit)


def log(found: Judgement, requirements: Sequence[gates.Answer]) -> None:
    """Leave everything on the run: metrics, report, lists, answers; the outputs `verdict` and `report`."""
    lists = found.lists()
    document = found.document(requirements, lists)
    record.metrics(found.metrics())
    drawn = _pictures(found)
    for name, figure in drawn.items():
        record.picture(name, figure)
    record.document(DOCUMENT, document)
    record.text(REPORT, evaluation_page.html(document, drawn))
    _log_answers(found)
    for name, rows in lists.items():
        if rows:
            record.table(f"{name}.json", [asdict(row) for row in rows])
    record.output("verdict", document["verdict"] or "none")
    record.output("report", f"runs:/{record.run_id()}/{REPORT}")
    say(found.verdict_told)
    for text in document["warnings"]:
        say(text)
    for answer in requirements:
        say(str(answer))


def _pictures(found: Judgement) -> dict[str, Any]:
    judged = found.judged
    title = f"{found.settings.model[-50:]}\n{found.dataset.name}, {judged.rows} rows"
    kind = "confusion_matrix.png" if isinstance(judged, Classification) else "predictions.png"
    drawn = {kind: pictures.predictions(judged, title)}
    if isinstance(judged, Classification | MultiLabel) and found.answers.scored:
        drawn["reliability.png"] = evaluation_pictures.reliability(judged, title)
        drawn["precision_recall.png"] = evaluation_pictures.precision_recall(judged, title)
    if found.rivals:
        bars = {baselines.TITLES[name]: rival.value for name, rival in found.rivals.items()}
        bars["this model"], ends = judged.value, found.intervals[judged.headline]
        drawn["baselines.png"] = pictures.baselines(bars, ends, named(judged.headline), title)
    if found.slices and found.slices.parts:
        drawn["slices.png"] = evaluation_pictures.slices(found.slices.parts, judged.value, title)
    return drawn


def _log_answers(found: Judgement) -> None:
    """Keep what the model answered to each row, by which another copy of it can be held to the same."""
    rows = found.answers.rows
    content = pa.table({"id": found.split.ids(), "answer": [json.dumps(row, ensure_ascii=False) for row in rows]})
    with scratch.folder() as folder:
        pq.write_table(content, folder / PREDICTIONS)
        record.file(folder / PREDICTIONS)
