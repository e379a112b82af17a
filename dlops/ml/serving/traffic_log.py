"""Requests, answers and feedback on their way to a Delta table, off the path of the requests."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import deltalake
import pyarrow as pa
from deltalake.exceptions import DeltaError

from dlops.data import personal_data, tables
from dlops.errors import DataError
from dlops.ml.progress import say

_BOUND = 50_000
"""Rows that may wait; beyond, they are dropped, and counted."""
_ROWS = 2_000
"""Rows that are written at once, at most."""
_PAUSE, _LONGEST = 0.5, 30.0
"""Seconds before what could not be written is tried again; twice as many each time."""
_PATIENCE = 5.0
"""Seconds for which the last rows are tried to be written."""
SCHEMA = pa.schema(
    [
        ("time", pa.timestamp("us", tz="UTC")),
        ("kind", pa.string()),
        ("request_id", pa.string()),
        ("row", pa.int32()),
        ("endpoint", pa.string()),
        ("key", pa.string()),
        ("text", pa.string()),
        ("text_pair", pa.string()),
        ("label", pa.string()),
        ("score", pa.float64()),
        ("scores", pa.string()),
        ("model", pa.string()),
        ("model_version", pa.string()),
        ("engine", pa.string()),
        ("milliseconds", pa.float64()),
        ("true_label", pa.string()),
    ]
)
"""Of the table: `kind` is `answer` or `feedback`; `label` and `scores` are JSON where they are no plain texts."""


class TrafficLog:
    """Takes rows at once, and writes them from a thread of its own."""

    def __init__(self, uri: str, *, texts: str, seconds: float) -> None:
        """Look whether the table can be written.

        Raises:
            DataError: it cannot.
        """
        tables.check(uri)
        self._uri, self._texts, self._seconds = uri, texts, seconds
        self._waiting: queue.Queue[Mapping[str, Any]] = queue.Queue(_BOUND)
        self._over = threading.Event()
        self.dropped = 0
        """Rows that could not be logged."""
        try:
            if not deltalake.DeltaTable.is_deltatable(uri):
                deltalake.DeltaTable.create(uri, SCHEMA)
            there = {field.name for field in deltalake.DeltaTable(uri).schema().fields}
        except (DeltaError, OSError) as error:
            raise DataError(f"The table {uri} cannot be made: {error}.") from error
        if there != set(SCHEMA.names):
            raise DataError(f"The table {uri} is no log of requests.", hint="Name another one: log_to=…")
        self._thread = threading.Thread(target=self._work, name="traffic log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Rows that are not written yet."""
        return self._waiting.qsize()

    def add(self, **row: Any) -> None:
        """Take a row."""
        try:
            self._waiting.put_nowait({"time": datetime.now(UTC), **row})
        except queue.Full:
            self.dropped += 1

    def close(self) -> None:
        """Write what waits, and end."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._over.wait(self._seconds):
            self._flush(self._over.is_set)
        end = time.monotonic() + _PATIENCE
        self._flush(lambda: time.monotonic() > end)

    def _flush(self, give_up: Callable[[], bool]) -> None:
        while rows := self._taken():
            pause = _PAUSE
            while not self._written(rows):
                if give_up() and self._over.is_set() and not self._written(rows):
                    self.dropped += len(rows)
                    say(f"Warning: {len(rows)} rows could not be written to {self._uri}")
                    break
                self._over.wait(pause)
                pause = min(_LONGEST, 2 * pause)

    def _taken(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = []
        with contextlib.suppress(queue.Empty):
            while len(rows) < _ROWS:
                rows.append(self._told(self._waiting.get_nowait()))
        return rows

    def _told(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """Make a row of the table; here, and not on the path of the request, texts lose what is personal."""
        told: dict[str, Any] = {name: row.get(name) for name in SCHEMA.names}
        for name in ("text", "text_pair"):
            if told[name] is not None:
                told[name] = None if self._texts == "none" else self._shown(str(told[name]))
        if not isinstance(told["score"], int | float):
            told["score"] = None
        for name in ("label", "scores", "true_label"):
            if told[name] is not None and not isinstance(told[name], str):
                told[name] = json.dumps(told[name])
        return told

    def _shown(self, text: str) -> str:
        whole = text.encode("utf-8", "replace").decode()
        return whole if self._texts == "full" else personal_data.redacted(whole)

    def _written(self, rows: list[dict[str, Any]]) -> bool:
        try:
            with tables.alone(self._uri):
                deltalake.write_deltalake(self._uri, pa.Table.from_pylist(rows, SCHEMA), mode="append")
        except (DeltaError, OSError, DataError, pa.ArrowException):
            return False
        return True
