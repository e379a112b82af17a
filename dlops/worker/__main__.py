"""Run the job that stands on standard input, and tell of it on standard output."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor

from dlops.worker import tracking
from dlops.worker.events import Events
from dlops.worker.job import Job
from dlops.worker.supervisor import Supervisor


def work() -> None:
    """Wait for the job, and run it; nothing comes where whoever started this is gone, or refused the job."""
    events = Events(os.dup(1))
    os.dup2(2, 1)  # what a library prints must not stand among the events
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(_asked, events)
        tracking.load()  # meanwhile the job is still being planned
    if supervisor := asked.result():
        supervisor.run()


def _asked(events: Events) -> Supervisor | None:
    job = sys.stdin.read()
    return Supervisor(Job.from_json(job), events) if job else None


if __name__ == "__main__":
    work()
    os._exit(0)  # nothing is left to do, and the threads of a tracking client take their time to end
