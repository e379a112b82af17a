"""A Databricks workspace: one run of Jobs 2.2 for each job, through the SDK."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.targets import databricks_task
from dlops.targets.interface import State
from dlops.targets.workspace import DatabricksSettings, Workspace
from dlops.worker import masking
from dlops.worker.job import Job

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient
    from databricks.sdk.service.jobs import Run

_TASK = "task.py"
_CANCELLED = ("CANCELED", "USER_CANCELED")


class Databricks:
    """A workspace as a place for jobs."""

    is_workspace = True

    def __init__(self, name: str, settings: DatabricksSettings) -> None:
        self.name, self.settings = name, settings
        self._workspace = Workspace(name, settings)
        self.on_loopback = self._workspace.on_loopback

    def problems(self, job: Job) -> list[str]:
        """Check what needs no answer of the workspace."""
        return [*self._of_compute(), *self._of_folder(), *self._workspace.problems(job), *self._of_parameters(job)]

    def submit(self, job: Job, package: Path, key: str) -> str:
        """Put the package into the workspace and submit the job; the run's id is the token by which it begins once."""
        from databricks.sdk.service import jobs

        folder = f"{self.settings.folder.rstrip('/')}/dlops-{job.run_id}"

        def submit(client: WorkspaceClient) -> str:
            for file in sorted([*package.iterdir(), Path(databricks_task.__file__)]):
                self._put(client, file, f"{folder}/{_TASK if file.suffix == '.py' else file.name}")
            parameters = [folder, key, json.dumps(dict(self.settings.secrets))]
            script = jobs.SparkPythonTask(python_file=f"{folder}/{_TASK}", parameters=parameters)
            task = jobs.SubmitTask(task_key="dlops", spark_python_task=script, **self._compute(job))
            begun = client.jobs.submit(
                run_name=f"dlops {job.step} {job.run_id[:8]}",
                tasks=[task],
                environments=self._environments(job),
                idempotency_token=job.run_id,
                timeout_seconds=self.settings.time_limit_minutes * 60 or None,
            )
            return json.dumps({"kind": "databricks", "host": client.config.host, "run": begun.run_id, "folder": folder})

        try:
            return self._workspace.asked(submit)
        except BaseException:
            with contextlib.suppress(Exception):  # should an answer be lost, and the job there, it cannot begin either
                self._workspace.asked(lambda client: _remove(client, folder))
            raise

    def owns(self, handle: str) -> bool:
        """Compare the addresses of the workspaces."""
        found = json.loads(handle)
        return bool(found.get("kind") == "databricks" and found.get("host") == self._workspace.host())

    def page(self, handle: str) -> str:
        """Give the address of the job's page."""
        return self._workspace.asked(lambda client: client.jobs.get_run(_run(handle)).run_page_url or "")

    def state(self, handle: str) -> State:
        """Ask the workspace."""
        from databricks.sdk.errors import NotFound

        def ask(client: WorkspaceClient) -> State:
            try:
                return _state(client.jobs.get_run(_run(handle)))
            except NotFound:
                return State(over=True, text="The workspace knows nothing of this job.")

        return self._workspace.asked(ask)

    def stop(self, handle: str) -> None:
        """Cancel the run."""
        self._workspace.asked(lambda client: client.jobs.cancel_run(_run(handle)))

    def tidy(self, handle: str) -> None:
        """Remove the job's folder."""
        self._workspace.asked(lambda client: _remove(client, str(json.loads(handle)["folder"])))

    def log(self, handle: str) -> str:
        """Give the end of what the task printed, with its error."""

        def ask(client: WorkspaceClient) -> str:
            tasks = client.jobs.get_run(_run(handle)).tasks or []
            outputs = [client.jobs.get_run_output(task.run_id) for task in tasks if task.run_id]
            parts = [part for output in outputs for part in (output.logs, output.error_trace or output.error)]
            return "\n".join(filter(None, parts))

        return self._workspace.asked(ask)

    def _of_compute(self) -> list[str]:
        chosen = [name for name in ("cluster", "new_cluster", "serverless") if getattr(self.settings, name)]
        found = []
        if len(chosen) != 1:
            what = f"{', '.join(chosen)} are" if chosen else "none is"
            found.append(f"the target {self.name} takes one of cluster, new_cluster and serverless: {what} given")
        if self.settings.accelerator and not self.settings.serverless:
            found.append(f"the target {self.name}: an accelerator is for serverless: true")
        if self.settings.new_cluster:
            from databricks.sdk.service.compute import ClusterSpec

            known = {each.name for each in dataclasses.fields(ClusterSpec)}
            unknown = sorted(set(self.settings.new_cluster) - known)
            found += [f"the target {self.name}: new_cluster has no {name!r}" for name in unknown]
        if self.settings.accelerator:
            from databricks.sdk.service.compute import HardwareAcceleratorType

            names = [each.value for each in HardwareAcceleratorType]
            if self.settings.accelerator not in names:
                found.append(f"the target {self.name}: accelerator is one of {', '.join(names)}")
        return found

    def _of_folder(self) -> list[str]:
        if self.settings.folder.startswith(("/Volumes/", "/Workspace/")):
            return []
        return [f"the target {self.name}: folder is below /Volumes/ or /Workspace/, not {self.settings.folder}"]

    def _of_parameters(self, job: Job) -> list[str]:
        if hidden := [name for name, value in job.params.items() if masking.MASK in value]:
            told = ", ".join(hidden)
            return [f"{told} would lie in the workspace: let the entry point read it from a variable (secrets:)"]
        return []

    def _compute(self, job: Job) -> dict[str, Any]:
        from databricks.sdk.service import compute, jobs

        if self.settings.serverless:
            kind = self.settings.accelerator
            gpu = jobs.Compute(hardware_accelerator=compute.HardwareAcceleratorType(kind)) if kind else None
            return {"environment_key": "dlops", "compute": gpu}
        libraries = [compute.Library(pypi=compute.PythonPyPiLibrary(package=name)) for name in job.packages]
        where = (
            {"existing_cluster_id": self.settings.cluster}
            if self.settings.cluster
            else {"new_cluster": compute.ClusterSpec.from_dict(dict(self.settings.new_cluster))}
        )
        return {**where, "libraries": libraries or None}

    def _environments(self, job: Job) -> Any:
        from databricks.sdk.service import compute, jobs

        if not self.settings.serverless:
            return None
        spec = compute.Environment(
            environment_version=self.settings.environment_version, dependencies=list(job.packages) or None
        )
        return [jobs.JobEnvironment(environment_key="dlops", spec=spec)]

    def _put(self, client: WorkspaceClient, file: Path, place: str) -> None:
        with file.open("rb") as content:
            if place.startswith("/Volumes/"):
                client.files.upload(place, content, overwrite=True)
            else:
                from databricks.sdk.service.workspace import ImportFormat

                client.workspace.mkdirs(place.rpartition("/")[0])
                client.workspace.upload(place, content, format=ImportFormat.RAW, overwrite=True)


