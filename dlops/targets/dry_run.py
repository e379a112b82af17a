"""The target of `--dry-run`: takes any job, creates nothing, says what would have run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

from dlops.targets.interface import Event, Finding, Show, Target
from dlops.worker.job import Job


class Planned:
    """A job that is not started."""

    def events(self) -> Iterator[Event]:
        """Give the one event there is."""
        yield {"event": "planned"}

    def terminate(self) -> None:
        """End nothing: nothing runs."""


class DryRun:
    """Stands in for the target a job would have gone to, and checks what that one checks."""

    def __init__(self, instead_of: Target) -> None:
        self._instead_of = instead_of
        self.name, self.here = instead_of.name, instead_of.here
        self.forgets, self.stays = instead_of.forgets, instead_of.stays

    def ahead(self) -> AbstractContextManager[None]:
        """Begin nothing."""
        return nullcontext()

    def problems(self, job: Job) -> list[str]:
        """List what the real target would say."""
        return self._instead_of.problems(job)

    def examine(self, tracking_uri: str) -> Iterator[Finding]:
        """Find what the real target does."""
        return self._instead_of.examine(tracking_uri)

    def start(self, job: Job, show: Show) -> Planned:  # noqa: ARG002 - the interface's
        """Start nothing."""
        return Planned()
