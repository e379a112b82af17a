"""Runs that were launched, from this shell or another: their state, their logs, their end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.config import folders
from dlops.errors import UnreachableError, UsageError
from dlops.worker import processes, reaper, tracking
from dlops.worker.record import HEARTBEAT, summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

_MISSED = 6 * HEARTBEAT
"""Seconds without a heartbeat after which a worker on another machine is called silent."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as `dlops status` shows it."""

    run_id: str
    name: str
    step: str
    status: str
    target: str
    started: float
    """Seconds since 1970."""
    duration_s: float
    heartbeat_s: float | None
    """Seconds since the last heartbeat of a run that is going on."""
    progress: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    params: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def silent(self) -> bool:
        return self.heartbeat_s is not None and self.heartbeat_s > _MISSED


class Runs:
    """The runs of one tracking store."""

    def __init__(self, tracking_uri: str) -> None:
        """Open the store.

        Raises:
            UsageError: nothing was ever recorded there.
            UnreachableError: it does not answer.
        """
        database = tracking.sqlite_file(tracking_uri)
        if database and not database.exists():
            raise UsageError(
                f"Nothing is recorded in {database}: there is no such file.",
                hint="Go where you launched from, or name the store with --tracking-uri.",
            )
        try:
            self._client: MlflowClient = tracking.connect(tracking_uri, str(folders.cache() / "locks"))
        except tracking.Unreachable as error:
            raise UnreachableError(str(error), hint="Check --tracking-uri (or MLFLOW_TRACKING_URI).") from error

    def recent(self, count: int = 20) -> list[Run]:
        """List the latest runs that `dlops` launched, newest first; those of dead workers are closed first."""
        experiments = [experiment.experiment_id for experiment in self._asked(self._client.search_experiments)]
        self._asked(lambda: reaper.close_dead_runs(self._client, experiments))
        return [_described(run) for run in self._search(experiments, count)]

    def one(self, run_id: str) -> Run:
        """Describe one run; when its worker is dead, close it first."""
        run = self._find(run_id)
        if self._asked(lambda: reaper.close_if_dead(self._client, run)):
            run = self._asked(lambda: self._client.get_run(run.info.run_id))
        return _described(run)

    def cancel(self, run_id: str, *, patience: float = 60.0) -> Run:
        """Ask a run to end, wherever it runs, and wait until it has.

        Raises:
            UsageError: no such run, or it is not running.
            UnreachableError: it did not end within `patience` seconds.
        """
        run = self._find(run_id)
        found = self.one(run.info.run_id)
        if found.status != "RUNNING":
            raise UsageError(f"Run {found.run_id} is not running: it is {found.status}.")
        worker = reaper.identity(run)
        if worker is None:
            raise UsageError(f"Run {found.run_id} was not launched by dlops, which cannot end it.")
        self._asked(lambda: self._client.set_tag(found.run_id, "dlops.cancel", str(int(time.time()))))
        if processes.alive(worker):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends meanwhile, or reads the tag
                os.kill(int(worker["pid"]), signal.SIGTERM)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            now = self.one(found.run_id)
            if now.status != "RUNNING":
                return now
            time.sleep(0.2)
        raise UnreachableError(
            f"Run {found.run_id} was asked to end and has not ended yet.", hint=f"See `dlops status {found.run_id}`."
        )

    def log(self, run_id: str, *, follow: bool = False, poll: float = 1.0) -> Iterator[str]:
        """Give what a run printed, piece by piece; with `follow`, until it has ended."""
        found = self._find(run_id)
        shown: set[str] = set()
        while True:
            going_on = follow and self.one(found.info.run_id).status == "RUNNING"
            for name in self._pieces(found.info.run_id):
                if name not in shown:
                    shown.add(name)
                    yield self._text(found.info.run_id, name)
            if not going_on:
                return
            time.sleep(poll)

    def latest(self) -> str:
        """Give the id of the newest run.

        Raises:
            UsageError: there is none.
        """
        recent = self.recent(1)
        if not recent:
            raise UsageError("No run was launched here yet.")
        return recent[0].run_id

    def _find(self, run_id: str) -> Any:
        """Find a run by its id, or by a beginning of it that fits one recent run only."""
        from mlflow.exceptions import MlflowException

        try:
            if len(run_id) == 32:
                return self._client.get_run(run_id)
        except MlflowException as error:
            if getattr(error, "error_code", "") not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise UnreachableError(f"The tracking store did not answer: {error}") from error
        experiments = [experiment.experiment_id for experiment in self._asked(self._client.search_experiments)]
        fitting = [run for run in self._search(experiments, 1000) if run.info.run_id.startswith(run_id)]
        if len(fitting) != 1:
            what = "No run has the id" if not fitting else f"{len(fitting)} runs have an id that begins with"
            raise UsageError(f"{what} {run_id!r}.", hint="`dlops status` lists the runs.")
        return fitting[0]

    def _search(self, experiments: list[str], count: int) -> list[Any]:
        if not experiments:
            return []
        order, ours = ["attributes.start_time DESC"], "tags.`dlops.step` != ''"
        return list(self._asked(lambda: self._client.search_runs(experiments, ours, max_results=count, order_by=order)))

    def _pieces(self, run_id: str) -> list[str]:
        attempts = self._asked(lambda: self._client.list_artifacts(run_id, "logs"))
        files = [
            file.path
            for attempt in attempts
            for file in self._asked(lambda attempt=attempt: self._client.list_artifacts(run_id, attempt.path))
        ]
        return sorted(files)

    def _text(self, run_id: str, name: str) -> str:
        with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
            file = Path(self._asked(lambda: self._client.download_artifacts(run_id, name, folder)))
            return file.read_bytes().decode(errors="replace")  # as it was printed: \r and \r\n stay

    def _asked(self, call: Any) -> Any:
        try:
            return tracking.patiently(call, seconds=10)
        except tracking.Unreachable as error:
            raise UnreachableError(f"The tracking store did not answer: {error}") from error


def close_lost(tracking_uri: str, run_id: str) -> str:
    """Close the run of a worker that vanished under our eyes, and give what its record says."""
    return Runs(tracking_uri).one(run_id).error


def _described(run: Any) -> Run:
    tags, info, now = run.data.tags, run.info, time.time()
    open_run = info.status == "RUNNING"
    ended = now if open_run or not info.end_time else info.end_time / 1000
    beat = _read(tags.get("dlops.heartbeat", ""))
    progress = _read(tags.get("dlops.progress", ""))
    held = summary(run)
    return Run(
        run_id=info.run_id,
        name=info.run_name or "",
        step=tags.get("dlops.step", ""),
        status=info.status,
        target=tags.get("dlops.target", ""),
        started=info.start_time / 1000,
        duration_s=round(ended - info.start_time / 1000, 1),
        heartbeat_s=round(now - beat, 1) if open_run and isinstance(beat, int | float) else None,
        progress=progress if open_run and isinstance(progress, dict) else {},
        error=tags.get("dlops.error", ""),
        params=held["params"],
        metrics=held["metrics"],
        outputs=held["outputs"],
    )


def _read(tag: str) -> Any:
    """Read a tag's JSON; one that was cut, or that somebody else wrote, says nothing."""
    try:
        return json.loads(tag)
    except ValueError:
        return None
