"""A job far from here, followed by what its worker writes into the tracking store."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.errors import UnreachableError
from dlops.targets.interface import Cluster, Event, State
from dlops.worker import masking, pieces, reaper, tracking
from dlops.worker.record import HEARTBEAT, summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

Result = TypeVar("Result")

_POLL, _ASK = 1.0, 5.0
"""Seconds between two looks at the record, and between two questions to the cluster."""
_STORE_PATIENCE = 300.0
"""Seconds for which a tracking store that is away is asked again."""
_GRACE = 20.0
"""Seconds that a worker has to end its run when its cluster says that the job is over."""
_SILENCE = 12 * HEARTBEAT
"""Seconds without any sign of a worker, of which the cluster does not answer either, until it is given up."""


class RemoteRun:
    """A run that goes on elsewhere."""

    def __init__(self, client: MlflowClient, run_id: str, experiment_id: str, cluster: Cluster, handle: str) -> None:
        self._client, self._run_id, self._experiment_id = client, run_id, experiment_id
        self._cluster, self._handle = cluster, handle
        self._told = False
        self._shown: set[str] = set()
        self._progress = ""
        self._waiting = ""
        self._beat = ("", time.monotonic())
        self._unreachable_since = 0.0

    def events(self) -> Iterator[Event]:
        """Give events until the run has ended; a job that its cluster has lost has its run closed."""
        if not self._told:
            yield {"event": "started", "run_id": self._run_id, "experiment_id": self._experiment_id}
            self._told = True
        asked = time.monotonic()
        while True:
            run = self._read(lambda: self._client.get_run(self._run_id))
            over = reaper.over(run)  # asked before reading: what it wrote last is not missed
            yield from self._news(run)
            if over:
                yield _ended(run)
                return
            if time.monotonic() > asked + _ASK:
                asked = time.monotonic()
                yield from self._state(run)
            time.sleep(_POLL)

    def terminate(self) -> None:
        """Ask worker and cluster to end the job."""
        ask_to_end(self._client, self._run_id, self._cluster, self._handle)

    def _news(self, run: Any) -> Iterator[Event]:
        for piece in self._read(lambda: pieces.written(self._client, self._run_id)):
            if piece not in self._shown:
                yield {"event": "output", "text": self._read(partial(pieces.text, self._client, self._run_id, piece))}
                self._shown.add(piece)
        progress = run.data.tags.get("dlops.progress", "")
        if progress != self._progress:
            self._progress = progress
            yield {"event": "progress", **json.loads(progress)}

    def _state(self, run: Any) -> Iterator[Event]:
        """Look whether the cluster still has the job; say what it waits for until its worker has begun."""
        beat = run.data.tags.get("dlops.heartbeat", "")
        if beat != self._beat[0]:
            self._beat = (beat, time.monotonic())
        try:
            state = self._cluster.state(self._handle)
            self._unreachable_since = 0.0
        except UnreachableError as error:
            state = State(over=self._given_up(run), text=str(error))
        self._read(lambda: note(self._client, run, state))
        if state.over:
            self._read(lambda: close(self._client, run, state, self._cluster, self._handle))
        elif "dlops.worker" not in run.data.tags and state.text != self._waiting:
            self._waiting = state.text
            yield {"event": "waiting", "text": state.text}
        if state.ready:
            now = self._read(lambda: self._client.get_run(self._run_id))
            seconds = time.time() - run.info.start_time / 1000
            yield {"event": "ready", "duration_s": round(seconds, 3), **summary(now)}

    def _given_up(self, run: Any) -> bool:
        """Say whether neither the cluster nor a worker that had begun gave a sign for long, by this clock."""
        now = time.monotonic()
        self._unreachable_since = self._unreachable_since or now
        last = max(self._unreachable_since, self._beat[1])
        return "dlops.worker" in run.data.tags and now > last + _SILENCE

    def _read(self, call: Callable[[], Result]) -> Result:
        return read(call, way_back=f"dlops logs {self._run_id} -f")


def read(call: Callable[[], Result], *, way_back: str) -> Result:
    """Read from the store, which may be away for a while; `way_back` is the command that follows the run later.

    Raises:
        UnreachableError: it stays away.
    """
    try:
        return tracking.patiently(call, seconds=_STORE_PATIENCE)
    except tracking.Unreachable as error:
        raise UnreachableError(str(error), hint=f"The run goes on: `{way_back}`.") from error


def ask_to_end(client: MlflowClient, run_id: str, cluster: Cluster, handle: str) -> None:
    """Ask worker and cluster to end a job; the run of one that waits is ended here: its worker will find it so.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    with contextlib.suppress(Exception):
        if reaper.hosted(client.get_run(run_id)):
            _keep_log(client, run_id, cluster.log(handle))  # it goes with what it is about
    try:
        tracking.patiently(lambda: say_so(client, run_id), seconds=_ASK)
    except tracking.Unreachable as error:
        raise UnreachableError(str(error), hint="The cluster was asked to end the job.") from error
    finally:
        cluster.stop(handle)
    with contextlib.suppress(Exception):
        if "dlops.worker" not in client.get_run(run_id).data.tags:  # nobody there removes what was sent
            cluster.tidy(handle)


