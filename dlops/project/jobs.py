"""Runs whose worker is in a cluster: what the cluster knows of the job, and how it is asked to end it."""

from __future__ import annotations

import contextlib
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


def look_after(client: MlflowClient, run: Any, away: set[str]) -> bool:
    """Close an open run whose job its cluster has lost or ended, note what it tells; say whether the record is another.

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
    noted = following.note(client, run, state)
    if state.over:
        following.close(client, run, state, cluster, handle)
    return state.over or noted


def ask_to_end(client: MlflowClient, run: Any) -> None:
    """Ask the cluster of an open run to end its job, begun or not.

    Where this machine does not know the cluster, the run's record tells the worker; of a run that no cluster has,
    nobody is asked.

    Raises:
        UnreachableError: the cluster does not answer, or nobody else than the cluster could end it.
    """
    if found := _job(run):
        following.ask_to_end(client, run.info.run_id, *found)
    elif reaper.hosted(run) and not reaper.over(run):
        target = run.data.tags.get("dlops.target", "")
        raise UnreachableError(
            f"Only {target} can end run {run.info.run_id}, and no targets.yaml here has it with the same address.",
            hint="Cancel it where it was launched, or describe the target here too.",
        )
    elif reaper.HANDLE in run.data.tags and not reaper.over(run):
        following.say_so(client, run.info.run_id)


def give_up(client: MlflowClient, run: Any) -> bool:
    """Close an open run whose machine is lost (`reaper.give_up`); its cluster, if any, is asked to end it first."""
    if not reaper.seems_lost(run):
        return False
    with contextlib.suppress(UnreachableError):
        ask_to_end(client, run)
    return reaper.give_up(client, run)


def stop_what_is_left(run: Any) -> bool:
    """Stop the service that a run which has ended has left behind; say whether there was one.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    found = _cluster(run) if reaper.hosted(run) else None
    if found is None:
        return False
    cluster, handle = found
    state = cluster.state(handle)
    if state.over and not state.left:
        return False
    cluster.stop(handle)
    return True


def log(run: Any) -> str:
    """Give what an open run's cluster has kept of its log, where no worker keeps it.

    Raises:
        UnreachableError: the cluster does not answer.
    """
    found = _job(run) if reaper.hosted(run) else None
    return found[0].log(found[1]) if found else ""


def _job(run: Any) -> tuple[Cluster, str] | None:
    return None if reaper.over(run) else _cluster(run)


def _cluster(run: Any) -> tuple[Cluster, str] | None:
    """Give the cluster that a run's job is or was in, and its handle."""
    tags = run.data.tags
    if reaper.HANDLE not in tags:
        return None
    handle = tags[reaper.HANDLE]
    owners = (cluster for cluster in names.clusters(tags.get("dlops.target", "local")) if _owns(cluster, handle))
    return next(((cluster, handle) for cluster in owners), None)


def _owns(cluster: Cluster, handle: str) -> bool:
    try:
        return cluster.owns(handle)
    except (UnreachableError, ValueError):
        return False
