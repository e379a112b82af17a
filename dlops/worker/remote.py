"""The main program of a worker that was sent somewhere: its job, the project and itself lie in one folder."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlops.worker import client, installed, masking, probe, sealed
from dlops.worker.events import Events
from dlops.worker.job import Job
from dlops.worker.supervisor import Supervisor

PROGRAM, JOB, PROJECT = "worker.pyz", "job.sealed", "project.tar.gz"
"""The files of the folder: this package, runnable; what is to be done; the project's files."""
LOCK = "environment.lock"


class Printed(Events):
    """Prints what a command prints, as it is: where it runs, people look at the log of the job."""

    def emit(self, event: str, **values: Any) -> None:
        """Print output, and what went wrong; the rest is in the run."""
        if text := str(values.get("text" if event in ("output", "warning") else "message", "")):
            self.write(text.encode() if event == "output" else f"{event}: {text}\n".encode())


def main() -> None:
    """Run the job; the exit code says whether it ended well."""
    folder = Path(sys.argv[0]).absolute().parent
    key = os.environ.pop(sealed.KEY)
    job = Job.from_json(sealed.unseal((folder / JOB).read_bytes(), key))
    read = [secret for secret in json.loads(os.environ.pop("DLOPS_SECRETS", "[]")) if len(secret) >= masking.SHORTEST]
    job = replace(job, secrets=(*job.secrets, *read, key))
    os.environ.update(job.variables)
    alone = bool(os.environ.pop("DLOPS_PARENT", ""))
    if alone:
        threading.Thread(target=_end_with_parent, daemon=True).start()
    client.ready(job.client)
    if job.probe:
        probe.answer(job)
        os._exit(0)
    well = Supervisor(_at_home(job, folder), Printed(sys.stdout.fileno())).run()
    if alone:
        shutil.rmtree(folder, ignore_errors=True)  # whoever started this, and would do it, may have been killed
    os._exit(0 if well else 1)  # nothing is left to do, and the threads of a tracking client take their time to end


def _end_with_parent() -> None:
    """End the job when whoever started this process is no more, and the pipe from it closed."""
    sys.stdin.buffer.read()
    os.kill(os.getpid(), signal.SIGTERM)


def _at_home(job: Job, folder: Path) -> Job:
    """Complete a job by what only this machine knows."""
    return replace(
        job,
        archive=str(folder / PROJECT),
        path=(str(Path(sys.executable).parent),),
        secrets=masking.known_secrets(os.environ, {}, job.secrets) + job.secrets,
        artifacts={LOCK: installed.packages(), **job.artifacts},
    )
