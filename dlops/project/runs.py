"""Runs that were launched, from this shell or another: their state, their logs, their end."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from dlops.config import folders
from dlops.errors import ConfigError, UnreachableError, UsageError
from dlops.project import jobs, preflight
from dlops.worker import masking, pieces, processes, reaper, tracking
from dlops.worker.record import summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FIRST_PATIENCE, _PATIENCE = 3.0, 10.0
"""Seconds for which a store is asked again: one that never answered is likely not there at all."""
_WHO_WAITS = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""Somebody looks at the screen: MLflow's own retries, and its two minutes for an answer, are a worker's."""
_SET: set[str] = set()
_RESOLVED = "dlops.resolved."
_PAGE = 1000
"""Runs that are asked for at once."""
_WRONG_STORE = "Check --tracking-uri (or MLFLOW_TRACKING_URI)."


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
    experiment: str = ""
    commit: str = ""
    dirty: bool = False
    """Whether the project's folder differed from that commit."""
    entry_point: str = ""
    project: str = ""
    """What it was launched from: a folder, or a Git remote with its subfolder."""
    remote: str = ""
    """Where the repository of that folder was cloned from, if anywhere."""
    subfolder: str = ""
    """Where in its repository that folder is."""
    diff_masked: bool = False
    """Whether what is kept of those differences is not what they were."""
    diff_kept: bool = False
    """Whether what is kept of them is."""
    environment: str = ""
    """`local` or `uv`."""
    page: str = ""
    """Where the cluster it runs on shows it."""
    resumed_from: str = ""
    """The run that this one went on from."""
    rerun_of: str = ""
    """The run that this one did once more."""
    pipeline: str = ""
    """What was asked for, of the run of a pipeline."""
    pipeline_step: str = ""
    """Name of the step in its pipeline."""
    resolved: dict[str, str] = field(default_factory=dict)
    """What parameters stood for, by values that mean the same tomorrow: a table at a version, a model at a commit."""

    @property
    def silent(self) -> bool:
        return self.heartbeat_s is not None and self.heartbeat_s > reaper.SILENCE


