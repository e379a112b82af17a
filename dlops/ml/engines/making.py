"""How engines are made: each form of a model is held to the model itself, timed on this machine, the fastest chosen."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
import numpy as np

from dlops.data import sample
from dlops.errors import DlopsError, StepFailed
from dlops.ml import datasets, hardware, logged_models, lone_texts, onnx_export, onnx_graph, text_classifier
from dlops.ml.engines import engine, store
from dlops.ml.engines.engine import COLUMNS, MODEL, Description, Form, Reader, Record, Row
from dlops.ml.engines.served import Served
from dlops.ml.engines.store import Asked
from dlops.ml.progress import say

_EXACT = 1e-3
"""How far scores of a float32 graph may be off."""
_NEAR = 0.1
"""Of the spread of numbers: as far apart two of them are still taken for the same."""
_ROWS, _FEW, _RECORDED, _TIMED = 200, 32, 4, 24
"""Texts that a form with int8 weights is compared on, any other, that are kept with an engine, and that are timed."""
_SECONDS = 0.4
"""For which each form is timed at most."""
_BATCH = 16
"""Rows that are timed at once on a GPU."""


@dataclass(frozen=True)
class Texts:
    """Rows that forms are compared on."""

    rows: list[Row]
    known: bool
    """Whether they are of the data that the model was made for."""


Comparison: TypeAlias = tuple[float, float]
"""The share of rows with the same label, and the largest difference of a score."""


def make(model: Served, asked: Asked, agreement: float) -> None:
    """Make what is asked for, hold it to the model, and say in the cache what was chosen.

    Raises:
        StepFailed: it cannot be made, or does not answer as the model does.
    """
    place = store.root(model)
    place.mkdir(parents=True, exist_ok=True)
    mlflow.models.Model.load(model.uri).save(str(place / "MLmodel"))
    forms = _forms(model)
    wanted: list[Form] = list(forms) if asked == "auto" else [asked]
    if asked != "auto" and asked not in forms:
        raise StepFailed(f"engine={asked}: {model.told} can be had as {', '.join(forms)}.")
    first = next(iter(forms))
    texts = _texts(model, pairs=len(_columns(model)) > 1)
    say(f"Engines of {model.told} are made, once on this machine: {', '.join(dict.fromkeys([first, *wanted]))}")
    reference = engine.load(_made(model, first, forms[first], place), threads=0)
    given = reference.answers(texts.rows if "onnx-int8" in wanted else texts.rows[:_FEW])
    milliseconds: dict[Form, float] = {}
    refused: dict[str, str] = {}
    for form in wanted:
        try:
            folder = _made(model, form, forms[form], place)
            rows = texts.rows if form == "onnx-int8" else texts.rows[:_FEW]
            found = given[: len(rows)] if form == first else engine.load(folder, threads=0).answers(rows)
        except Exception as error:  # whatever an exporter or a runtime raises: the model itself answers
            if form == first:
                raise
            refused[form] = str(error) if isinstance(error, DlopsError) else f"{type(error).__name__}: {error}"
            continue
        why = _refused(form, compared(given[: len(rows)], found), texts, agreement, registered=form in model.exports)
        if why:
            refused[form] = why
        else:
            _record(folder, rows[:_RECORDED], found[:_RECORDED])
            milliseconds[form] = _timed(folder, rows)
    for name, why in refused.items():
        say(f"Not {name}: {why}")
    if not milliseconds:
        raise StepFailed(f"engine={asked}: {'; '.join(refused.values())}")
    best = min(milliseconds, key=milliseconds.__getitem__)
    told = ", ".join(f"{form} {taken:.1f} ms" for form, taken in milliseconds.items())
    say(f"Engine {best} ({told} a text)")
    document = {"form": best, "why": told, "milliseconds": milliseconds, "refused": refused}
    store.write(store.choice(place, asked, agreement), json.dumps(document, indent=2))


def compared(given: Sequence[Record], found: Sequence[Record]) -> Comparison:
    """Compare two forms' answers to the same rows."""
    numbers: Any = [one.get("label") for one in given]
    if all(isinstance(one, float) for one in numbers):
        near = _NEAR * (float(np.std(numbers)) or 1.0)
        same = [abs(one["label"] - other["label"]) <= near for one, other in zip(given, found, strict=True)]
    else:
        same = [one.get("label") == other.get("label") for one, other in zip(given, found, strict=True)]
    return float(np.mean(same)), max(map(engine.distance, given, found))


def _refused(form: str, found: Comparison, texts: Texts, agreement: float, *, registered: bool) -> str:
    same, apart = found
    if form == "onnx" and apart > _EXACT:
        return f"a score is {apart:.2g} off, more than {_EXACT:g}"
    if same < agreement:
        return f"{same:.1%} of {len(texts.rows)} labels are the model's, not {agreement:.1%}"
    if form == "onnx-int8" and not texts.known and not registered:
        return "the data of the model is not here, so nobody knows how often it answers otherwise"
    return ""


def _forms(model: Served) -> dict[Form, Reader]:
    """List the forms that a model can be had in, itself first, and what reads each."""
    info = mlflow.models.get_model_info(model.uri)
    made: dict[str, Any] = info.metadata or {}
    if made.get("inference_pipeline") or not _is_classifier(model.uri):
        graph: Form | None = None if made.get("inference_pipeline") else made.get("format")
        exports: dict[Form, Reader] = {"onnx": "pyfunc", "onnx-int8": "pyfunc"}
        own: dict[Form, Reader] = {graph: "graph"} if graph else {"pyfunc": "pyfunc"}
        return own | {form: reader for form, reader in exports.items() if form in model.exports}
    arithmetic = hardware.arithmetic("auto")
    forms: dict[Form, Reader] = {"torch": "torch"}
    if arithmetic.bf16:
        forms["torch-bf16"] = "torch"
    return forms | {"onnx": "graph", "onnx-int8": "graph"}


