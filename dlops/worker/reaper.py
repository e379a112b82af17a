"""Closes what a killed worker left behind: its orphans are ended, its run gets a truthful end."""

from __future__ import annotations

import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

from dlops.worker import processes, scratch

if TYPE_CHECKING:
    from mlflow import MlflowClient

HANDLE, LAUNCHER, PAGE = "dlops.handle", "dlops.launcher", "dlops.page"
"""Tags of a run that goes to a cluster: what the job is known by, which process hands it over, where it is shown."""
SEARCH = "dlops.search"
"""Tag of a search's run, and of the runs of its trials below it: the id of the first one."""
PARENT, PIPELINE_STEP = "mlflow.parentRunId", "dlops.pipeline.step"
"""Tags of the run of a pipeline's step: the pipeline's run, the step's name in it."""
PIPELINE = "dlops.pipeline"
"""Tag of a pipeline's run: what was asked for."""
_SURE = 20.0
"""Seconds in which a worker that lives gives a sign."""
LONGEST_TAG = 8000
"""Letters that every store takes."""
_PATIENCE = 20.0
"""Seconds for which a pipeline's steps on this machine are waited for, whose workers still end them."""
SILENCE, _ABANDONED = 60.0, 3600.0
"""Seconds without a heartbeat: of a worker elsewhere that may be dead, of a launch that came to nothing."""
GONE = 180.0
"""Seconds without a heartbeat after which who wants a run's end may take its machine for lost."""
ERROR = "The worker that ran this was killed (or its machine was restarted); whatever it had started was ended."
LOST = "The machine that ran this has given no sign for minutes, and was taken for lost."
NOT_HANDED_OVER = "The command line that launched this was killed before it had handed the job over."


def close_dead_runs(client: MlflowClient, experiment_ids: list[str]) -> list[str]:
    """Close the runs of these experiments whose worker on this machine is dead; give their ids."""
    if not experiment_ids:
        return []
    running = client.search_runs(experiment_ids, "attributes.status = 'RUNNING'", max_results=1000)
    return [run.info.run_id for run in running if close_if_dead(client, run)]


def close_if_dead(client: MlflowClient, run: Any) -> bool:
    """Close one open run when its worker is certainly dead; say whether it was."""
    worker = identity(run)
    if over(run) or worker is None or not (_is_dead(worker, run) or _abandoned(run)):
        return False
    run = client.get_run(run.info.run_id)  # it may have ended well since it was listed, and its worker then
    if over(run):
        return False
    if worker["boot"] == processes.boot_id():
        processes.end(run.info.run_id, group=-1, grace=5.0)
    scratch.remove(run.info.run_id)
    error = ERROR if "dlops.worker" in run.data.tags else NOT_HANDED_OVER
    end(client, run.info.run_id, "FAILED", **{"dlops.error": error})
    return True


def give_up(client: MlflowClient, run: Any) -> bool:
    """Close an open run whose worker, on another machine, is lost; say whether it was closed.

    Clocks of two machines may differ, and a store that was away has missed all beats: so one is waited for. Should the
    worker live after all, it reads in the record that it is to end.
    """
    if not seems_lost(run):
        return False
    run_id, beat = run.info.run_id, run.data.tags["dlops.heartbeat"]
    deadline = time.monotonic() + _SURE
    while time.monotonic() < deadline:
        time.sleep(min(1.0, _SURE))
        now = client.get_run(run_id)
        if over(now) or now.data.tags.get("dlops.heartbeat") != beat:
            return False
    client.set_tag(run_id, "dlops.cancel", str(int(time.time())))
    end(client, run_id, "FAILED", **{"dlops.error": LOST})
    return True


def seems_lost(run: Any) -> bool:
    """Say whether a worker on another machine has given no sign for minutes, as far as clocks agree."""
    if over(run) or not {"dlops.worker", "dlops.heartbeat"} <= run.data.tags.keys():
        return False
    keeper = identity(run)
    return keeper is not None and processes.alive(keeper) is None and _age(run) > GONE


def end(client: MlflowClient, run_id: str, status: str, **tags: str) -> None:
    """End a run: its status first, which a script may have set otherwise, then at once the tags that make it `over`.

    Whoever sees the tags sees the status; where this is broken off between the two, a run that has a worker is not
    over, and is closed by whoever looks at it next.
    """
    from mlflow.entities import RunTag

    kept = [RunTag(name, value[:LONGEST_TAG]) for name, value in tags.items() if value]
    client.set_terminated(run_id, status)
    client.log_batch(run_id, tags=kept, synchronous=True)  # whatever MLFLOW_ENABLE_ASYNC_LOGGING says
    with contextlib.suppress(Exception):  # whatever a client raises: the run itself has ended
        _end_below(client, run_id)