class Runs:
    """The runs of one tracking store."""

    def __init__(self, tracking_uri: str) -> None:
        """Open the store.

        Raises:
            UsageError, ConfigError: nothing was ever recorded there, or it is no tracking store.
            UnreachableError: it does not answer.
        """
        check_store(tracking_uri)
        for name, value in _WHO_WAITS.items():
            if name not in os.environ:
                os.environ[name] = value
                _SET.add(name)
        self._uri, self._patience = tracking_uri, _FIRST_PATIENCE
        self._experiments: dict[str, str] = {}
        try:
            self._client: MlflowClient = tracking.connect(tracking_uri, str(folders.cache() / "locks"))
        except tracking.Unreachable as error:
            raise UnreachableError(str(error), hint=_WRONG_STORE) from error

    def recent(self, count: int = 20) -> list[Run]:
        """List the latest runs that `dlops` launched, newest first; those of dead workers are closed first."""
        experiments = self._all_experiments()
        self._asked(lambda: reaper.close_dead_runs(self._client, experiments))
        away: set[str] = set()
        self._close_lost(experiments, away)
        return [self._described(self._settled(run, away)) for run in self._search(experiments, count)]

    def _settled(self, run: Any, away: set[str]) -> Any:
        """Close a run that its script has ended, whose worker is no more: a search for open ones does not find it."""
        if run.info.status == "RUNNING" or reaper.over(run):
            return run
        return self._closed(run, away)

    def _closed(self, run: Any, away: set[str]) -> Any:
        """Give a run as it is after it was closed, where its worker is dead or its cluster has lost it."""
        closed = self._asked(lambda: reaper.close_if_dead(self._client, run))
        if closed or self._asked(lambda: jobs.look_after(self._client, run, away)):
            return self._asked(lambda: self._client.get_run(run.info.run_id))
        return run

    def _close_lost(self, experiments: list[str], away: set[str]) -> None:
        """Close the runs of jobs that their clusters have lost, however old; clusters in `away` do not answer."""
        for run in self._search(experiments, _PAGE, "attributes.status = 'RUNNING' AND tags.`dlops.handle` != ''"):
            self._asked(lambda run=run: jobs.look_after(self._client, run, away))

    def every(self) -> Iterator[Any]:
        """Give every run of the store as MLflow knows it, whoever launched it."""
        experiments, page = self._all_experiments(), ""
        while experiments:
            found = self._asked(
                lambda page=page: self._client.search_runs(experiments, max_results=_PAGE, page_token=page or None)
            )
            yield from found
            page = found.token
            if not page:
                return

    def one(self, run_id: str) -> Run:
        """Describe one run; when its worker is dead, close it first."""
        return self._described(self._closed(self._find(run_id), set()))

    def given_up(self, run_id: str) -> Run:
        """Describe one run; where its machine has given no sign for minutes, close it first, as whoever asks wants."""
        run = self._find(run_id)
        self._asked(lambda: jobs.give_up(self._client, run))
        return self.one(run.info.run_id)

    def below(self, run_id: str) -> list[Run]:
        """List the runs of a pipeline's steps, in the order in which they began."""
        run = self._find(run_id)
        which = f"tags.`{reaper.PARENT}` = '{run.info.run_id}' AND tags.`{reaper.PIPELINE_STEP}` != ''"
        found = self._search([run.info.experiment_id], _PAGE, which)
        return [self._described(step) for step in reversed(found)]

    def cancel(self, run_id: str, *, patience: float = 60.0) -> Run:
        """Ask a run to end, wherever it runs, and wait until it has; of one that failed, stop the service it has left.

        Raises:
            UsageError: no such run, or it is not running and has left nothing.
            UnreachableError: it did not end within `patience` seconds.
        """
        run = self._find(run_id)
        found = self.one(run.info.run_id)
        if found.status != "RUNNING":
            if jobs.stop_what_is_left(self._asked(lambda: self._client.get_run(found.run_id))):
                return found
            raise UsageError(f"Run {found.run_id} is not running: it is {found.status}.")
        worker = reaper.identity(run)
        if worker is None and reaper.HANDLE not in run.data.tags:
            raise UsageError(f"Run {found.run_id} was not launched by dlops, which cannot end it.")
        self._asked(lambda: self._client.set_tag(found.run_id, "dlops.cancel", str(int(time.time()))))
        sent = reaper.HANDLE in run.data.tags  # its cluster tells it, also on this machine: told twice, it is killed
        if worker and not sent and processes.alive(worker):
            with contextlib.suppress(ProcessLookupError, PermissionError):  # it ends meanwhile, or reads the tag
                os.kill(int(worker["pid"]), signal.SIGTERM)
        jobs.ask_to_end(self._client, run)
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            now = self.given_up(found.run_id)
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
        lines: Counter[str] = Counter()
        while True:
            going_on = follow and self.one(found.info.run_id).status == "RUNNING"
            for name in self._asked(lambda: pieces.written(self._client, found.info.run_id)):
                if name not in shown:
                    shown.add(name)
                    text = self._text(found.info.run_id, name)
                    yield _unseen(text, lines) if reaper.hosted(found) else text
            if reaper.hosted(found):
                yield _unseen(jobs.log(self._asked(lambda: self._client.get_run(found.info.run_id))), lines)
            if not going_on:
                return
            time.sleep(poll)

    def parameters(self, run_id: str) -> dict[str, str]:
        """Give the parameters that a run was launched with, in full; without its artifacts, as far as MLflow has them.

        Raises:
            UsageError: no such run.
        """
        import yaml
        from mlflow.exceptions import MlflowException

        run = self._find(run_id)
        try:
            text = self.text(run.info.run_id, "config.yaml")
        except (MlflowException, OSError, UnreachableError):
            text = ""
        if not text:
            return dict(run.data.params)
        return {name: str(value) for name, value in (yaml.safe_load(text) or {}).items()}

    def text(self, run_id: str, name: str) -> str:
        """Give the artifact `name` of a run, a text; empty where it has none."""
        folder = str(PurePosixPath(name).parent)
        there = self._asked(lambda: self._client.list_artifacts(run_id, None if folder == "." else folder))
        return self._text(run_id, name) if name in {file.path for file in there if not file.is_dir} else ""

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
        if len(run_id) == 32 and (run := self._asked(lambda: self._named(run_id))):
            return run
        fitting = [run for run in self._search(self._all_experiments(), _PAGE) if run.info.run_id.startswith(run_id)]
        if len(fitting) != 1:
            what = "No run has the id" if not fitting else f"{len(fitting)} runs have an id that begins with"
            raise UsageError(f"{what} {run_id!r}.", hint="`dlops status` lists the runs.")
        return fitting[0]

    def _named(self, run_id: str) -> Any:
        """Give the run of this id; `None` where there is none, whatever its id."""
        from mlflow.exceptions import MlflowException

        try:
            return self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return None
            raise

    def _all_experiments(self) -> list[str]:
        found = self._asked(self._client.search_experiments)
        self._experiments = {experiment.experiment_id: experiment.name for experiment in found}
        return list(self._experiments)

    def _described(self, run: Any) -> Run:
        number = run.info.experiment_id
        if number not in self._experiments:
            self._experiments[number] = self._asked(lambda: self._client.get_experiment(number)).name
        return _described(run, self._experiments[number])

    def _search(self, experiments: list[str], count: int, which: str = "tags.`dlops.step` != ''") -> list[Any]:
        if not experiments:
            return []
        order = ["attributes.start_time DESC"]
        return list(
            self._asked(lambda: self._client.search_runs(experiments, which, max_results=count, order_by=order))
        )

    def _text(self, run_id: str, name: str) -> str:
        return str(self._asked(lambda: pieces.text(self._client, run_id, name)))

    def _asked(self, call: Any) -> Any:
        try:
            answer = tracking.patiently(call, seconds=self._patience)
        except tracking.Unreachable as error:
            why = _network_error(error) or error
            raise UnreachableError(f"{masking.url(self._uri)} did not answer: {why}", hint=_WRONG_STORE) from error
        self._patience = _PATIENCE
        return answer


