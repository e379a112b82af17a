"""A project backend for MLflow that somebody installed, as a target: it gets the project, and is asked how it goes."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib import metadata
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.errors import UnreachableError
from dlops.targets import following
from dlops.targets.interface import Event, Finding, Show
from dlops.worker import masking, tracking
from dlops.worker.job import Job
from dlops.worker.record import summary

if TYPE_CHECKING:
    from mlflow import MlflowClient

KUBERNETES = "kubernetes"
KUBERNETES_LIMITS = (
    "MLflow's backend kubernetes takes projects with docker_env only, builds and pushes an image with Docker,"
    " and gives back neither log nor exit code: dlops does not launch on it. A Ray cluster on Kubernetes (KubeRay) is a"
    " target of kind ray; `mlflow run . -b kubernetes --backend-config FILE` is MLflow's own way."
)
_GROUP = "mlflow.project_backend"
_OURS = "dlops-"
_ENDS = ("FINISHED", "FAILED", "KILLED")
_POLL = 1.0
_TAGS = 30.0
"""Seconds for which a tracking store that is away is asked again to take a run's tags."""

Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class MlflowSettings:
    """A target of `kind: mlflow`."""

    backend: str
    """The name that its package registers."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """What the backend wants to be told."""


def installed() -> list[str]:
    """List the backends that other packages bring."""
    return sorted({entry.name for entry in metadata.entry_points(group=_GROUP) if not entry.name.startswith(_OURS)})


class HandedOver:
    """A run that a backend has; what it prints and records is its own affair."""

    def __init__(self, submitted: Any, client: MlflowClient) -> None:
        self._submitted, self._client = submitted, client
        self._told = False

    def events(self) -> Iterator[Event]:
        """Give the beginning and the end: there is no more to be known."""
        run_id = str(self._submitted.run_id)
        if not self._told:
            found = self._read(lambda: self._client.get_run(run_id))
            yield {"event": "started", "run_id": run_id, "experiment_id": found.info.experiment_id}
            self._told = True
        began = time.monotonic()
        while (ended := self._status()) not in _ENDS:
            time.sleep(_POLL)
        run = self._read(lambda: self._client.get_run(run_id))
        if run.info.status == "RUNNING":
            self._read(lambda: self._client.set_terminated(run_id, ended))
        yield {
            "event": "ended",
            "status": ended,
            "exit_code": 0 if ended == "FINISHED" else 1,
            "error": "" if ended == "FINISHED" else f"its backend says {ended}",
            "duration_s": round(time.monotonic() - began, 3),
            **summary(run),
        }

    def _read(self, call: Callable[[], Result]) -> Result:
        return following.read(call, way_back=f"dlops status {self._submitted.run_id}")

    def _status(self) -> str:
        """Ask for the status: some backends name it, some give MLflow's number of it."""
        from mlflow.entities import RunStatus

        said = self._read(self._submitted.get_status)
        return said if isinstance(said, str) else str(RunStatus.to_string(said))

    def terminate(self) -> None:
        """Ask the backend to end it."""
        self._submitted.cancel()


class MlflowProjects:
    """An installed backend as a target."""

    here, forgets, stays = False, False, False

    def __init__(self, name: str, backend: str, config: Mapping[str, Any]) -> None:
        self.name, self._backend, self._config = name, backend, config

    def ahead(self) -> contextlib.AbstractContextManager[None]:
        """Begin nothing."""
        return contextlib.nullcontext()

    def examine(self, tracking_uri: str) -> Iterator[Finding]:  # noqa: ARG002 - the interface's
        """Say that nothing can be known before."""
        yield f"target {self.name}", "note", f"is MLflow's backend {self._backend}, which cannot be tried beforehand"

    def problems(self, job: Job) -> list[str]:
        """Refuse secrets: MLflow logs every parameter as it is."""
        hidden = [name for name, value in job.params.items() if masking.MASK in value]
        return [f"MLflow's backend {self._backend} would log {', '.join(hidden)}, a secret"] if hidden else []

    def start(self, job: Job, show: Show) -> HandedOver:
        """Hand the project to the backend, as `mlflow run` does.

        Raises:
            UnreachableError: the backend refuses, or the store does not answer.
        """
        try:
            client = tracking.connect(job.tracking_uri, job.lock_folder)
            experiment_id = tracking.experiment(client, job.experiment)
            import mlflow

            mlflow.set_tracking_uri(job.tracking_uri)
            submitted = mlflow.projects.run(
                job.folder,
                entry_point=job.entry_point,
                parameters=job.params,
                experiment_id=experiment_id,
                backend=self._backend,
                backend_config=dict(self._config),
                run_name=job.run_name or None,
                synchronous=False,
            )
        except Exception as error:  # whatever a backend raises
            raise UnreachableError(
                f"MLflow's backend {self._backend} did not take the project: {error}", hint="Ask its documentation."
            ) from error
        try:
            for name, value in {**job.tags, "dlops.step": job.step, "dlops.target": self.name}.items():
                tracking.patiently(partial(client.set_tag, submitted.run_id, name, value), seconds=_TAGS)
        except tracking.Unreachable as error:  # it has the project: a run with fewer tags is followed all the same
            show({"event": "warning", "text": f"the run's tags could not be set: {error}"})
        return HandedOver(submitted, client)
