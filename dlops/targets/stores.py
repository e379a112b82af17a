"""Whether a job far from here reaches the tracking store of its run, and by which variables."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from dlops.targets.interface import Cluster, is_loopback
from dlops.worker import masking

_OF_A_SERVER = re.compile(r"MLFLOW_TRACKING_(USERNAME|PASSWORD|TOKEN|AUTH|INSECURE_TLS)")
"""Variables without which a tracking server lets nobody in."""
_WORKSPACE = "databricks"
CATALOG = "databricks-uc"
"""The registry that goes with it: Unity Catalog's."""
_OF_A_WORKSPACE = (
    {"DATABRICKS_HOST", "DATABRICKS_TOKEN"},
    {"DATABRICKS_HOST", "DATABRICKS_CLIENT_ID", "DATABRICKS_CLIENT_SECRET"},
)
"""Variables of which one set is needed by who is not in a workspace already."""
_SAME_EVERYWHERE = re.compile(r"https?://.*|databricks(-uc)?")
"""Model registries that have one name on every machine."""


def problems(uri: str, cluster: Cluster, given: Mapping[str, str]) -> list[str]:
    """List why a job on a cluster, to which these variables are given, would not reach the tracking store at `uri`."""
    return [*_of_tracking(uri, cluster, given), *_of_registry(uri, cluster, given)]


def _of_tracking(uri: str, cluster: Cluster, given: Mapping[str, str]) -> list[str]:
    scheme = re.split(r"[:+]", uri, maxsplit=1)[0]
    if scheme == _WORKSPACE:
        return _of_workspace(uri, cluster, given)
    if scheme in ("sqlite", "file") or "://" not in uri:
        return [
            f"the tracking store {masking.url(uri)} is on this machine, where a job on {cluster.name} cannot write:"
            " start a server that it reaches (`mlflow server --host 0.0.0.0 --allowed-hosts HOST,HOST:PORT`), and"
            " name it with --tracking-uri http://HOST:PORT"
        ]
    return _of_loopback("tracking store", uri, cluster)


def _of_registry(uri: str, cluster: Cluster, given: Mapping[str, str]) -> list[str]:
    registry = given.get("MLFLOW_REGISTRY_URI") or _registry()
    if registry.startswith(_WORKSPACE) and not uri.startswith(_WORKSPACE):
        return _of_workspace(_WORKSPACE, cluster, given)
    return _of_loopback("model registry", registry, cluster) if registry.startswith("http") else []


def _of_loopback(what: str, uri: str, cluster: Cluster) -> list[str]:
    if is_loopback(uri) and not cluster.on_loopback:
        return [f"the {what} {masking.url(uri)} is this machine's own name for itself: name its host"]
    return []


def registry(tracking_uri: str) -> str:
    """Give the model registry that goes with a tracking store, as MLflow chooses it."""
    in_workspace = tracking_uri == _WORKSPACE or tracking_uri.startswith(f"{_WORKSPACE}://")
    chosen = os.environ.get("MLFLOW_REGISTRY_URI", "")
    return chosen or (tracking_uri.replace(_WORKSPACE, CATALOG, 1) if in_workspace else tracking_uri)


def _registry() -> str:
    """Give the model registry of its own that this machine names, if a job elsewhere can know it by that name."""
    named = os.environ.get("MLFLOW_REGISTRY_URI", "")
    return named if _SAME_EVERYWHERE.fullmatch(named) else ""


def variables(uri: str, cluster: Cluster) -> dict[str, str]:
    """Give this machine's variables by which a job reaches the tracking store, and the model registry beside it."""
    registry = _registry()
    found = {"MLFLOW_REGISTRY_URI": registry} if registry else {}
    if any(each.startswith(_WORKSPACE) for each in (uri, registry)) and not cluster.is_workspace:
        found |= {name: os.environ[name] for name in set().union(*_OF_A_WORKSPACE) if name in os.environ}
    if any(each.startswith(("http://", "https://")) for each in (uri, registry)):
        found |= {name: value for name, value in os.environ.items() if _OF_A_SERVER.fullmatch(name)}
    return found


def _of_workspace(uri: str, cluster: Cluster, given: Mapping[str, str]) -> list[str]:
    if uri != _WORKSPACE:
        return [
            f"a job on {cluster.name} knows no profile of this machine: --tracking-uri {_WORKSPACE}, and"
            " DATABRICKS_CONFIG_PROFILE to name the profile here"
        ]
    known = os.environ.keys() | given.keys()
    if cluster.is_workspace or any(names <= known for names in _OF_A_WORKSPACE):
        return []
    return [
        f"a job on {cluster.name} is let into the Databricks workspace by DATABRICKS_HOST with DATABRICKS_TOKEN, or"
        " with DATABRICKS_CLIENT_ID and DATABRICKS_CLIENT_SECRET: set them here, or in the target's variables"
    ]
