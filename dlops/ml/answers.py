"""What a logged model answers to texts, whatever logged it: the probabilities of classes, or numbers."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from dlops.errors import StepFailed
from dlops.ml import evaluation, logged_models
from dlops.ml.datasets import Split
from dlops.ml.evaluation import THRESHOLD, Array, Classification, Labelled, MultiLabel, Regression
from dlops.ml.progress import Progress

Answer: TypeAlias = Mapping[str, float] | float
"""Of one text: the probability of each class that the model knows, or a number."""

NO_ANSWER = "(no answer)"
"""The label of a text that the model does not answer: it is never right."""
_CHUNK = 256
"""Texts that the model is given at once; it has its own batches."""
_TEXTS = ("text", "text_pair")


@dataclass(frozen=True)
class Answers:
    """A model's answers to the rows of a split."""

    rows: list[Answer]
    scored: bool
    """Whether the model gave probabilities, and not labels alone."""

    def judged(self, kind: str, labels: Sequence[str], split: Split, unit: float) -> Labelled:
        """Judge them by the labels of the split, which are of this kind; `unit` is the variance of the train rows'.

        Raises:
            StepFailed: the model answers with other labels, or with another kind of them.
        """
        numbers = [score for answer in self.rows for score in _numbers(answer)]
        if not np.isfinite(numbers).all():
            raise StepFailed(
                f"The model answers {sum(not np.isfinite(answer).all() for answer in map(_numbers, self.rows))} of"
                f" {len(self.rows)} rows with what is no finite number.",
                hint="It may have been trained with too high a learning rate.",
            )
        if kind == "number":
            actual = np.asarray(split.labels, np.float64)
            predicted = np.array([_number(answer) for answer in self.rows])
            return Regression(actual, predicted, float(((predicted - actual) ** 2).mean() / unit))
        known = {name for answer in self.rows for name in _classes(answer)}
        if not known & set(labels):
            raise StepFailed(
                f"The model answers {_listed(known)}, and the data has {_listed(labels)}: no label is the same.",
                hint="Ingest the data with the model's names: label_map=OLD=NEW,… renames its labels.",
            )
        names = tuple(sorted({*labels, *known}))
        places = {name: place for place, name in enumerate(names)}
        scores = np.zeros((len(self.rows), len(names)))
        for row, answer in enumerate(self.rows):
            for name, score in _classes(answer).items():
                scores[row, places[name]] = score
        if kind == "multilabel":
            several = np.array([[name in those for name in names] for those in split.labels], bool)
            loss = evaluation.binary_cross_entropy(several, scores)
            return MultiLabel(names, several, scores, float(loss.mean()))
        truth = np.array([places[label] for label in split.labels])
        return Classification(names, truth, scores, float(evaluation.cross_entropy(truth, scores).mean()))


@dataclass(frozen=True)
class Model:
    """A model as it was logged, ready to answer."""

    reference: str
    """As it was named."""
    uri: str
    """What that stands for, and always will."""
    made_from: Mapping[str, Any]
    """What the model says of how it was made."""
    _answer: Callable[[list[str], list[str] | None], list[Any]]

    def answers(self, split: Split) -> Answers:
        """Answer every row of a split; rows of like length together, so that little is padding.

        Raises:
            StepFailed: the model cannot answer, or not so that it can be judged.
        """
        found: list[Any] = [None] * len(split)
        pairs = split.pairs
        order = sorted(range(len(split)), key=lambda row: -len(split.texts[row]) - (len(pairs[row]) if pairs else 0))
        progress = Progress(len(split), "rows")
        for start in range(0, len(order), _CHUNK):
            rows = order[start : start + _CHUNK]
            some = split.at(rows)
            for row, answer in zip(rows, self._answered(some.texts, some.pairs), strict=True):
                found[row] = answer
            progress.update(start + len(rows), "")
        return Answers([_answer(given) for given in found], all(not _is_label_alone(given) for given in found))

    def seconds(self, split: Split, rows: int) -> Array:
        """Measure how long each of the first `rows` takes alone, [rows]; one before them does not count.

        A model may remember what it answered: this comes before any other answer.
        """
        first = split.at([0])
        self._answered([text[::-1] for text in first.texts], first.pairs)
        taken = []
        for row in range(min(rows, len(split))):
            alone = split.at([row])
            began = time.perf_counter()
            self._answered(alone.texts, alone.pairs)
            taken.append(time.perf_counter() - began)
        return np.array(taken)

    def _answered(self, texts: list[str], pairs: list[str] | None) -> list[Any]:
        try:
            found = self._answer(texts, pairs)
        except StepFailed:
            raise
        except Exception as error:  # whatever a stranger's model raises
            raise StepFailed(
                f"The model {self.reference} cannot answer: {type(error).__name__}: {error}",
                hint="Does it take a column `text`? Its signature says what it was logged for.",
            ) from error
        if len(found) != len(texts):
            raise StepFailed(f"The model {self.reference} gave {len(found)} answers to {len(texts)} texts.")
        return found


def load(reference: str, *, allow_pickle: bool = False) -> Model:
    """Load a model as it was logged: of the flavor transformers as a pipeline, of all others as a pyfunc.

    Raises:
        StepFailed: there is none, it cannot be loaded, or it is a pickle and that is not allowed.
    """
    if not allow_pickle:
        os.environ["MLFLOW_ALLOW_PICKLE_DESERIALIZATION"] = "false"
    uri = reference
    if reference.startswith(logged_models.SCHEMES):
        uri = logged_models.resolve(reference)
    elif not (Path(reference) / "MLmodel").is_file():
        raise StepFailed(
            f"{reference!r} names no model that MLflow keeps.",
            hint="Name models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-… or runs:/RUN/model.",
        )
    return load_at(uri, reference)


