"""Run the job that stands on standard input, and tell of it on standard output."""

from __future__ import annotations

import os
import sys

from dlops.worker import tracking
from dlops.worker.events import Events
from dlops.worker.job import Job
from dlops.worker.supervisor import Supervisor

if __name__ == "__main__":
    events = Events(os.dup(sys.stdout.fileno()))
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what a library prints must not stand among the events
    tracking.load()  # before the job is asked for: it is still being planned
    if job := sys.stdin.read():  # nothing: whoever started this is gone, or refused the job
        Supervisor(Job.from_json(job), events).run()
    os._exit(0)  # nothing is left to do, and the threads of a tracking client take their time to end
