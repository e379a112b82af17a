"""What every place that can run a job offers: problems before, events during, a request to end."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from dlops.worker.job import Job

Event = dict[str, Any]
"""One event of a worker, see `dlops.worker.events`."""


Show = Callable[[Event], None]


class Launched(Protocol):
    """A job that was handed over; whoever holds this only follows it."""

    def events(self) -> Iterator[Event]:
        """Give events as they come, until the job is over; after an interruption, go on where it stopped."""

    def terminate(self) -> None:
        """Ask the job to end; asked twice, it is killed."""


Finding = tuple[str, str, str]
"""What was looked at, `ok`, `note` or `problem`, and what was found."""


class Target(Protocol):
    """A place where jobs run."""

    name: str
    here: bool
    """Whether it is this machine: its folders, its interpreter, the environments that are built on it."""
    forgets: bool
    """Whether what a job leaves in its machine's own folders is lost."""
    stays: bool
    """Whether what it begins is there to stay: it is left alone by who stops waiting for it."""

    def ahead(self) -> AbstractContextManager[None]:
        """Begin, while a job is still being planned, what takes time and needs no job; undo it when none came."""

    def problems(self, job: Job) -> list[str]:
        """List what would keep this job from running here, without starting or creating anything."""

    def examine(self, tracking_uri: str) -> Iterator[Finding]:
        """Look whether a job could run and be recorded here, by starting one that only looks round."""

    def start(self, job: Job, show: Show) -> Launched:
        """Hand a job over; `show` is told of what takes its time.

        Raises:
            UnreachableError: the place does not answer.
        """


@dataclass(frozen=True, kw_only=True)
class ClusterSettings:
    """What is said of every cluster in `targets.yaml`, whatever its kind."""

    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the entry point."""
    pass_variables: tuple[str, ...] = ()
    """Names of variables of this machine that it gets too."""
    shared: tuple[str, ...] = ()
    """Folders that are the same here and there: what is in them is not uploaded."""


def is_loopback(uri: str) -> bool:
    """Say whether an address is a machine's own name for itself, as one without a host and without a query is."""
    try:
        parts = urlsplit(uri)
        host = parts.hostname or ""
        if not host:
            return "://" in uri and not parts.query
        number = ipaddress.ip_address(host)
    except ValueError:  # a name, or nothing that is an address: whoever uses it says so
        return urlsplit(uri.partition("[")[0]).hostname == "localhost"
    return number.is_loopback or number.is_unspecified


@dataclass(frozen=True)
class State:
    """What a cluster says of a job."""

    over: bool
    """Whether it will not go on, whatever came of it; also when nobody knows it any more."""
    text: str
    """In the cluster's words."""
    cancelled: bool = False
    """Whether somebody ended it by the cluster's own means."""
    word: str = "cancelled"
    """What became of one that somebody ended so: it was …"""
    ready: bool = False
    """Whether nothing is left to wait for, and it goes on until somebody ends it."""
    left: bool = False
    """Whether something of one that is over is still there, which can be stopped."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What its run is to say of it, where no worker does."""


class Cluster(Protocol):
    """A place far from here, for `dlops.targets.remote`; every call is one conversation with it."""

    name: str
    on_loopback: bool
    """Whether it is on this machine, as in a test."""
    is_workspace: bool
    """Whether its jobs are let into a Databricks workspace, the one they run in."""

    def problems(self, job: Job) -> list[str]:
        """List what would keep a job from being taken, as far as that is known without asking."""

    def submit(self, job: Job, package: Path, key: str) -> str:
        """Give a folder and the key to what is in it; the run's id names the job, so that asking twice starts one.

        Returns:
            The job's handle: all that any machine needs to ask for it again.

        Raises:
            UnreachableError: the cluster does not answer, or refuses.
        """

    def owns(self, handle: str) -> bool:
        """Say whether a handle is of this cluster: another machine may call another one by the same name."""

    def page(self, handle: str) -> str:
        """Give the address of a page that shows the job; empty where there is none.

        Raises:
            UnreachableError: the cluster does not answer.
        """

    def state(self, handle: str) -> State:
        """Tell how a job is.

        Raises:
            UnreachableError: the cluster does not answer.
        """

    def stop(self, handle: str) -> None:
        """Ask a job to end, also one that has not begun; one that is over stays as it is.

        Raises:
            UnreachableError: the cluster does not answer.
        """

    def tidy(self, handle: str) -> None:
        """Remove what was sent for a job that is over, where nobody there did.

        Raises:
            UnreachableError: the cluster does not answer.
        """

    def log(self, handle: str) -> str:
        """Give what a job printed, as far as the cluster has kept it.

        Raises:
            UnreachableError: the cluster does not answer.
        """
