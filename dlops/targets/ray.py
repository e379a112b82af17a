"""A Ray cluster, through its Jobs API: on this network, of KubeRay, of Anyscale."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import json
import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dlops.errors import UnreachableError
from dlops.targets.interface import ClusterSettings, State, is_loopback
from dlops.worker import masking, sealed, tracking
from dlops.worker.job import Job
from dlops.worker.remote import PROGRAM

if TYPE_CHECKING:
    from ray.job_submission import JobSubmissionClient

Answer = TypeVar("Answer")

_OVERRIDES = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS")
"""Variables that lead Ray's client to another cluster than the one it is told."""
_TIMEOUT = (5.0, 30.0)
"""Seconds for a connection to the cluster, and for an answer of it."""
_GRACE = 150
"""Seconds beyond a job's own that it has to end and to say so, before Ray kills it."""
_LARGEST = 100 * 1024**2
"""Bytes that a cluster's head takes as a package."""
_BUSY = re.compile(r"status code (429|5\d\d)")
_WORDS = {
    "PENDING": "waits for resources, or for its environment",
    "RUNNING": "runs",
    "SUCCEEDED": "has ended",
    "FAILED": "has failed",
    "STOPPED": "was stopped",
}


@dataclass(frozen=True, kw_only=True)
class RaySettings(ClusterSettings):
    """A target of `kind: ray`."""

    address: str
    """Where the dashboard answers: `http://HOST:8265`, `https://…`, `anyscale://CLUSTER`."""
    cpus: float = 1.0
    """Cores that the entry point gets."""
    gpus: float = 0.0
    """GPUs, or parts of one, that it gets."""
    memory_gb: float = 0.0
    """GB of memory that are set aside for it; none when 0."""
    resources: Mapping[str, float] = field(default_factory=dict)
    """Resources of the cluster's own (`{A100: 1}`)."""
    headers: Mapping[str, str] = field(default_factory=dict)
    """HTTP headers of each request, for a cluster behind a gateway."""
    verify: bool = True
    """Whether the certificate of an `https` address must be known."""


