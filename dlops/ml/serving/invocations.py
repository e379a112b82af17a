"""MLflow's own protocol: what is plain is read here, all else, and every error, by MLflow's own code."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from dlops.ml.engines.engine import ALONE, Record, Row
from dlops.ml.engines.pool import QueueFull
from dlops.ml.engines.worker import EngineError

Answer: TypeAlias = Callable[[Sequence[Row]], Awaitable[list[Record]]]

_THREADS, _BOUND = 16, 144
"""Requests that MLflow reads at the same time, and those that are there at all."""
_SPLIT, _RECORDS = "dataframe_split", "dataframe_records"
_JSON = "application/json"
_UNEXPECTED = (
    "Encountered an unexpected error while evaluating the model. Verify that the serialized input Dataframe is"
    " compatible with the model for inference."
)
"""What MLflow's server says of a model that raised."""


@dataclass(frozen=True)
class Response:
    """What goes back."""

    body: bytes
    status: int = 200
    type: str = _JSON


class _Through(BaseException):
    """An error that is no business of MLflow's, which would tell it as its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class Invocations:
    """Answers the bodies of `/invocations`."""

    def __init__(self, *, seconds: float) -> None:
        """Let requests wait so many seconds for MLflow's code."""
        self._threads = ThreadPoolExecutor(_THREADS, "invocations")
        self._seconds = seconds
        self._reading = 0
        self._models: dict[Path, Any] = {}

    async def respond(
        self, body: bytes, content_type: str, columns: tuple[str, ...], folder: Path, answer: Answer
    ) -> Response:
        """Answer a body as MLflow's server would that has the model of this folder (which holds its `MLmodel`).

        What `answer` raises besides `EngineError` is raised here.
        """
        try:
            if content_type.strip().lower() in (_JSON, f"{_JSON}; charset=utf-8"):
                rows = plain(body, columns)
                if rows is not None:
                    return _told(await answer(rows))
            return await self._by_mlflow(body, content_type, folder, answer)
        except EngineError as error:
            told = {"error_code": "BAD_REQUEST", "message": _UNEXPECTED, "stack_trace": str(error)}
            return Response(json.dumps(told).encode(), 400)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _by_mlflow(self, body: bytes, content_type: str, folder: Path, answer: Answer) -> Response:
        if self._reading >= _BOUND:
            raise QueueFull(1.0)
        loop = asyncio.get_running_loop()

        def ask(rows: Sequence[Row]) -> list[Record]:
            try:
                return asyncio.run_coroutine_threadsafe(_awaited(answer(rows)), loop).result()
            except Exception as error:
                raise _Through(error) from error

        try:
            self._reading += 1
            async with asyncio.timeout(self._seconds):
                return await loop.run_in_executor(self._threads, self._read, body, content_type, folder, ask)
        except _Through as error:
            raise error.error from error
        finally:
            self._reading -= 1

    def _read(self, body: bytes, content_type: str, folder: Path, ask: Callable[..., list[Record]]) -> Response:
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc import PyFuncModel, scoring_server

        meta = self._meta(folder)
        model = PyFuncModel(model_meta=meta, model_impl=_Asking(ask))
        try:
            found = scoring_server.invocations(body, content_type, model, meta.get_input_schema())
        except MlflowException as error:
            return Response(error.serialize_as_json().encode(), error.get_http_status_code())
        return Response(found.response.encode(), found.status, found.mimetype)

    def _meta(self, folder: Path) -> Any:
        from mlflow.models import Model

        if folder not in self._models:
            self._models[folder] = Model.load(str(folder / "MLmodel"))
        return self._models[folder]


async def _awaited(answer: Awaitable[list[Record]]) -> list[Record]:
    return await answer


def plain(body: bytes, columns: tuple[str, ...]) -> list[Row] | None:
    """Read rows where they are given plainly: a frame, split or as records, of texts alone; else give nothing."""
    try:
        told = json.loads(body)
    except ValueError:
        return None
    if not isinstance(told, dict) or len(told) != 1:
        return None
    frame = told.get(_SPLIT)
    if isinstance(frame, dict) and frame.keys() <= {"columns", "data"} and frame.get("columns") == list(columns):
        rows = frame.get("data")
    elif isinstance(records := told.get(_RECORDS), list):
        named = all(isinstance(one, dict) and one.keys() == set(columns) for one in records)
        rows = [[one[name] for name in columns] for one in records] if named else None
    else:
        return None
    if not isinstance(rows, list) or not rows:
        return None
    whole = all(isinstance(row, list) and len(row) == len(columns) for row in rows)
    return rows if whole and all(isinstance(text, str) for row in rows for text in row) else None


def _told(answers: Sequence[Record]) -> Response:
    return Response(json.dumps({"predictions": [_alone(one) for one in answers]}).encode())


def _alone(record: Record) -> Any:
    """Give a model's answer as it gave it: one that gave no frame gave labels alone."""
    return record["label"] if record.get(ALONE) else record


class _Asking:
    """A model, as MLflow calls one, that asks ours."""

    def __init__(self, ask: Callable[..., list[Record]]) -> None:
        self._ask = ask

    def predict(self, frame: Any, params: Any = None) -> Any:
        """Answer a frame of texts."""
        import pandas as pd

        del params
        if not isinstance(frame, pd.DataFrame):
            frame = pd.DataFrame(frame)
        texts = [name for name in ("text", "text_pair") if name in frame] or list(frame.columns)[:2]
        rows = [[_plain(one) for one in row] for row in frame[texts].itertuples(index=False)]
        found = [_alone(one) for one in self._ask(rows)]
        return pd.DataFrame(found, dtype=object) if all(isinstance(one, dict) for one in found) else found


def _plain(value: Any) -> Any:
    """Make a frame's value one that JSON has: what is missing is none."""
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, str | int | float) else str(value)