def _is_classifier(uri: str) -> bool:
    """Say whether a model is weights that transformers wrote, with a head."""
    try:
        with logged_models.fetched(uri) as found:
            config = json.loads((found.weights / "config.json").read_text(encoding="utf-8"))
            own = (found.weights / f"{text_classifier.HEAD}.json").is_file()
            return own or "SequenceClassification" in (config.get("architectures") or [""])[0]
    except StepFailed:
        return False


def _columns(model: Served) -> tuple[str, ...]:
    signature = mlflow.models.get_model_info(model.uri).signature
    named = signature.inputs.input_names() if signature and signature.inputs.has_input_names() else []
    return tuple(named) or COLUMNS[: max(1, len(signature.inputs)) if signature else 1]


def _made(model: Served, form: Form, reader: Reader, place: Path) -> Path:
    """Make the folder of an engine, unless it is there."""
    folder = place / form
    if store.is_whole(folder):
        return folder
    with _beside(folder) as new:
        inside = new / MODEL
        exported = model.exports.get(form)
        if reader == "pyfunc" or (reader == "graph" and exported):
            _copy(exported or model.uri, inside, part="artifacts/model" if reader == "graph" else "")
        elif reader == "graph" and _is_graph(model.uri):
            _copy(model.uri, inside, part="artifacts/model")
        else:
            with logged_models.fetched(model.uri) as found:
                inside.mkdir()
                if form == "onnx-int8" and store.is_whole(place / "onnx"):
                    own = shutil.ignore_patterns(onnx_graph.LONE)
                    shutil.copytree(place / "onnx" / MODEL, inside, ignore=own, dirs_exist_ok=True)
                    onnx_export.quantize(inside / onnx_graph.GRAPH)
                elif form == "onnx" or form == "onnx-int8":
                    onnx_export.write(found, inside, form)
                else:
                    for part in dict.fromkeys((found.weights, found.tokenizer)):
                        shutil.copytree(part, inside, dirs_exist_ok=True)
        if reader == "graph":
            lone_texts.keep(inside)
        made: dict[str, Any] = mlflow.models.get_model_info(model.uri).metadata or {}
        told = None if made.get("inference_pipeline") else made.get("cleaning")
        switches = {name: told[name] for name in ("html", "unicode", "whitespace")} if told else None
        Description(form, reader, _columns(model), model.uri, switches).write(new)
    return folder


def _is_graph(uri: str) -> bool:
    return bool((mlflow.models.get_model_info(uri).metadata or {}).get("format"))


def _copy(uri: str, folder: Path, *, part: str) -> None:
    """Copy a logged model's files, or a part of them."""
    copied = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder.with_name("copied"))))
    (copied / part).rename(folder)
    shutil.rmtree(folder.with_name("copied"), ignore_errors=True)


@contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """Give a folder that takes the place of the other when all went well."""
    new = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir(parents=True)
    try:
        yield new
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _texts(model: Served, *, pairs: bool) -> Texts:
    """Take rows that the model was not trained on, else texts that somebody made up."""
    made: dict[str, Any] = mlflow.models.get_model_info(model.uri).metadata or {}
    try:
        data = datasets.open(str(made["dataset"]))
        split = data.test + data.val if len(data.test) < _ROWS else data.test
        split = split.at(datasets.drawn(len(split), _ROWS, seed=0))
        if bool(split.pairs) == pairs:
            rows: list[Row] = [[*row] for row in zip(split.texts, *([split.pairs] if split.pairs else []), strict=True)]
            return Texts(rows, known=True)
    except (DlopsError, KeyError, OSError):
        pass
    made_up = [text for _, (text, _) in zip(range(_ROWS), sample.generate(1), strict=False)]
    return Texts([[text, text] if pairs else [text] for text in made_up], known=False)


def _record(folder: Path, rows: Sequence[Row], answers: Sequence[Record]) -> None:
    """Keep some answers, to which whoever loads the engine holds it."""
    told = {"rows": [list(row) for row in rows], "answers": list(answers)}
    store.write(folder / store.RECORDED, json.dumps(told))


def _timed(folder: Path, rows: Sequence[Row]) -> float:
    """Give the milliseconds that a text takes: alone with one thread on a processor, in a batch on a GPU."""
    on_processor = hardware.arithmetic("auto").accelerator == "cpu"
    made = engine.load(folder, threads=int(on_processor))
    at_once = 1 if on_processor else _BATCH
    groups = [list(rows[start : start + at_once]) for start in range(0, min(len(rows), _TIMED * at_once), at_once)]
    made.answers(groups[0])
    began, count = time.perf_counter(), 0
    for group in groups:
        made.answers(group)
        count += len(group)
        if time.perf_counter() - began > _SECONDS and count >= at_once:
            break
    return 1000 * (time.perf_counter() - began) / count


def main() -> int:
    """Make what standard input asks for."""
    asked = json.load(sys.stdin)
    try:
        make(Served(**asked["model"]), asked["asked"], asked["agreement"])
    except DlopsError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
