"""Run the job that stands on standard input, and tell of it on standard output."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from dlops.worker import tracking
from dlops.worker.events import Events
from dlops.worker.job import Job
from dlops.worker.supervisor import Supervisor


def _asked(events: Events) -> Supervisor | None:
    """Wait for the job; nothing comes where whoever started this is gone, or refused the job."""
    job = sys.stdin.read()
    return Supervisor(Job.from_json(job), events) if job else None


if __name__ == "__main__":
    events = Events(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand among the events
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_asked, events)
        tracking.load()  # meanwhile the job is still being planned
    if supervisor := asked.result():
        supervisor.run()
    os._exit(0)  # nothing is left to do, and the threads of a tracking client take their time to end
