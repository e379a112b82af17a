"""A cluster that is this machine: it runs what it is given in a process, as a real one does in a node."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from dlops.errors import UnreachableError
from dlops.targets.interface import State
from dlops.worker import sealed
from dlops.worker.job import Job
from dlops.worker.remote import PROGRAM


class Here:
    """Takes jobs, one process each; a test may switch on what goes wrong."""

    name = "far"
    on_loopback = True
    is_workspace = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.away = self.full = False
        self.sent: list[str] = []
        """The names of the files that came with the last job."""

    def problems(self, job: Job) -> list[str]:
        return [] if job.grace else ["no time to end"]

    def submit(self, job: Job, package: Path, key: str) -> str:
        self._reached()
        if self.full:
            raise UnreachableError("far takes no more jobs", hint="Wait.")
        place = Path(tempfile.mkdtemp(dir=self.folder))
        shutil.copytree(package, place, dirs_exist_ok=True)
        self.sent = sorted(file.name for file in package.iterdir())
        with (place / "log").open("wb") as log:
            self.processes[job.run_id] = subprocess.Popen(
                [sys.executable, "-E", PROGRAM],
                cwd=place,
                env={"PATH": os.environ["PATH"], sealed.KEY: key, "HOME": str(self.folder)},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        (self.folder / job.run_id).symlink_to(place)
        return job.run_id

    def owns(self, handle: str) -> bool:
        return handle in self.processes

    def page(self, handle: str) -> str:
        self._reached()
        return f"http://far/{handle}"

    def state(self, handle: str) -> State:
        self._reached()
        code = self.processes[handle].poll()
        return State(code is not None, "it runs" if code is None else f"it ended with {code}")

    def stop(self, handle: str) -> None:
        self._reached()
        self.processes[handle].send_signal(signal.SIGTERM)

    def tidy(self, handle: str) -> None:
        self._reached()

    def log(self, handle: str) -> str:
        self._reached()
        return (self.folder / handle / "log").read_text()

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()

    def _reached(self) -> None:
        if self.away:
            raise UnreachableError("far does not answer")


def quietly(event: dict[str, object]) -> None:
    """Show nothing."""
