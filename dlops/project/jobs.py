"""Runs whose worker is in a cluster: what the cluster knows of the job, and how it is asked to end it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from dlops.errors import UnreachableError
from dlops.targets import following, names
from dlops.targets.interface import Cluster
from dlops.worker import reaper
from dlops.worker.record import HEARTBEAT

if TYPE_CHECKING:
    from mlflow import MlflowClient

_LATE = 2 * HEARTBEAT
"""Seconds without a heartbeat after which the cluster is asked: as long as there is one, all is well."""


def close_if_lost(client: MlflowClient, run: Any, away: set[str]) -> bool:
    """Close an open run whose job its cluster has lost or ended; say whether it is closed now.

    Nobody knows where the cluster does not answer, or this machine does not know the run's target: it stays open.
    The targets in `away` are not asked; one that does not answer is added.
    """
    found = _job(run)
    if found is None or time.time() - float(run.data.tags.get("dlops.heartbeat", "0")) < _LATE:
        return False
    cluster, handle = found
    if cluster.name in away:
        return False
    try:
        state = cluster.state(handle)
    except UnreachableError:
        away.add(cluster.name)
        return False
    if state.over:
        following.close(client, run, state, cluster, handle)
    return state.over


def ask_to_end(client: MlflowClient, run: Any) -> None:
    """Ask the cluster of an open run to end its job, begun or not.

    Where this machine does not know the cluster, the run's record tells the worker; of a run that no cluster has,
    nobody is asked.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    if found := _job(run):
        following.ask_to_end(client, run.info.run_id, *found)
    elif reaper.HANDLE in run.data.tags and not reaper.over(run):
        following.say_so(client, run.info.run_id)


def _job(run: Any) -> tuple[Cluster, str] | None:
    tags = run.data.tags
    if reaper.over(run) or reaper.HANDLE not in tags:
        return None
    cluster, handle = names.cluster(tags.get("dlops.target", "local")), tags[reaper.HANDLE]
    return (cluster, handle) if cluster and _owns(cluster, handle) else None


def _owns(cluster: Cluster, handle: str) -> bool:
    try:
        return cluster.owns(handle)
    except (UnreachableError, ValueError):
        return False
