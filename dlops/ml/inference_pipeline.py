"""A classifier with what stands around it, as MLflow loads it: texts are cleaned, their language told, answers kept.

This file travels inside the logged model, and needs mlflow, pandas and py3langid. Beside it lie the artifacts
`classifier` (a whole model, as MLflow logged it, with requirements of its own), `settings` (JSON), and the two files of
Python that clean a text and tell its language.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import pandas as pd
import yaml

COLUMNS = ("text", "text_pair")
UNKNOWN = "und"
"""The language of what is too short to tell, as ISO 639-2 has it."""
META = "registered_model_meta"
"""File that MLflow writes beside a model that it fetched as a version: which one."""


class Answer(NamedTuple):
    """Of the classifier; all three are empty where a text is not answered."""

    label: Any
    score: float | None
    scores: dict[str, float]

    def copied(self) -> Answer:
        """Give one whose scores the caller may change."""
        return self._replace(scores=dict(self.scores))


class InferencePipeline(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # mlflow has no types for us
    """Gives each text its label, score and scores as the classifier does, its language, and which model answered."""

    def load_context(self, context: Any) -> None:
        """Load the classifier and the settings from the artifacts; nothing outside of them is asked."""
        told = json.loads(Path(context.artifacts["settings"]).read_text(encoding="utf-8"))
        self.languages: frozenset[str] = frozenset(told["languages"])
        self.others: str | dict[str, str] = told["others"]
        switches = _module(context.artifacts["cleaning"]).Switches
        self.switches = switches(**told["cleaning"]) if told["cleaning"] is not None else None
        self.language = _module(context.artifacts["language"]).of
        self.classifier = mlflow.pyfunc.load_model(context.artifacts["classifier"])
        taken = self.classifier.metadata.get_input_schema()
        self.columns: list[str] = taken.input_names() if taken and taken.has_input_names() else list(COLUMNS[:1])
        self.model = {**told["model"], **_version(Path(context.artifacts["classifier"]).parents[1] / META)}
        self.kept = Cache(told["cache"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Take a frame with a column `text`, and `text_pair` where the classifier takes pairs.

        Gives a frame with `label`, `score`, `scores`, `language` (`und` where a text is too short to tell) and `model`,
        row by row. Raises `ValueError` where a text is missing.
        """
        del context, params
        given = model_input[[name for name in COLUMNS if name in model_input]]
        missing = given.isna().any(axis=1)
        if missing.any():
            raise ValueError(f"Row {missing.to_numpy().argmax()} has no text, counted from 0.")
        rows = [tuple(self._cleaned(str(text)) for text in row) for row in given.itertuples(index=False)]
        languages = [self.language(" ".join(row)) or UNKNOWN for row in rows]
        wanted = [self._is_answered(language) for language in languages]
        answers = self._answers(
            list(dict.fromkeys(row for row, is_wanted in zip(rows, wanted, strict=True) if is_wanted))
        )
        other = self._other()
        return pd.DataFrame(
            [
                (*(answers[row].copied() if is_wanted else other.copied()), language, dict(self.model))
                for row, language, is_wanted in zip(rows, languages, wanted, strict=True)
            ],
            columns=["label", "score", "scores", "language", "model"],
            dtype=object,  # else pandas makes `None` a NaN
        )

    def _cleaned(self, text: str) -> str:
        return str(self.switches.clean(text)) if self.switches else text

    def _is_answered(self, language: str) -> bool:
        return not self.languages or language in (UNKNOWN, *self.languages) or self.others == "answer"

    def _other(self) -> Answer:
        """Give what texts in other languages get."""
        if isinstance(self.others, dict):
            return Answer(self.others["label"], None, {})
        return Answer(None, None, {})

    def _answers(self, rows: list[tuple[str, ...]]) -> dict[tuple[str, ...], Answer]:
        """Answer rows, each of which is there once: from memory, and all others together."""
        found = {row: kept for row in rows if (kept := self.kept.get(row))}
        left = [row for row in rows if row not in found]
        if left:
            frame = pd.DataFrame(left, columns=self.columns[: len(left[0])])
            new = [_answer(one) for one in _records(self.classifier.predict(frame))]
            found |= dict(zip(left, new, strict=True))
            self.kept.put(dict(zip(left, new, strict=True)))
        return found


class Cache:
    """The answers that were asked for last, up to a number of them; threads may share it."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.kept: OrderedDict[tuple[str, ...], Answer] = OrderedDict()
        self.lock = threading.Lock()

    def get(self, row: tuple[str, ...]) -> Answer | None:
        """Give the answer to a row, if it is remembered."""
        with self.lock:
            if row in self.kept:
                self.kept.move_to_end(row)
            return self.kept.get(row)

    def put(self, answers: dict[tuple[str, ...], Answer]) -> None:
        """Remember answers, and forget those that nobody asked for the longest."""
        with self.lock:
            self.kept.update(answers)
            while len(self.kept) > self.most:
                self.kept.popitem(last=False)


def _records(found: Any) -> list[Any]:
    """Give a classifier's answers one by one: a mapping each, or a label."""
    if isinstance(found, pd.DataFrame):
        alone = "label" not in found and "scores" not in found and len(found.columns) == 1
        return list(found.iloc[:, 0]) if alone else list(found.to_dict("records"))
    return list(found)


def _answer(given: Any) -> Answer:
    if not isinstance(given, dict):
        return Answer(getattr(given, "item", lambda: given)(), None, {})
    scores = given.get("scores") or {}
    label = given["label"] if "label" in given else max(scores, key=scores.__getitem__)
    score = given.get("score", scores.get(label) if isinstance(label, str) else None)
    return Answer(label, score, scores)


def _version(file: Path) -> dict[str, str]:
    """Say which version of which registered model this is, if MLflow fetched it as one."""
    if not file.is_file():
        return {}
    try:  # another process may write it at this moment
        told = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except yaml.YAMLError:
        return {}
    name, version = told.get("model_name"), told.get("model_version")
    return {"name": str(name), "version": str(version)} if name and version else {}


def _module(file: str) -> Any:
    """Import a file under a name of its own, so that two packages in a process have each their own code."""
    name = f"_inference_{abs(hash(file)):x}"
    spec: Any = importlib.util.spec_from_file_location(name, file)
    sys.modules[name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


mlflow.models.set_model(InferencePipeline())
