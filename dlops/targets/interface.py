"""What every place that can run a job offers: problems before, events during, a request to end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

from dlops.worker.job import Job

Event = dict[str, Any]
"""One event of a worker, see `dlops.worker.events`."""


class Launched(Protocol):
    """A job that was handed over; whoever holds this only follows it."""

    def events(self) -> Iterator[Event]:
        """Give events as they come, until the job is over; after an interruption, go on where it stopped."""

    def terminate(self) -> None:
        """Ask the job to end; asked twice, it is killed."""


class Target(Protocol):
    """A place where jobs run."""

    name: str

    def ahead(self) -> AbstractContextManager[None]:
        """Begin, while a job is still being planned, what takes time and needs no job; undo it when none came."""

    def problems(self, job: Job) -> list[str]:
        """List what would keep this job from running here, without starting or creating anything."""

    def start(self, job: Job) -> Launched:
        """Hand a job over.

        Raises:
            UnreachableError: the place does not answer.
        """