class Ray:
    """A Ray cluster as a place for jobs."""

    is_workspace = False

    def __init__(self, name: str, settings: RaySettings) -> None:
        self.name, self.settings = name, settings
        self.on_loopback = is_loopback(settings.address)

    def problems(self, job: Job) -> list[str]:  # noqa: ARG002 - the interface's
        """Check what needs no answer of the cluster."""
        found = []
        if importlib.util.find_spec("ray") is None or importlib.util.find_spec("aiohttp_cors") is None:
            found.append(f"the target {self.name} needs Ray's client: pip install 'ray[default]'")
        if self.settings.address.startswith("ray://"):
            found.append(
                f"the target {self.name}: address is that of the cluster's dashboard (http://HOST:8265), where jobs are"
                " submitted, not that of Ray's client (ray://)"
            )
        return found

    def submit(self, job: Job, package: Path, key: str) -> str:
        """Upload the package and submit the job, once: Ray refuses a second one of the same name."""
        size = sum(file.stat().st_size for file in package.iterdir())
        if size > _LARGEST:
            raise UnreachableError(
                f"The project's tracked files take {size / 1024**2:.0f} MiB packed; Ray takes {_LARGEST // 1024**2}.",
                hint="Keep data out of the repository; name it by a URI.",
            )
        named = {"kind": "ray", "address": masking.url(self.settings.address), "job": f"dlops-{job.run_id}"}
        handle = json.dumps(named)
        asked = self.settings
        request: dict[str, Any] = {
            "entrypoint": f"python {PROGRAM}",
            "submission_id": _job(handle),
            "runtime_env": {
                "working_dir": str(package),
                "env_vars": {sealed.KEY: key, "RAY_JOB_STOP_WAIT_TIME_S": str(int(job.grace) + _GRACE)},
                **({"uv": {"packages": list(job.packages), "uv_check": False}} if job.packages else {}),
            },
            "metadata": {"mlflow_run_id": job.run_id, "step": job.step},
            "entrypoint_num_cpus": asked.cpus or None,
            "entrypoint_num_gpus": asked.gpus or None,
            "entrypoint_memory": int(asked.memory_gb * 1000**3) or None,
            "entrypoint_resources": dict(asked.resources) or None,
        }

        def submit(client: JobSubmissionClient) -> None:
            try:
                client.submit_job(**request)
            except RuntimeError as refused:
                try:
                    client.get_job_info(_job(handle))  # an answer was lost: the job is there
                except RuntimeError:
                    raise refused from None

        try:
            self._asked(submit, attempts=4)
        except BaseException:
            with contextlib.suppress(Exception):  # an answer may have been lost
                self.stop(handle)
            raise
        return handle

    def owns(self, handle: str) -> bool:
        """Compare the addresses."""
        return bool(_read(handle).get("address") == masking.url(self.settings.address))

    def page(self, handle: str) -> str:
        """Give the job's page of the dashboard."""
        return f"{masking.url(self.settings.address).rstrip('/')}/#/jobs/{_job(handle)}"

    def state(self, handle: str) -> State:
        """Ask the cluster."""

        def ask(client: JobSubmissionClient) -> State:
            try:
                found = client.get_job_info(_job(handle))
            except RuntimeError as error:
                if "status code 404" in str(error) and "does not exist" in str(error):
                    return State(over=True, text="The cluster knows nothing of this job: it was started anew.")
                raise
            text = f"The job {_WORDS.get(found.status.value, found.status.value)}. {found.message or ''}".strip()
            return State(found.status.is_terminal(), text, cancelled=found.status.value == "STOPPED")

        return self._asked(ask)

    def stop(self, handle: str) -> None:
        """Let Ray send SIGTERM, and SIGKILL where that does nothing."""
        self._asked(lambda client: client.stop_job(_job(handle)))

    def tidy(self, handle: str) -> None:
        """Do nothing: Ray removes packages that no job uses."""

    def log(self, handle: str) -> str:
        """Give the log of the driver, Ray's own lines about the environment included."""
        return self._asked(lambda client: client.get_job_logs(_job(handle)))

    def _asked(self, ask: Callable[[JobSubmissionClient], Answer], *, attempts: int = 1) -> Answer:
        """Ask the cluster, again where it was busy or the network was gone."""
        for pause in (*(2.0**number for number in range(attempts - 1)), None):
            try:
                return ask(self._client)
            except Exception as error:  # Ray, requests and sockets have no exception in common
                passing = isinstance(error, OSError) or _BUSY.search(str(error))
                if pause is None or not passing:
                    place = f"The Ray cluster of target {self.name} ({masking.url(self.settings.address)})"
                    shut = type(error).__name__ == "AuthenticationError"
                    raise UnreachableError(
                        f"{place} did not do as asked: {tracking.first_line(error)}",
                        hint="Set RAY_AUTH_TOKEN to the cluster's token, or RAY_AUTH_TOKEN_PATH to a file with it."
                        if shut
                        else "Is it up, and the address that of its dashboard (port 8265)?",
                    ) from error
                time.sleep(pause)
        raise AssertionError("the last attempt returns or raises")

    @functools.cached_property
    def _client(self) -> JobSubmissionClient:
        with _own_address():
            from ray.job_submission import JobSubmissionClient

            for name in [name for name in logging.root.manager.loggerDict if name.startswith("ray.")]:
                logging.getLogger(name).setLevel(logging.WARNING)  # they have levels of their own, and tell of uploads

            from ray.exceptions import AuthenticationError

            class Client(JobSubmissionClient):
                """Ray's own waits for ever for a server that does not answer, and shows no token unless told to."""

                def _do_request(self, *words: Any, **options: Any) -> Any:
                    options = {"timeout": _TIMEOUT, **options}
                    try:
                        return super()._do_request(*words, **options)
                    except AuthenticationError as error:
                        token, shown = _token(), {name.lower() for name in self._headers}
                        if not token or "authorization" in shown or _WANTED not in str(error):
                            raise
                    self._headers["Authorization"] = f"Bearer {token}"
                    return super()._do_request(*words, **options)

            return Client(self.settings.address, headers=dict(self.settings.headers), verify=self.settings.verify)


_WANTED = "Missing authentication token"
"""What a cluster says that wants a token; a gateway before it says something else, and gets none."""


def _token() -> str:
    """Give the token of clusters that want one, where Ray keeps it; nothing if there is none."""
    if token := os.environ.get("RAY_AUTH_TOKEN"):
        return token
    try:
        file = Path(os.environ.get("RAY_AUTH_TOKEN_PATH") or "~/.ray/auth_token").expanduser()
        return file.read_text(encoding="utf-8").strip()
    except (OSError, RuntimeError):  # a user without a home
        return ""


def _job(handle: str) -> str:
    return str(_read(handle)["job"])


def _read(handle: str) -> dict[str, Any]:
    found = json.loads(handle)
    return found if isinstance(found, dict) and found.get("kind") == "ray" else {}


@contextlib.contextmanager
def _own_address() -> Iterator[None]:
    kept = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(kept)
