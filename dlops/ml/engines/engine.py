"""An engine: a model in one form, which takes rows of texts and gives an answer to each."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal, Protocol, TypeAlias

from dlops.data.text_cleaning import Switches

Row: TypeAlias = Sequence[str]
"""A text, or a pair of them; what MLflow's protocol lets through that is no text is for the model to judge."""
Record: TypeAlias = dict[str, Any]
"""An answer: `label`, and where the model gives them `score`, `scores` and more, all of it as JSON has it."""
Form: TypeAlias = Literal["torch", "torch-bf16", "onnx", "onnx-int8", "pyfunc"]
Reader: TypeAlias = Literal["graph", "torch", "pyfunc"]

COLUMNS = ("text", "text_pair")
"""Names of the texts that a model takes."""
ALONE = "(alone)"
"""Key of an answer that was a label alone, and no mapping."""
DESCRIPTION = "engine.json"
FORMAT = 2
"""Of what is in the folder; those of another are made again."""
MODEL = "model"
"""Folder, beside the description, of what the reader reads."""


class Engine(Protocol):
    """What answers."""

    def answers(self, rows: Sequence[Row]) -> list[Record]:
        """Answer rows, each by itself."""


@dataclass(frozen=True)
class Description:
    """What a folder of an engine holds."""

    form: Form
    reader: Reader
    columns: tuple[str, ...]
    """Names of the texts that the model takes."""
    model: str
    """URI of the model whose answers it gives."""
    cleaning: dict[str, Any] | None = None
    """How the texts were cleaned that the model learned from (`Switches`); `None` where it cleans its own, or nobody
    knows."""
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it to a folder."""
        (folder / DESCRIPTION).write_text(json.dumps(asdict(self), indent=2), encoding="utf-8")


def distance(one: Record, other: Record) -> float:
    """Give how far two answers are apart: the greatest difference of a score; of numbers the relative one."""
    label, given = one.get("label"), other.get("label")
    if isinstance(label, float) and isinstance(given, int | float):
        return abs(label - given) / max(1.0, abs(label))
    scores, others = one.get("scores") or {}, other.get("scores") or {}
    if not scores:
        return 0.0 if label == given else float("inf")
    return float(max(abs(scores.get(name, 0.0) - others.get(name, 0.0)) for name in {**scores, **others}))


def described(folder: Path) -> Description:
    """Read what a folder holds.

    Raises:
        OSError, ValueError, TypeError: it holds no engine.
    """
    told = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    return Description(**{"format": 1, **told, "columns": tuple(told["columns"])})  # the first said nothing of it


def load(folder: Path, *, threads: int, clean: bool = False, explain: bool = False) -> Engine:
    """Load an engine, which computes with so many threads; 0 leaves that to the library.

    With `clean`, texts are cleaned first as those were that the model learned from. With `explain`, it takes rows of a
    text, a label (empty for the likeliest) and a method, and gives explanations; that needs torch's model.
    """
    told = described(folder)
    if explain:
        from dlops.ml.engines.explaining import Explaining

        return Explaining(folder / MODEL, Switches(**told.cleaning) if clean and told.cleaning is not None else None)
    found = _READERS[told.reader](folder / MODEL, told, threads)
    return _Cleaned(found, Switches(**told.cleaning)) if clean and told.cleaning is not None else found


class _Cleaned:
    """An engine that is given clean texts."""

    def __init__(self, inner: Engine, switches: Switches) -> None:
        self._inner, self._switches = inner, switches

    def answers(self, rows: Sequence[Row]) -> list[Record]:
        return self._inner.answers([[self._switches.clean(text) for text in row] for row in _texts(rows)])


def _texts(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Take every value for a text, as the models themselves do.

    Raises:
        ValueError: one is missing.
    """
    for place, row in enumerate(rows):
        if any(text is None for text in row):
            raise ValueError(f"Row {place} has no text, counted from 0.")
    return [tuple(map(str, row)) for row in rows]


class _Graph:
    def __init__(self, folder: Path, _told: Description, threads: int) -> None:
        from dlops.ml.onnx_graph import Graph

        self._graph = Graph(folder, threads=threads)

    def answers(self, rows: Sequence[Row]) -> list[Record]:
        found = self._graph.answers(_texts(rows))
        return [{"label": label, "score": score, "scores": scores} for label, score, scores in found]


class _Torch:
    """The model as it was trained, in float32 or bf16."""

    def __init__(self, folder: Path, told: Description, threads: int) -> None:
        import pandas as pd
        import torch

        from dlops.ml.text_classifier import TextClassifier

        if threads:
            torch.set_num_threads(threads)
        self._frame, self._columns = pd.DataFrame, list(told.columns)
        self._model: Any = TextClassifier()
        self._model.load_context(SimpleNamespace(artifacts={MODEL: str(folder)}))
        self._arithmetic: Any = lambda: torch.autocast(
            self._model.device.type, torch.bfloat16, enabled=told.form == "torch-bf16"
        )

    def answers(self, rows: Sequence[Row]) -> list[Record]:
        with self._arithmetic():
            found = self._model.predict(None, self._frame(list(rows), columns=self._columns))
        return [dict(one) for one in found.to_dict("records")]


class _Pyfunc:
    """Whatever MLflow loads; its answers are told as MLflow's own server tells them."""

    def __init__(self, folder: Path, told: Description, threads: int) -> None:
        import mlflow.pyfunc
        import pandas as pd
        from mlflow.utils.proto_json_utils import NumpyEncoder, _get_jsonable_obj

        if threads:
            _limit_torch(threads)
        self._frame, self._columns = pd.DataFrame, list(told.columns)
        self._model = mlflow.pyfunc.load_model(str(folder))
        jsonable: Any = _get_jsonable_obj
        self._told: Any = lambda found: json.loads(
            json.dumps(jsonable(found, pandas_orient="records"), cls=NumpyEncoder)
        )

    def answers(self, rows: Sequence[Row]) -> list[Record]:
        found = self._told(self._model.predict(self._frame(list(rows), columns=self._columns)))
        if not isinstance(found, list) or len(found) != len(rows):
            raise ValueError(f"the model did not give one answer for each of {len(rows)} texts")
        return [one if isinstance(one, dict) else {"label": one, ALONE: True} for one in found]


_READERS: dict[Reader, Callable[[Path, Description, int], Engine]] = {
    "graph": _Graph,
    "torch": _Torch,
    "pyfunc": _Pyfunc,
}


def _limit_torch(threads: int) -> None:
    """Hold torch, if the model will use it, to so many threads."""
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(threads)
