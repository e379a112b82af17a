"""A service of a cluster that answers by itself: no files go there, no worker begins, and it stays until ended."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dlops.targets.interface import Cluster, Show
from dlops.targets.remote import Remote
from dlops.worker import record, tracking
from dlops.worker.job import Job

if TYPE_CHECKING:
    from mlflow import MlflowClient

_PATIENCE = 60.0


class Hosted(Remote):
    """Such a service as a target; what a worker would write into the run is written from here."""

    stays = True

    def __init__(self, cluster: Cluster, *, variables: dict[str, str]) -> None:
        super().__init__(cluster, variables=variables)
        self.forgets = False

    def problems(self, job: Job) -> list[str]:
        """List what the service would not take; the tracking store is its own affair: nothing there writes to it."""
        return self._cluster.problems(self._with_variables(job))

    def _check_store(self, client: MlflowClient, experiment: str) -> None:
        """Take any: artifacts are written from here alone."""

    def _handed_over(self, client: MlflowClient, job: Job, show: Show) -> str:  # noqa: ARG002 - as of all targets
        tracking.patiently(lambda: record.log_params(client, job.run_id, job), seconds=_PATIENCE)
        tracking.patiently(lambda: record.log_inputs(client, job.run_id, job), seconds=_PATIENCE)
        return self._cluster.submit(self._with_variables(job), Path(), "")

    def _keep_handle(self, client: MlflowClient, run_id: str, handle: str) -> None:
        """Keep it, and by taking the heartbeat away say that no worker will give another sign."""
        super()._keep_handle(client, run_id, handle)

        def hush() -> None:
            if "dlops.heartbeat" in client.get_run(run_id).data.tags:
                client.delete_tag(run_id, "dlops.heartbeat")

        tracking.patiently(hush, seconds=_PATIENCE)

    def _taken_back(self, client: MlflowClient, run_id: str, handle: str) -> str:  # noqa: ARG002 - as of all targets
        """Leave what others may use already."""
        return "What was begun there is left as it is; launch it again."

    def _with_variables(self, job: Job) -> Job:
        return replace(job, variables=self._variables)