def load_at(uri: str, reference: str = "") -> Model:
    """Load the model that lies at a URI, which is not followed any further.

    Raises:
        StepFailed: it cannot be loaded, or is a pickle and that is not allowed.
    """
    reference = reference or uri
    try:
        info = mlflow.models.get_model_info(uri)
        answer = _pyfunc(uri, info) if _answers_frames(info) else _pipeline(uri)
    except StepFailed:
        raise
    except Exception as error:  # whatever a flavor raises
        told = error.message if isinstance(error, MlflowException) else f"{type(error).__name__}: {error}"
        hint = "It is kept as a pickle: allow_pickle=true reads it." if "PICKLE" in told.upper() else ""
        raise StepFailed(f"The model {reference} cannot be loaded: {told}", hint=hint) from error
    return Model(reference, uri, info.metadata or {}, answer)


def _answers_frames(info: Any) -> bool:
    """Say whether a model is a pyfunc with columns, and no pipeline of transformers that MLflow made one of."""
    return "transformers" not in info.flavors or "text_classifier" in str(info.flavors["python_function"])


def _pyfunc(uri: str, info: Any) -> Callable[[list[str], list[str] | None], list[Any]]:
    model = mlflow.pyfunc.load_model(uri)
    names = info.signature.inputs.input_names() if info.signature and info.signature.inputs.has_input_names() else []

    def answer(texts: list[str], pairs: list[str] | None) -> list[Any]:
        columns = list(_TEXTS[: 2 if pairs else 1])
        if names and not set(columns) <= set(names):
            if len(names) != len(columns):
                raise StepFailed(f"The model takes the columns {', '.join(names)}, and is given {', '.join(columns)}.")
            columns = names
        given = pd.DataFrame(dict(zip(columns, [texts, pairs], strict=False)))
        return _rows(model.predict(given))

    return answer


def _pipeline(uri: str) -> Callable[[list[str], list[str] | None], list[Any]]:
    pipeline = mlflow.transformers.load_model(uri)

    def answer(texts: list[str], pairs: list[str] | None) -> list[Any]:
        given = [{"text": text, "text_pair": pair} for text, pair in zip(texts, pairs, strict=True)] if pairs else texts
        found = pipeline(given, top_k=None, truncation=True, batch_size=16)
        return [{"scores": {one["label"]: one["score"] for one in row}} for row in found]

    return answer


def _rows(found: Any) -> list[Any]:
    """Give a model's answers one by one: a mapping from columns each, or a label or number."""
    if isinstance(found, pd.DataFrame):
        if "label" not in found and "scores" not in found:
            if len(found.columns) != 1:
                raise StepFailed(
                    f"The model answers with the columns {', '.join(map(str, found.columns))}: none is a label.",
                    hint="A column `label`, with `score` or `scores` beside it, is what is judged.",
                )
            return list(found.iloc[:, 0])
        return list(found.to_dict("records"))
    if isinstance(found, list):
        return found
    values = np.asarray(found)
    if values.ndim != 1:
        raise StepFailed(f"The model answers with an array of shape {values.shape}: one answer a text is judged.")
    return list(values)


def _is_label_alone(given: Any) -> bool:
    return not (isinstance(given, dict) and ("scores" in given or "score" in given))


def _answer(given: Any) -> Answer:
    """Make of what a model gave for a text the probability of each class, or a number."""
    label, scores = _label(given), _scores(given)
    if isinstance(label, float) and len(scores) < 2:
        return label
    if isinstance(label, list):
        told = {name for name, score in scores.items() if score >= THRESHOLD}
        return scores if scores and told == set(label) else dict.fromkeys(label, 1.0)
    if label is None or (scores and max(scores, key=scores.__getitem__) == str(label)):
        return scores or {NO_ANSWER: 1.0}
    return {str(label): 1.0}


def _label(given: Any) -> str | float | list[str] | None:
    """Give the label that a model told; `None` if it gave scores alone."""
    label = given.get("label") if isinstance(given, dict) else given
    if isinstance(label, np.generic):
        label = label.item()
    if label is None or isinstance(label, str):
        return label
    if isinstance(label, list | tuple | np.ndarray):
        return [str(one) for one in label]
    return float(label) if isinstance(label, int | float) and not isinstance(label, bool) else str(label)


def _scores(given: Any) -> dict[str, float]:
    """Give the probabilities that a model told: of every class, or of the label alone, the rest being the others'."""
    told = given if isinstance(given, dict) else {}
    if isinstance(told.get("scores"), dict):
        return {str(name): float(score) for name, score in told["scores"].items()}
    score = told.get("score")
    if isinstance(told.get("label"), str) and isinstance(score, float) and 0 <= score <= 1:
        return {told["label"]: score}
    return {}


def _numbers(answer: Answer) -> list[float]:
    return [answer] if isinstance(answer, float) else list(answer.values())


def _number(answer: Answer) -> float:
    if isinstance(answer, float):
        return answer
    if NO_ANSWER in answer:
        raise StepFailed("The model does not answer every text: as its answers are numbers, they cannot be judged.")
    raise StepFailed("The model answers with classes, and the labels of the data are numbers.")


def _classes(answer: Answer) -> Mapping[str, float]:
    if isinstance(answer, float):
        return {str(int(answer)) if answer.is_integer() else repr(answer): 1.0}
    return answer


def _listed(names: Sequence[str] | set[str]) -> str:
    found = sorted(names)
    return ", ".join(found[:5]) + (" …" if len(found) > 5 else "")
