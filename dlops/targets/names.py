"""The names of targets: `local` always exists, others are the user's."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dlops.config.parameters import suggestion
from dlops.errors import ConfigError, DlopsError, UsageError
from dlops.targets.interface import Target
from dlops.targets.local import Local

if TYPE_CHECKING:
    from dlops.targets.configured import Entry
    from dlops.targets.interface import Cluster

_LOCAL = "local"


@dataclass(frozen=True)
class _Kind:
    settings: type
    cluster: Callable[[str, Any], Cluster]
    services: Mapping[str, Callable[[str, Any], Cluster]] = field(default_factory=dict)
    """What it has for some steps, that answers by itself."""


def known() -> list[str]:
    """List the names there are.

    Raises:
        ConfigError: `targets.yaml` cannot be used.
    """
    return [_LOCAL, *_configured()]


def named(name: str, step: str = "") -> Target:
    """Give the target of a name, as it is for a step: a place may have a service of its own for that.

    Raises:
        UsageError: there is none of that name.
        ConfigError: `targets.yaml` cannot be used.
    """
    if name == _LOCAL:
        return Local()
    from dlops.targets import mlflow_projects
    from dlops.targets.hosted import Hosted
    from dlops.targets.remote import Remote

    if name in mlflow_projects.installed() and name not in _configured():
        return mlflow_projects.MlflowProjects(name, name, {})
    entry = _entry(name)
    if entry.kind == "mlflow":
        return mlflow_projects.MlflowProjects(name, entry.settings.backend, entry.settings.config)
    missing = [variable for variable in entry.settings.pass_variables if variable not in os.environ]
    if missing:
        raise ConfigError(f"{entry.where}: {name} passes {', '.join(missing)} on, which this shell does not have.")
    passed = {variable: os.environ[variable] for variable in entry.settings.pass_variables}
    variables, kind = {**entry.settings.variables, **passed}, _kinds()[entry.kind]
    if service := kind.services.get(step):
        return Hosted(service(name, entry.settings), variables=variables)
    return Remote(kind.cluster(name, entry.settings), shared=entry.settings.shared, variables=variables)


def kind(name: str) -> str:
    """Give the kind of a configured target.

    Raises:
        UsageError, ConfigError: there is none of that name, or `targets.yaml` cannot be used.
    """
    return _LOCAL if name == _LOCAL else _entry(name).kind


def clusters(name: str) -> list[Cluster]:
    """Give all that a run's target may have handed it to, as far as this machine knows; which one, a handle tells."""
    try:
        if (found := _kinds().get(kind(name))) is None:
            return []
        settings = _entry(name).settings
    except DlopsError:
        return []
    return [make(name, settings) for make in (found.cluster, *found.services.values())]


def _entry(name: str) -> Entry:
    from dlops.targets.configured import files
    from dlops.targets.mlflow_projects import KUBERNETES, KUBERNETES_LIMITS

    found = _configured()
    if name not in found and name == KUBERNETES:
        raise UsageError(KUBERNETES_LIMITS)
    if name not in found:
        names = [_LOCAL, *found]
        raise UsageError(
            f"There is no target {name!r}{suggestion(name, names) or '.'}",
            hint=f"There is: {', '.join(names)}. Others are configured in {files()[0]} or {files()[1]}.",
        )
    return found[name]


def _configured() -> dict[str, Entry]:
    from dlops.targets import configured
    from dlops.targets.mlflow_projects import MlflowSettings

    if not any(file.is_file() for file in configured.files()):
        return {}
    settings = {kind: found.settings for kind, found in _kinds().items()}
    return configured.read({**settings, "mlflow": MlflowSettings})


def _kinds() -> dict[str, _Kind]:
    """Give each kind of target that tells the state of a job from any machine."""
    from dlops.targets.databricks import Databricks
    from dlops.targets.databricks_endpoint import DatabricksEndpoint
    from dlops.targets.ray import Ray, RaySettings
    from dlops.targets.workspace import DatabricksSettings

    return {
        "ray": _Kind(RaySettings, Ray),
        "databricks": _Kind(DatabricksSettings, Databricks, {"serve": DatabricksEndpoint}),
    }