def _end_below(client: MlflowClient, run_id: str) -> None:
    """End the open trials of a search that has ended; whose a stranger's nested run is, nobody can say."""
    run = client.get_run(run_id)
    if PIPELINE in run.data.tags:
        end_steps(client, run)
    if SEARCH not in run.data.tags:
        return
    which = f"attributes.status = 'RUNNING' AND tags.`mlflow.parentRunId` = '{run_id}' AND tags.`{SEARCH}` != ''"
    for trial in client.search_runs([run.info.experiment_id], which, max_results=1000):
        client.set_terminated(trial.info.run_id, "KILLED")


def end_steps(client: MlflowClient, pipeline: Any) -> None:
    """End the open steps of a pipeline that has ended: those of this machine were killed with it, others are told."""
    which = (
        f"attributes.status = 'RUNNING' AND tags.`{PARENT}` = '{pipeline.info.run_id}' AND tags.`{PIPELINE_STEP}` != ''"
    )
    deadline = time.monotonic() + _PATIENCE
    for found in client.search_runs([pipeline.info.experiment_id], which, max_results=1000):
        run = found
        while not over(run) and not close_if_dead(client, run):
            keeper = identity(run)
            is_elsewhere = HANDLE in run.data.tags or keeper is None or processes.alive(keeper) is None
            if is_elsewhere or time.monotonic() > deadline:
                if HANDLE in run.data.tags or not give_up(client, run):  # a cluster may still know the job
                    _ask_to_end(client, run)
                break
            time.sleep(0.2)
            run = client.get_run(run.info.run_id)


def _ask_to_end(client: MlflowClient, run: Any) -> None:
    """Write the wish to end into the record of a run elsewhere, and end one that nobody has begun."""
    run_id = run.info.run_id
    if hosted(run):
        return  # a service stays: it has its own end
    client.set_tag(run_id, "dlops.cancel", str(int(time.time())))
    if "dlops.worker" not in run.data.tags:
        end(client, run_id, "KILLED", **{"dlops.error": "cancelled before it began"})


def _is_dead(worker: dict[str, str], run: Any) -> bool:
    """Say whether a worker is certainly dead. Another machine may have this one's name: then its heartbeat tells."""
    if processes.alive(worker) is not False:
        return False
    return worker["boot"] == processes.boot_id() or _age(run) > SILENCE


def _abandoned(run: Any) -> bool:
    """Say whether whoever handed a run over never finished, on a machine that may be no more."""
    return "dlops.worker" not in run.data.tags and _age(run) > _ABANDONED


def _age(run: Any) -> float:
    """Give the seconds since a run's last heartbeat."""
    beat = run.data.tags.get("dlops.heartbeat", "")
    return time.time() - float(beat) if beat.isdecimal() else float("inf")


def over(run: Any) -> bool:
    """Say whether a run has ended. A script ends its run itself, by MLflow's own means, while it still goes on.

    What counts is what the worker says, or whoever closed the run for it.
    """
    tags = run.data.tags
    return run.info.status != "RUNNING" and (
        "dlops.worker" not in tags or not {"dlops.exit_code", "dlops.error"}.isdisjoint(tags)
    )


def hosted(run: Any) -> bool:
    """Say whether a run is about a service that answers by itself: no worker keeps it, and none gives a sign."""
    return HANDLE in run.data.tags and "dlops.heartbeat" not in run.data.tags


def identity(run: Any) -> dict[str, str] | None:
    """Read which process keeps a run, its worker, or whoever still hands it over: a `processes.identity`.

    `None` for a run that is not ours, and for a job that a cluster has and no worker has begun.
    """
    tags = run.data.tags
    keeper = tags.get("dlops.worker") or (tags.get(LAUNCHER) if HANDLE not in tags else None)
    try:
        worker = {str(key): str(value) for key, value in json.loads(keeper or "").items()}
    except (ValueError, AttributeError):
        return None
    return worker if {"host", "boot", "pid", "started"} <= worker.keys() and worker["pid"].isdecimal() else None
