"""This machine: the worker is a process of its own session, which outlives the command line."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import IO

from dlops.targets.interface import Event, Finding, Show
from dlops.worker import tracking
from dlops.worker.forks import Fork, Forks
from dlops.worker.job import Job

_POLL = 0.03
"""Seconds between two looks at the events."""


class LocalRun:
    """A worker on this machine.

    Its events go to a file without a name: it needs no cleaning up whoever dies, and a reader that is stopped or gone
    never blocks the work, as a pipe would.
    """

    def __init__(self, worker: subprocess.Popen[bytes] | Fork, events: IO[bytes], errors: IO[bytes]) -> None:
        self._worker, self._events, self._errors = worker, events, errors
        self._offset = 0

    def events(self) -> Iterator[Event]:
        """Give events until the worker has ended; one that was killed has its run closed, and is told as lost."""
        ended = False
        while not ended:
            ended = self._worker.poll() is not None  # asked before reading: what it wrote last is not missed
            for event in self._unread():
                yield event
                if event["event"] in ("ended", "failed"):
                    self._worker.wait()
                    return
            if not ended:
                time.sleep(_POLL)
        self._errors.seek(0)
        yield {"event": "lost", "text": self._errors.read().decode(errors="replace")[-4000:]}

    def hand_over(self, job: Job) -> None:
        """Give the worker its job; one that could not even begin says why in its errors."""
        assert self._worker.stdin is not None
        with contextlib.suppress(BrokenPipeError), self._worker.stdin:
            self._worker.stdin.write(job.to_json().encode())

    def discard(self) -> None:
        """Kill a worker that got no job, and so has done nothing."""
        self._worker.kill()
        self._worker.communicate()
        self._events.close()
        self._errors.close()

    def terminate(self) -> None:
        """Send SIGTERM to the worker, which ends its command and its run."""
        if self._worker.poll() is None:
            self._worker.send_signal(signal.SIGTERM)

    def _unread(self) -> Iterator[Event]:
        """Give the whole lines that are there. One whose reader was interrupted is given again: better than never."""
        rest = b""
        while data := os.pread(self._events.fileno(), 1 << 20, self._offset + len(rest)):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield json.loads(line)
                self._offset += len(line) + 1


class Local:
    """The target `local`."""

    name = "local"
    here, forgets, stays = True, False, False

    def __init__(self, forks: Forks | None = None) -> None:
        """Take this machine; `forks` are workers that need not be started."""
        self._waiting: LocalRun | None = None
        self._forks = forks

    @contextlib.contextmanager
    def ahead(self) -> Iterator[None]:
        """Start a worker that waits for its job: importing MLflow takes it longer than planning takes us."""
        self._waiting = _worker(self._forks)
        try:
            yield
        finally:
            if self._waiting:
                self._waiting.discard()
                self._waiting = None

    def problems(self, job: Job) -> list[str]:
        """Check what a local run needs of this machine: a store that can be written, and room."""
        database = tracking.sqlite_file(job.tracking_uri)
        if database is None:
            return []
        place = next(folder for folder in (database, *database.parents) if folder.exists())
        if place.is_dir() == (place == database):
            what = "folder" if place == database else "file"
            return [f"{place} is a {what}, where the tracking store {database} cannot be"]
        if not os.access(place, os.W_OK):
            return [f"{place} cannot be written: the tracking store {database} needs it"]
        return []

    def examine(self, tracking_uri: str) -> Iterator[Finding]:  # noqa: ARG002 - the interface's
        """Find nothing: `dlops doctor` looks at this machine itself."""
        return iter(())

    def start(self, job: Job, show: Show) -> LocalRun:  # noqa: ARG002 - the interface's
        """Hand the job to the worker that waits for it, or to a new one."""
        run, self._waiting = self._waiting or _worker(self._forks), None
        run.hand_over(job)
        return run


def _worker(forks: Forks | None = None) -> LocalRun:
    """Start a worker in a session of its own, so that no signal of this terminal reaches it."""
    events, errors = tempfile.TemporaryFile(), tempfile.TemporaryFile()  # noqa: SIM115 - they live as long as the run
    if forks:
        with contextlib.suppress(OSError):  # who makes them was killed: one is started then
            return LocalRun(forks.fork(_appending(events).fileno(), errors.fileno()), events, errors)
    worker = subprocess.Popen(
        [sys.executable, "-P", "-m", "dlops.worker"],
        stdin=subprocess.PIPE,
        stdout=_appending(events),
        stderr=errors,
        start_new_session=True,
    )
    return LocalRun(worker, events, errors)


def _appending(file: IO[bytes]) -> IO[bytes]:
    """Make every write to a file go to its end; reading is done by offset and does not disturb it."""
    import fcntl

    flags = fcntl.fcntl(file.fileno(), fcntl.F_GETFL)
    fcntl.fcntl(file.fileno(), fcntl.F_SETFL, flags | os.O_APPEND)
    return file