def say_so(client: MlflowClient, run_id: str) -> None:
    """Write the wish to end into a run's record, and end that of a job that has not begun."""
    client.set_tag(run_id, "dlops.cancel", str(int(time.time())))
    run = client.get_run(run_id)
    if "dlops.worker" not in run.data.tags and not reaper.hosted(run):
        client.set_tag(run_id, "dlops.error", "cancelled before it began")
        client.set_terminated(run_id, "KILLED")


def close(client: MlflowClient, run: Any, state: State, cluster: Cluster, handle: str) -> None:
    """End the run of a job that is over, unless its worker still does so itself, or gives a sign."""
    run_id = run.info.run_id
    beat, seen = run.data.tags.get("dlops.heartbeat", "0"), time.monotonic()
    if time.time() - float(beat) > 2 * _GRACE:
        seen -= _GRACE  # it had its time
    while True:
        run = client.get_run(run_id)
        if reaper.over(run):
            return
        if run.data.tags.get("dlops.heartbeat", "0") != beat:
            beat, seen = run.data.tags["dlops.heartbeat"], time.monotonic()
        if time.monotonic() >= seen + _GRACE:
            break
        time.sleep(_POLL)
    printed = ""
    with contextlib.suppress(UnreachableError):
        printed = cluster.log(handle)
    if reaper.hosted(run):
        with contextlib.suppress(Exception):  # artifacts may be out of this machine's reach
            _keep_log(client, run_id, printed)
    with contextlib.suppress(UnreachableError):
        cluster.tidy(handle)
    last = "\n".join(printed.strip().splitlines()[-20:])
    asked = "dlops.cancel" in run.data.tags
    failed = masking.url(f"{last}\n{state.text}".strip())[-8000:]
    error = "cancelled" if asked else state.word if state.cancelled else failed
    reaper.end(client, run_id, "KILLED" if asked or state.cancelled else "FAILED", **{"dlops.error": error})


def note(client: MlflowClient, run: Any, state: State) -> bool:
    """Write into a run's record what its cluster tells for it; say whether any of it is new."""
    new = {name: value for name, value in state.tags.items() if run.data.tags.get(name) != value}
    for name, value in new.items():
        client.set_tag(run.info.run_id, name, value)
    return bool(new)


def _keep_log(client: MlflowClient, run_id: str, printed: str) -> None:
    """Keep with a run what its cluster has kept of its log, where no worker does."""
    if printed:
        client.log_text(run_id, masking.url(printed), pieces.name(1))


def _ended(run: Any) -> Event:
    """Tell a run's end: in its worker's words, or that it was closed by somebody else."""
    tags = run.data.tags
    if run.info.status == "FAILED" and "dlops.exit_code" not in tags:
        lost = {"event": "lost", "text": tags.get("dlops.error", "")}
        return {**lost, "hosted": True} if reaper.hosted(run) else lost
    return {
        "event": "ended",
        "status": run.info.status,
        "exit_code": int(tags.get("dlops.exit_code", "130")),
        "error": tags.get("dlops.error", ""),
        "duration_s": round((run.info.end_time - run.info.start_time) / 1000, 3),
        **summary(run),
    }