def unhurried() -> None:
    """Let MLflow take its time again: what is launched next may upload for minutes."""
    for name in _SET:
        os.environ.pop(name, None)
    _SET.clear()


def check_store(tracking_uri: str) -> None:
    """Refuse a tracking store that cannot hold any run, without opening it.

    Raises:
        ConfigError: it is no tracking store.
        UsageError: it is a file that is not there.
    """
    if problems := preflight.tracking_store(tracking_uri):
        raise ConfigError("The tracking URI is wrong.", problems=problems, hint=_WRONG_STORE)
    database = tracking.sqlite_file(tracking_uri)
    if database and not database.exists():
        raise UsageError(
            f"Nothing is recorded in {database}: there is no such file.",
            hint="Go where you launched from, or name the store with --tracking-uri.",
        )


def latest_ids(tracking_uri: str, beginning: str, count: int = 20) -> list[str]:
    """List the ids of the latest runs that begin so, for completion: of a local database only, and without MLflow."""
    database = tracking.sqlite_file(tracking_uri)
    if not database or not database.exists():
        return []
    query = (
        "SELECT run_uuid FROM runs JOIN tags USING (run_uuid) WHERE key = 'dlops.step' AND lifecycle_stage = 'active'"
        " AND substr(run_uuid, 1, ?) = ? ORDER BY start_time DESC LIMIT ?"
    )
    with contextlib.suppress(sqlite3.Error):
        connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True, timeout=0.5)
        with contextlib.closing(connection):
            return [row[0] for row in connection.execute(query, [len(beginning), beginning, count])]
    return []


def close_lost(tracking_uri: str, run_id: str) -> str:
    """Close the run of a worker that vanished under our eyes, and give what its record says."""
    return Runs(tracking_uri).one(run_id).error


def _described(run: Any, experiment: str) -> Run:
    tags, info, now = run.data.tags, run.info, time.time()
    open_run = not reaper.over(run)
    ended = now if open_run or not info.end_time else info.end_time / 1000
    beat = _read(tags.get("dlops.heartbeat", ""))
    progress = _read(tags.get("dlops.progress", ""))
    held = summary(run)
    return Run(
        run_id=info.run_id,
        name=info.run_name or "",
        step=tags.get("dlops.step", ""),
        status="RUNNING" if open_run else info.status,
        target=tags.get("dlops.target", ""),
        started=info.start_time / 1000,
        duration_s=round(ended - info.start_time / 1000, 1),
        heartbeat_s=round(now - beat, 1) if open_run and isinstance(beat, int | float) else None,
        progress=progress if open_run and isinstance(progress, dict) else {},
        error=tags.get("dlops.error", ""),
        params=held["params"],
        metrics=held["metrics"],
        outputs=held["outputs"],
        experiment=experiment,
        commit=tags.get("dlops.commit", ""),
        dirty=tags.get("dlops.dirty") == "true",
        entry_point=tags.get("mlflow.project.entryPoint", ""),
        project=tags.get("dlops.project", ""),
        remote=remote if (remote := tags.get("mlflow.source.name", "")) != tags.get("dlops.project", "") else "",
        subfolder=tags.get("dlops.subfolder", ""),
        diff_masked=tags.get("dlops.diff") == "masked",
        diff_kept=tags.get("dlops.diff") == "kept",
        environment=tags.get("mlflow.project.env", ""),
        page=tags.get(reaper.PAGE, ""),
        resumed_from=tags.get("dlops.resumed_from", ""),
        rerun_of=tags.get("dlops.rerun_of", ""),
        pipeline=tags.get(reaper.PIPELINE, ""),
        pipeline_step=tags.get(reaper.PIPELINE_STEP, ""),
        resolved={name.removeprefix(_RESOLVED): value for name, value in tags.items() if name.startswith(_RESOLVED)},
    )


def _unseen(text: str, before: Counter[str]) -> str:
    """Give the lines of a log, of which its end is kept alone, that were not there `before`; count all that are."""
    now = Counter(lines := text.splitlines(keepends=True))
    new = now - before
    before |= now
    found = []
    for line in reversed(lines):  # of equal ones the last are new
        if new[line] > 0:
            new[line] -= 1
            found.append(line)
    return "".join(reversed(found))


def _network_error(error: BaseException | None) -> str:
    """Find the network's own words (`Connection refused`) below what clients and drivers have made of them."""
    while error is not None:
        if isinstance(error, ConnectionError | TimeoutError | socket.gaierror) and not error.__cause__:
            return error.strerror or str(error)
        error = error.__cause__ or error.__context__
    return ""


def _read(tag: str) -> Any:
    """Read a tag's JSON; one that was cut, or that somebody else wrote, says nothing."""
    try:
        return json.loads(tag)
    except ValueError:
        return None
