"""Sees to the end of a run whose worker is killed: a process that waits for the worker's end, and does nothing else."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from dlops.worker import client, processes, reaper, tracking, work_trees

_OVER = b"over"
_PATIENCE = 300.0
"""Seconds for which a tracking store that is away is asked to take the run's end."""


class Guard:
    """A process beside a worker, in a session of its own: what kills the one does not kill the other."""

    def __init__(self, run_id: str, tracking_uri: str, tree: str = "") -> None:
        """Start the process, which knows by the end of a pipe that this one is no more; `tree` is its work tree."""
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "dlops.worker.guard"],
            env=with_worker(os.environ),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        assert process.stdin is not None
        self._stream = process.stdin
        self._tell(json.dumps({"run_id": run_id, "tracking_uri": tracking_uri, "tree": tree}).encode() + b"\n")

    def watch(self, group: int) -> None:
        """Name the process group of the command: not every system tells who belongs to a run."""
        self._tell(json.dumps({"group": group}).encode() + b"\n")

    def dismiss(self) -> None:
        """Say that the run has ended as it should; the process ends then."""
        self._tell(_OVER)
        with contextlib.suppress(BrokenPipeError):
            self._stream.close()

    def _tell(self, text: bytes) -> None:
        with contextlib.suppress(BrokenPipeError):  # somebody has killed it: the next command closes a run in need
            self._stream.write(text)
            self._stream.flush()


def with_worker(environment: os._Environ[str]) -> dict[str, str]:
    """Let a Python that is started with this environment find the worker's package, be it a folder or an archive."""
    places = [str(Path(__file__).parents[2]), client.place(), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(filter(None, places))}


def main() -> None:
    """Wait for the worker; where it was killed, end what it had started and close its run."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # sent to all that belongs to a job: the worker sees to that
    worker = os.getppid()
    lines = sys.stdin.buffer.read().splitlines()
    if lines and lines[-1] != _OVER:
        deadline = time.monotonic() + 5.0
        while os.getppid() == worker and time.monotonic() < deadline:  # its files are closed before it is gone
            time.sleep(0.01)
        said: dict[str, Any] = {}
        for line in lines:
            said |= json.loads(line)
        _close(**said)


def _close(run_id: str, tracking_uri: str, tree: str, group: int = -1) -> None:
    processes.end(run_id, group=group, grace=5.0)
    if tree:
        work_trees.remove_unused(Path(tree).parent)
    store = tracking.connect(tracking_uri)
    tracking.patiently(lambda: reaper.close_if_dead(store, store.get_run(run_id)), seconds=_PATIENCE)


if __name__ == "__main__":
    main()
