"""The record of one run in the tracking store: kept beside the work, never in its way."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dlops.worker import pieces, processes, reaper, tracking
from dlops.worker.ending import Ending
from dlops.worker.events import Events
from dlops.worker.job import Job

if TYPE_CHECKING:
    from mlflow import MlflowClient

HEARTBEAT = 10.0
"""Seconds between two heartbeats."""
_FIRST_PIECES, _LATER_PIECES = 2.0, 10.0
"""Seconds between two pieces of log: short at first, when people watch; a store holds no million files."""
_PATIENCE, _INPUTS = 120.0, 60.0
_LONGEST_PARAM, _LONGEST_TAG = 6000, reaper.LONGEST_TAG


class Over(Exception):
    """The run that a job was to go on with has ended meanwhile, or is another worker's."""


def create(client: MlflowClient, job: Job, **tags: str) -> Any:
    """Make the run of a job, with its tags and these further ones.

    Raises:
        Unreachable: the store does not answer, or its experiment was deleted.
    """
    experiment_id = tracking.experiment(client, job.experiment)
    now = int(time.time() * 1000)
    every = {
        **job.tags,
        "mlflow.user": _user(),
        "mlflow.source.type": "PROJECT",
        "mlflow.project.entryPoint": job.entry_point,
        "dlops.step": job.step,
        "dlops.target": job.target,
        "dlops.heartbeat": str(now // 1000),
        **tags,
    }
    name = job.run_name or f"{job.step}-{time.strftime('%m%d-%H%M%S')}"
    every = {key: value[:_LONGEST_TAG] for key, value in every.items() if value}
    return tracking.patiently(
        lambda: client.create_run(experiment_id, start_time=now, tags=every, run_name=name), seconds=10
    )


def log_params(client: MlflowClient, run_id: str, job: Job) -> None:
    """Log the parameters of a job in its run."""
    from mlflow.entities import Param

    if params := [Param(name, _fitting(value)) for name, value in job.params.items()]:
        client.log_batch(run_id, params=params)


def log_inputs(client: MlflowClient, run_id: str, job: Job) -> None:
    """Log what a job brings in its run, and parameters that are too long for one."""
    long = {f"params/{name}.txt": value for name, value in job.params.items() if len(value) > _LONGEST_PARAM}
    for name, text in {**job.artifacts, **long}.items():
        client.log_text(run_id, text, name)


class Record:
    """One run and what is written to it. `start` begins a thread that keeps the record; `finish` ends it."""

    def __init__(self, client: MlflowClient, job: Job, events: Events) -> None:
        """Make the run, or take over the one that the job names.

        Raises:
            Unreachable: the store does not answer.
            Over: the run that the job names is not to be gone on with.
        """
        self._client, self._job, self._events = client, job, events
        run = self._taken_over() if job.run_id else create(client, job, **self._sign())
        self.run_id: str = run.info.run_id
        self.experiment_id: str = run.info.experiment_id
        self.stop_asked = threading.Event()
        """Set when someone, anywhere, asked for the run's end with the tag `dlops.cancel`."""
        self.progress: dict[str, Any] = {}
        self._begun = time.monotonic()
        self._unwritten = bytearray()
        self._lock = threading.Lock()
        self._pieces = 0
        self._kept = False
        """Whether the artifacts that the job brings are in the store."""
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, daemon=True)

    def start(self) -> None:
        """Begin to keep the record: inputs first, then log pieces and heartbeats until `finish`."""
        self._thread.start()

    def write(self, output: bytes) -> None:
        """Take what the command printed; it reaches the store with the next piece."""
        with self._lock:
            self._unwritten += output

    def tag(self, name: str, value: str) -> None:
        """Set a tag of the run.

        Raises:
            Unreachable: the store did not answer.
        """
        tracking.patiently(lambda: self._client.set_tag(self.run_id, name, value[:_LONGEST_TAG]), seconds=5)

    def finish(self, ending: Ending) -> dict[str, Any]:
        """Write what is left, end the run, and give what it holds: params, metrics, outputs, gate.

        Raises:
            Unreachable: the store did not answer for two minutes; the next launch closes the run.
        """
        self._ending.set()
        if self._thread.ident is not None:  # what went wrong may have come before
            self._thread.join()
        self._write_piece(patience=_PATIENCE)
        if not self._kept:  # the store was away, or takes no artifacts: the run ends all the same
            self._tried(
                "the run's inputs could not be kept", lambda: tracking.patiently(self._log_inputs, seconds=_INPUTS)
            )
        tags = {"dlops.exit_code": str(ending.exit_code), "dlops.error": ending.error}
        tracking.patiently(lambda: reaper.end(self._client, self.run_id, ending.status, **tags), seconds=_PATIENCE)
        run = tracking.patiently(lambda: self._client.get_run(self.run_id), seconds=_PATIENCE)
        return summary(run)

    def _taken_over(self) -> Any:
        """Go on with the run that whoever launched this has made: once, by one worker."""
        run = tracking.patiently(lambda: self._client.get_run(self._job.run_id), seconds=_PATIENCE)
        if reaper.over(run):
            raise Over(f"Run {self._job.run_id} is {run.info.status}: there is nothing to do.")
        if "dlops.worker" in run.data.tags:
            raise Over(f"Run {self._job.run_id} has a worker already.")
        self.run_id = self._job.run_id
        tracking.patiently(lambda: self._take_over(run.data.tags), seconds=_PATIENCE)
        return run

    def _take_over(self, known: Mapping[str, str]) -> None:
        """Sign the run, and say of it what whoever made it has not said: it may be stock MLflow."""
        told = {"dlops.step": self._job.step, "dlops.target": self._job.target, **self._job.tags}
        new = {name: value[:_LONGEST_TAG] for name, value in told.items() if value and name not in known}
        for name, value in {**new, **self._sign(), "dlops.heartbeat": str(int(time.time()))}.items():
            self._client.set_tag(self.run_id, name, value)

    @staticmethod
    def _sign() -> dict[str, str]:
        """Say by a tag which process keeps the run."""
        return {"dlops.worker": processes.this()}

    def log_params(self) -> None:
        """Log the parameters, before the command can log any of its own.

        Raises:
            Unreachable: the store did not answer.
        """
        patience = _PATIENCE if self._job.run_id else 10.0
        tracking.patiently(lambda: log_params(self._client, self.run_id, self._job), seconds=patience)

    def _keep(self) -> None:
        self._tried("the run's inputs could not be kept yet", self._log_inputs)
        self._tried("runs of killed workers could not be closed", self._close_dead_runs)
        next_beat = time.monotonic() + HEARTBEAT / 2
        next_piece = time.monotonic() + _FIRST_PIECES
        while not self._ending.wait(max(0.0, min(next_beat, next_piece) - time.monotonic())):
            if time.monotonic() >= next_piece:
                if not self._kept:
                    self._tried("the run's inputs could not be kept yet", self._log_inputs)
                self._tried("log pieces wait for the tracking store", self._write_piece)
                young = time.monotonic() - self._begun < 60
                next_piece = time.monotonic() + (_FIRST_PIECES if young else _LATER_PIECES)
            if time.monotonic() >= next_beat:
                self._tried("the heartbeat was missed", self._beat)
                next_beat = time.monotonic() + HEARTBEAT / 2

    def _log_inputs(self) -> None:
        log_inputs(self._client, self.run_id, self._job)
        self._kept = True

    def _close_dead_runs(self) -> None:
        reaper.close_dead_runs(self._client, [self.experiment_id])

    def _beat(self) -> None:
        self._client.set_tag(self.run_id, "dlops.heartbeat", str(int(time.time())))
        if self.progress:
            self._client.set_tag(self.run_id, "dlops.progress", _short(self.progress))
        if "dlops.cancel" in self._client.get_run(self.run_id).data.tags:
            self.stop_asked.set()

    def _write_piece(self, patience: float = 5.0) -> None:
        with self._lock:
            piece = bytes(self._unwritten)
        if not piece:
            return
        name, text = pieces.name(self._pieces + 1), piece.decode(errors="replace")
        tracking.patiently(lambda: self._client.log_text(self.run_id, text, name), seconds=patience)
        self._pieces += 1
        with self._lock:
            del self._unwritten[: len(piece)]

    def _tried(self, complaint: str, write: Any) -> None:
        """Write; a store that is away for a while is said and tried again later, the work goes on."""
        try:
            write()
        except Exception as error:  # whatever a client, a driver or a network raises
            self._events.emit("warning", text=f"{complaint}: {error}")


def summary(run: Any) -> dict[str, Any]:
    """Give what a run holds: `params`, `metrics` (the last values), `outputs`, and what a gate said."""
    tags = run.data.tags
    prefix = "dlops.output."
    outputs = {name.removeprefix(prefix): value for name, value in tags.items() if name.startswith(prefix)}
    return {
        "params": dict(sorted(run.data.params.items())),
        "metrics": dict(sorted(run.data.metrics.items())),
        "outputs": dict(sorted(outputs.items())),
        "gate": tags.get("dlops.gate", ""),
    }


def _short(progress: dict[str, Any]) -> str:
    """Write progress so that a tag holds it: a table, or steps, that are too long for that are left out."""
    text = json.dumps(progress)
    if len(text) <= _LONGEST_TAG:
        return text
    return json.dumps({name: value for name, value in progress.items() if name not in ("table", "steps")})[
        :_LONGEST_TAG
    ]


def _fitting(value: str) -> str:
    """Keep a value that the store would cut as an artifact, and name it by its digest."""
    if len(value) <= _LONGEST_PARAM:
        return value
    return f"sha256:{hashlib.sha256(value.encode()).hexdigest()} (whole in artifact params/)"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no entry for this user, as in many containers
        return str(os.getuid())
