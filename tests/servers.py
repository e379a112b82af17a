"""MLflow's own server on loopback, which keeps artifacts where no test sees files; it ends with the test."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path


def outside() -> dict[str, str]:
    """Give the environment of what outlives a test: nothing of the test's is in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("DLOPS_", "MLFLOW_"))}


def free_port() -> int:
    """Give the number of a port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class TrackingServer:
    """A tracking server with a store of its own, which can go away and come back."""

    def __init__(self, folder: Path, database: Path, artifacts: str = "", store: str = "") -> None:
        """Prepare a server on a copy of an initialised `database`, or on the `store` of that URI.

        With `artifacts`, clients bring them there.
        """
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.artifacts, self.database = folder / "served", folder / "server.db"
        self._of_artifacts = (
            ["--no-serve-artifacts", "--default-artifact-root", artifacts]
            if artifacts
            else ["--serve-artifacts", "--artifacts-destination", str(self.artifacts)]
        )
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(database, self.database)
        self._store = store or f"sqlite:///{self.database}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers."""
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)]
        command += ["--workers", "1", "--backend-store-uri", self._store, *self._of_artifacts]
        environ = outside() | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with (self.folder / "server.log").open("a") as log:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=environ, stdout=log, stderr=log, start_new_session=True
            )
        deadline = time.monotonic() + 90
        while True:
            try:
                urllib.request.urlopen(f"{self.uri}/health", timeout=5).close()
                return
            except OSError:
                said = (self.folder / "server.log").read_text()
                assert self._process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.2)

    def stop(self) -> None:
        """Kill it with all its processes."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def statuses(self) -> list[str]:
        """List the status of every run."""
        import sqlite3

        with contextlib.closing(sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)) as connection:
            return sorted(row[0] for row in connection.execute("SELECT status FROM runs"))


@contextlib.contextmanager
def tracking(folder: Path, database: Path, artifacts: str = "") -> Iterator[TrackingServer]:
    """Serve as long as the context lasts."""
    server = TrackingServer(folder, database, artifacts)
    try:
        server.start()
        yield server
    finally:
        server.stop()
