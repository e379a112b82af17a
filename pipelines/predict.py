"""Predict in bulk: every row of a source is answered once, and written once, however often the step is interrupted."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlflow
import pyarrow as pa

from dlops.config import folders, locations
from dlops.data import sources
from dlops.data.columns import Wanted
from dlops.data.sources import Source
from dlops.errors import DataError, StepFailed, UsageError
from dlops.ml import bulk_answers, logged_models, raw_rows, record, step
from dlops.ml.bulk_answers import Answered
from dlops.ml.engines import served, store
from dlops.ml.engines.served import Served
from dlops.ml.engines.store import Kept
from dlops.ml.prediction_tables import Delta, Output, Parquet
from dlops.ml.progress import Progress, say
from dlops.ml.raw_rows import Place, Window
from dlops.ml.settings import Predict
from dlops.worker import locks

_OURS = ("row", "file", "line", "text", "text_pair", "label", "score", "scores", "language", "model", "model_version")
_TEXTS = ("text", "text_pair")
_PLACE = [("row", pa.int64()), ("file", pa.string()), ("line", pa.int64())]
_SHOWN = 5


@dataclass
class Told:
    """What came of the rows so far."""

    rows: int = 0
    before: int = 0
    """Those among them that were written by a run before."""
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)


def predict(settings: Predict) -> None:
    """Answer every row of the source, and write what came of it, shard by shard."""
    if unknown := [name for name in settings.keep if name in _OURS]:
        raise UsageError(f"keep: {', '.join(unknown)}: columns of these names are written anyway.")
    model = served.resolve(settings.model)
    record.resolved("model", model.uri)
    if model_id := logged_models.model_id(model.uri):
        record.model_input(model_id)
    source = sources.open(settings.source, seed=0, encoding=settings.encoding, plain=True)
    kept = store.kept(model, settings.engine, settings.agreement)
    record.tag("engine", kept.told.form)
    _check_columns(kept, settings)
    identity = _identity(model, source, settings)
    model = _gone_on_with(model, identity, settings)
    for name, value in (("predictions", identity), ("model_name", model.name), ("model_version", model.version)):
        if value:
            record.tag(name, value)
    uri = locations.located("table", settings.output, Path.cwd())
    schema = _schema(model, settings)
    say(f"Predicting {source.where} with {model.told}, engine {kept.told.form}")
    told = Told()
    began = time.monotonic()
    with locks.held(folders.cache() / "predictions" / f"{identity}.lock"), record.system_metrics():
        predictions, rejects = _outputs(uri, identity, schema, settings)
        done = bulk_answers.each(kept, _left(source, settings, predictions, told), clean=settings.cleaning == "model")
        progress = Progress(source.size or 0, "bytes")
        for answered in done:
            _write(answered, model, schema, predictions, rejects, told)
            _show(progress, answered.window, told, time.monotonic() - began)
    _report(uri, rejects, told, time.monotonic() - began)


def _left(source: Source, settings: Predict, predictions: Output, told: Told) -> Iterator[Window]:
    """Give the windows that were not written before."""
    columns = Wanted(labelled=False, text=settings.text, text_pair=settings.text_pair, keep=settings.keep)
    for window in raw_rows.windows(source, columns, settings.shard_rows):
        if predictions.has(window.number):
            told.rows += window.rows
            told.before += window.rows
        else:
            yield window


def _identity(model: Served, source: Source, settings: Predict) -> str:
    """Name this prediction: the same rows, answered the same way, have the same name."""
    files = [part.file.path.stat() for part in source.parts]
    what = {
        "model": model.uri,
        "source": source.origin,
        "files": [(status.st_size, status.st_mtime_ns) for status in files],
        "columns": [settings.text, settings.text_pair, *settings.keep],
        "how": [settings.engine, settings.cleaning, settings.shard_rows, settings.texts, settings.encoding],
        "output": [settings.format, settings.mode],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _check_columns(kept: Kept, settings: Predict) -> None:
    """Refuse pairs where the model takes single texts, and the other way round.

    Raises:
        UsageError: it does.
    """
    takes = len(kept.told.columns)
    if takes != 1 + bool(settings.text_pair):
        wanted = (
            "pairs: name the column of second texts, text_pair=COLUMN" if takes > 1 else "single texts, no text_pair="
        )
        raise UsageError(f"The model takes {wanted}.")


def _gone_on_with(model: Served, identity: str, settings: Predict) -> Served:
    """Give the model as the run named it that this one goes on with; refuse what another source or setting began.

    Raises:
        StepFailed: it is another one, or the run cannot be read.
    """
    if not settings.resume_from:
        return model
    try:
        tags: dict[str, str] = mlflow.MlflowClient().get_run(settings.resume_from).data.tags
    except mlflow.exceptions.MlflowException as error:
        raise StepFailed(f"The run {settings.resume_from} cannot be read: {error}.") from error
    before = tags.get("dlops.predictions")
    if before is not None and before != identity:
        raise StepFailed(
            f"The run {settings.resume_from} predicted another source, or otherwise: its rows cannot be gone on with.",
            hint="Did a file change? Predict it anew: mode=overwrite, or another output=.",
        )
    return replace(
        model,
        name=tags.get("dlops.model_name", model.name),
        version=tags.get("dlops.model_version", model.version),
    )


def _schema(model: Served, settings: Predict) -> Any:
    """Say what the columns of predictions hold."""
    outputs = mlflow.models.get_model_info(model.uri).signature
    named = {one.name: str(one.type) for one in (outputs.outputs if outputs and outputs.outputs else ())}
    kind = named.get("label", "")
    label = pa.list_(pa.string()) if "Array" in kind else pa.float64() if "double" in kind else pa.string()
    texts = _TEXTS[: 2 if settings.text_pair else 1] if settings.texts else ()
    return pa.schema(
        [
            *_PLACE,
            *((name, pa.string()) for name in (*settings.keep, *texts)),
            ("label", label),
            ("score", pa.float64()),
            ("scores", pa.map_(pa.string(), pa.float64())),
            *([("language", pa.string())] if "language" in named else []),
            ("model", pa.string()),
            ("model_version", pa.string()),
        ]
    )


def _outputs(uri: str, identity: str, schema: Any, settings: Predict) -> tuple[Output, Output]:
    """Open the table of predictions, and that of rejects beside it."""
    reasons = pa.schema([*_PLACE, ("reason", pa.string())])
    beside = f"{uri.rstrip('/')}_rejects"
    if settings.format == "delta":
        overwrite = settings.mode == "overwrite"
        return Delta(uri, identity, schema, overwrite), Delta(beside, identity, reasons, overwrite)
    if "://" in uri or settings.mode == "overwrite":
        raise UsageError("format=parquet: files are added to a folder of this machine, and none is removed.")
    return Parquet(Path(uri), identity, schema), Parquet(Path(beside), identity, reasons)


def _write(answered: Answered, model: Served, schema: Any, predictions: Output, rejects: Output, told: Told) -> None:
    """Write a window: first what could not be predicted, then what was, by which the window is known to be done."""
    window = answered.window
    refused = [*window.rejected, *_unanswered(answered)]
    if (refused or rejects.stale) and not rejects.has(window.number):
        rejects.write(window.number, _reasons(refused))
    if not predictions.has(window.number):
        predictions.write(window.number, _rows(answered, model, schema))
    told.rows += window.rows
    told.rejected += len(refused)
    told.reasons.update(reason for _, reason in refused)
    told.labels.update(
        "a number" if isinstance(one["label"], float) else _name(one["label"])
        for one in answered.answers
        if one and one.get("label") is not None
    )


def _unanswered(answered: Answered) -> Iterator[tuple[Place, str]]:
    for number, (place, answer) in enumerate(zip(answered.window.places, answered.answers, strict=True)):
        if answer is None:
            yield place, answered.why[number]
        elif answer.get("label") is None:
            language = answer.get("language")
            yield place, "the model does not answer it" + (f", whose language is {language}" if language else "")


def _reasons(refused: list[tuple[Place, str]]) -> Any:
    ordered = sorted(refused, key=lambda one: (one[0].file, one[0].line))
    return pa.table(
        {
            "row": [None if place.row < 0 else place.row for place, _ in ordered],
            "file": [place.file for place, _ in ordered],
            "line": [place.line for place, _ in ordered],
            "reason": [reason for _, reason in ordered],
        }
    )


def _rows(answered: Answered, model: Served, schema: Any) -> Any:
    """Make the rows of a window, in the order in which they lie in the source."""
    window = answered.window
    places = [place for place, one in enumerate(answered.answers) if one and one.get("label") is not None]
    found = [answered.answers[place] or {} for place in places]
    kept = [name for name in schema.names if name not in _OURS]
    rows = raw_rows.table(window, kept).take(pa.array(places, pa.int64()))
    made: dict[str, Any] = {
        name: [window.texts[place][number] for place in places]
        for number, name in enumerate(_TEXTS)
        if name in schema.names
    }
    as_text = pa.types.is_string(schema.field("label").type)
    made["label"] = [_name(one["label"]) if as_text else one["label"] for one in found]
    made["score"] = [_number(one.get("score")) for one in found]
    made["scores"] = [list((one.get("scores") or {}).items()) for one in found]
    made["language"] = [one.get("language") for one in found]
    made["model"] = [model.name or model.uri] * len(found)
    made["model_version"] = [model.version] * len(found)
    for name in schema.names:
        if name not in rows.column_names:
            rows = rows.append_column(name, pa.array(made[name], schema.field(name).type))
    return rows.select(schema.names)


def _name(label: Any) -> str:
    return ", ".join(map(str, label)) if isinstance(label, list) else str(label)


def _number(score: Any) -> float | None:
    return float(score) if isinstance(score, int | float) else None


def _show(progress: Progress, window: Window, told: Told, seconds: float) -> None:
    rate = (told.rows - told.before) / max(seconds, 1e-9)
    text = f"{told.rows:,} rows, {rate:,.0f} a second"
    if window.position and progress.total:
        left = seconds * (progress.total - window.position) / window.position
        text += f", {left // 60:.0f} min {left % 60:02.0f} s left"
        progress.update(min(window.position, progress.total), text)
    else:
        progress.update(min(told.rows, progress.total or told.rows), text)


def _report(uri: str, rejects: Output, told: Told, seconds: float) -> None:
    """Leave figures and the places of the tables on the run.

    Raises:
        DataError: nothing could be predicted.
    """
    new = told.rows - told.before
    rate = new / max(seconds, 1e-9)
    record.metrics({"rows": told.rows, "rows_before": told.before, "rejected": told.rejected, "rows_per_second": rate})
    if not told.rows and not told.rejected:
        raise DataError("The source holds no rows.", hint="Is it the right file?")
    if told.rejected and not told.labels and not told.before:
        reason, count = told.reasons.most_common(1)[0]
        raise DataError(
            f"No row could be predicted: {told.rejected:,} were rejected, {count:,} of them with: {reason}."
        )
    document = {
        "rows": told.rows,
        "rows_before": told.before,
        "rejected": told.rejected,
        "reasons": dict(told.reasons.most_common(20)),
        "labels": dict(told.labels.most_common()),
        "seconds": seconds,
        "rows_per_second": rate,
    }
    record.document("predictions.json", document)
    record.output("predictions", uri)
    if told.rejected or rejects.has(0):
        record.output("rejects", f"{uri.rstrip('/')}_rejects")
    shown = ", ".join(f"{count:,} {label}" for label, count in told.labels.most_common(_SHOWN))
    past = f", {told.before:,} of them before" if told.before else ""
    say(f"{told.rows:,} rows{past}: {shown or 'nothing new'}; {told.rejected:,} rejected; {rate:,.0f} rows a second")
    if told.rejected:
        reason, count = told.reasons.most_common(1)[0]
        say(f"Most often rejected ({count:,}): {reason}")


if __name__ == "__main__":
    step.main(Predict, predict)
