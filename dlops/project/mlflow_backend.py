"""Our targets under MLflow's own command: `mlflow run . -b dlops-ray -B '{"target": "gpu"}'`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.projects.backend.abstract_backend import AbstractBackend
from mlflow.projects.submitted_run import SubmittedRun

from dlops.errors import DlopsError
from dlops.project.launch import launch
from dlops.project.plan import Request
from dlops.project.runs import Runs
from dlops.targets import names


class Ray(AbstractBackend):  # type: ignore[misc]  # MLflow has no types
    """MLflow's backend `dlops-ray`; its configuration names a target of `targets.yaml`, of kind `ray`."""

    kind = "ray"

    def run(
        self,
        project_uri: str,
        entry_point: str,
        params: Mapping[str, Any],
        version: str | None,
        backend_config: Mapping[str, Any],
        tracking_uri: str,
        experiment_id: str,
    ) -> Submitted:
        """Launch an entry point, as `dlops` does.

        Raises:
            MlflowException: no target of this kind is named, or the launch is refused.
        """
        target = str(backend_config.get("target") or "")
        try:
            if names.kind(target) != self.kind:
                raise MlflowException.invalid_parameter_value(
                    f'Name a target of kind {self.kind} in the backend\'s configuration: {{"target": "NAME"}}'
                )
            request = Request(
                step=entry_point,
                entry_point=entry_point,
                given={name: str(value) for name, value in params.items()},
                uri=project_uri,
                version=version or "",
                target=target,
                environment="local" if backend_config.get("ENV_MANAGER") == "local" else "",
                experiment=MlflowClient(tracking_uri).get_experiment(experiment_id).name,
                tracking_uri=tracking_uri,
            )
            outcome = launch(request, names.named(target, entry_point), show=lambda _: None, detach=True)
        except DlopsError as error:
            raise MlflowException(f"{error} {error.hint}".strip()) from error
        return Submitted(outcome.run_id, tracking_uri)


class Databricks(Ray):
    """MLflow's backend `dlops-databricks`; its configuration names a target of kind `databricks`."""

    kind = "databricks"


class Submitted(SubmittedRun):  # type: ignore[misc]
    """A run that goes on; its end is what its worker says."""

    def __init__(self, run_id: str, tracking_uri: str) -> None:
        super().__init__()
        self._run_id, self._runs = run_id, Runs(tracking_uri)

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run_id

    def wait(self) -> bool:
        """Print what the run prints until it has ended, and say whether it ended well."""
        for text in self._runs.log(self._run_id, follow=True):
            sys.stdout.write(text)
            sys.stdout.flush()
        return self._runs.one(self._run_id).status == "FINISHED"

    def get_status(self) -> str:
        """Give the run's status."""
        return self._runs.one(self._run_id).status

    def cancel(self) -> None:
        """End the run, and wait until it has."""
        self._runs.cancel(self._run_id)
