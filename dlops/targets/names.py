"""The names of targets: `local` always exists, others are the user's."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from dlops.config.parameters import suggestion
from dlops.errors import ConfigError, DlopsError, UsageError
from dlops.targets.interface import Target
from dlops.targets.local import Local

if TYPE_CHECKING:
    from dlops.targets.configured import Entry
    from dlops.targets.interface import Cluster

_LOCAL = "local"


def known() -> list[str]:
    """List the names there are.

    Raises:
        ConfigError: `targets.yaml` cannot be used.
    """
    return [_LOCAL, *_configured()]


def named(name: str) -> Target:
    """Give the target of a name.

    Raises:
        UsageError: there is none of that name.
        ConfigError: `targets.yaml` cannot be used.
    """
    if name == _LOCAL:
        return Local()
    from dlops.targets import mlflow_projects
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
    return Remote(_cluster(name, entry), shared=entry.settings.shared, variables={**entry.settings.variables, **passed})


def kind(name: str) -> str:
    """Give the kind of a configured target.

    Raises:
        UsageError, ConfigError: there is none of that name, or `targets.yaml` cannot be used.
    """
    return _LOCAL if name == _LOCAL else _entry(name).kind


def cluster(name: str) -> Cluster | None:
    """Give the cluster that a run's target names, as far as this machine knows it."""
    try:
        return None if kind(name) not in _clusters() else _cluster(name, _entry(name))
    except DlopsError:
        return None


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
    settings = {kind: of_kind for kind, (of_kind, _) in _clusters().items()}
    return configured.read({**settings, "mlflow": MlflowSettings})


def _cluster(name: str, entry: Entry) -> Cluster:
    return _clusters()[entry.kind][1](name, entry.settings)


def _clusters() -> dict[str, tuple[type, Callable[[str, Any], Cluster]]]:
    """Give settings and class of each kind that tells the state of a job from any machine."""
    from dlops.targets.databricks import Databricks, DatabricksSettings
    from dlops.targets.ray import Ray, RaySettings

    return {"ray": (RaySettings, Ray), "databricks": (DatabricksSettings, Databricks)}
