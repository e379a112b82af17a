"""Closes what a killed worker left behind: its orphans are ended, its run gets a truthful end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from dlops.worker import processes, scratch

if TYPE_CHECKING:
    from mlflow import MlflowClient

ERROR = "The worker that ran this was killed (or its machine was restarted); whatever it had started was ended."


def close_dead_runs(client: MlflowClient, experiment_ids: list[str]) -> list[str]:
    """Close the runs of these experiments whose worker on this machine is dead; give their ids."""
    if not experiment_ids:
        return []
    running = client.search_runs(experiment_ids, "attributes.status = 'RUNNING'", max_results=1000)
    return [run.info.run_id for run in running if close_if_dead(client, run)]


def close_if_dead(client: MlflowClient, run: Any) -> bool:
    """Close one open run when its worker is certainly dead; say whether it was."""
    worker = identity(run)
    if run.info.status != "RUNNING" or worker is None or processes.alive(worker) is not False:
        return False
    if worker["boot"] == processes.boot_id():
        processes.end(run.info.run_id, group=-1, grace=5.0)
    scratch.remove(run.info.run_id)
    client.set_tag(run.info.run_id, "dlops.error", ERROR)
    client.set_terminated(run.info.run_id, "FAILED")
    return True


def identity(run: Any) -> dict[str, str] | None:
    """Read which process keeps a run: a `processes.identity`; `None` for a run that is not ours."""
    try:
        worker = {str(key): str(value) for key, value in json.loads(run.data.tags["dlops.worker"]).items()}
    except (KeyError, ValueError, AttributeError):
        return None
    return worker if {"host", "boot", "pid", "started"} <= worker.keys() and worker["pid"].isdecimal() else None
