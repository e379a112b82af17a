"""A Databricks workspace as a target names it: how it is reached, and its refusals in our words."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from dlops import __version__
from dlops.errors import DlopsError, UnreachableError
from dlops.targets.interface import ClusterSettings, is_loopback
from dlops.worker import tracking
from dlops.worker.job import Job

if TYPE_CHECKING:
    from databricks.sdk import WorkspaceClient

Answer = TypeVar("Answer")

_PATIENCE = 120
"""Seconds for which a workspace that is busy or away is asked again, by the SDK."""
_TIMEOUT = 60
_WHO = "`databricks auth login`, a profile, or DATABRICKS_HOST with its credentials say who you are."


@dataclass(frozen=True, kw_only=True)
class DatabricksSettings(ClusterSettings):
    """A target of `kind: databricks`; who we are is the SDK's affair: a profile, or its environment variables."""

    folder: str
    """Where jobs are put: a Unity Catalog volume (`/Volumes/…`), or workspace files (`/Workspace/…`)."""
    profile: str = ""
    """A section of `~/.databrickscfg`."""
    host: str = ""
    """The workspace's address, where no profile says it."""
    cluster: str = ""
    """Id of a cluster that is there."""
    new_cluster: Mapping[str, Any] = field(default_factory=dict)
    """A cluster for this job alone, as Jobs 2.2 describes it (`node_type_id`, `spark_version`, `policy_id` …)."""
    serverless: bool = False
    """Whether it runs on serverless compute."""
    accelerator: str = ""
    """GPU of serverless compute, such as `GPU_1xA10`."""
    environment_version: str = "4"
    """Of serverless compute."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Environment variable → `SCOPE/KEY`, read where the job runs."""
    time_limit_minutes: int = 0
    """After which Databricks ends the job; never when 0."""
    endpoint: str = ""
    """Name of the endpoint that `serve` makes, or takes over; left out, one named like the model."""
    workload_size: str = "Small"
    """How many requests it takes at a time: Small (4), Medium (8 to 16), Large (16 to 64)."""
    workload_type: str = "CPU"
    """What it computes on: CPU, GPU_SMALL and so on."""
    scale_to_zero: bool = False
    """Whether it costs nothing while nobody asks; who asks then waits until it is back."""


class Workspace:
    """The workspace of a target."""

    def __init__(self, name: str, settings: DatabricksSettings) -> None:
        self._name, self._settings = name, settings
        self.on_loopback = is_loopback(settings.host)

    def problems(self, job: Job) -> list[str]:
        """List what is wrong with how secrets are named, and with how the tracking store is found."""
        wrong = [name for name, place in self._settings.secrets.items() if place.count("/") != 1]
        found = [f"the target {self._name}: the secret {name} is named SCOPE/KEY" for name in wrong]
        if job.tracking_uri == "databricks":
            found += self.unknown_to_mlflow("tracking store databricks")
        return found

    def unknown_to_mlflow(self, what: str) -> list[str]:
        """Say so where MLflow's client, which knows nothing of this target's profile, would not find the workspace."""
        profile = self._settings.profile
        known = ("DATABRICKS_HOST", "DATABRICKS_CONFIG_PROFILE")
        if profile in ("", "DEFAULT") or any(name in os.environ for name in known):
            return []
        return [f"the {what} is found by a variable: export DATABRICKS_CONFIG_PROFILE={profile}"]

    def host(self) -> str:
        """Give the workspace's address.

        Raises:
            UnreachableError: nobody says who we are.
        """
        return self.asked(lambda client: str(client.config.host))

    def asked(self, ask: Callable[[WorkspaceClient], Answer]) -> Answer:
        """Ask the workspace, again where it was busy or the network was gone.

        Raises:
            UnreachableError: it does not answer, or refuses.
        """
        try:
            return ask(self._client)
        except DlopsError:
            raise
        except Exception as error:  # the SDK's, requests', and ValueError where nobody says who we are
            did_not = "do as asked" if str(error).strip() else "answer"
            raise UnreachableError(
                f"The Databricks workspace of target {self._name} did not {did_not}: {tracking.first_line(error)}",
                hint="" if _refused(error) else _WHO,
            ) from error

    @functools.cached_property
    def _client(self) -> WorkspaceClient:
        from databricks.sdk import WorkspaceClient
        from databricks.sdk.config import Config

        logging.getLogger("databricks.sdk").setLevel(logging.ERROR)  # it tells of what it tries before it knows us
        named = {name: getattr(self._settings, name) for name in ("profile", "host") if getattr(self._settings, name)}
        config = Config(
            **named,
            product="dlops",
            product_version=__version__,
            retry_timeout_seconds=_PATIENCE,
            http_timeout_seconds=_TIMEOUT,
        )
        return WorkspaceClient(config=config)


def _refused(error: Exception) -> bool:
    """Say whether a workspace that knows who we are said no."""
    from databricks.sdk.errors import PermissionDenied, Unauthenticated
    from databricks.sdk.errors.base import DatabricksError

    return isinstance(error, DatabricksError) and not isinstance(error, PermissionDenied | Unauthenticated)