def _remove(client: WorkspaceClient, folder: str) -> None:
    from databricks.sdk.errors import NotFound

    with contextlib.suppress(NotFound):
        if folder.startswith("/Workspace/"):
            client.workspace.delete(folder, recursive=True)
            return
        for entry in client.files.list_directory_contents(folder):
            client.files.delete(str(entry.path))
        client.files.delete_directory(folder)


def _run(handle: str) -> int:
    return int(json.loads(handle)["run"])


def _state(run: Run) -> State:
    """Read the state of a run: its second form, else the first, which older workspaces give."""
    if run.status and run.status.state:
        details = run.status.termination_details
        code = details.code.value if details and details.code else ""
        said = details.message if details and details.message else ""
        text = f"The job is {run.status.state.value}{f' ({code})' if code else ''}. {said}".strip()
        return State(run.status.state.value == "TERMINATED", text, cancelled=code in _CANCELLED)
    state = run.state
    life = state.life_cycle_state.value if state and state.life_cycle_state else "UNKNOWN"
    result = state.result_state.value if state and state.result_state else ""
    said = (state.state_message if state else "") or ""
    text = f"The job is {life}{f' ({result})' if result else ''}. {said}".strip()
    return State(life in ("TERMINATED", "SKIPPED", "INTERNAL_ERROR"), text, cancelled=result in _CANCELLED)
