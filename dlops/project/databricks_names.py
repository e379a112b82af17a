"""Names as a Databricks workspace and its Unity Catalog have them, checked before anything is sent there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)[/@].+")
_CATALOG = "databricks-uc"


def problems(tracking_uri: str, experiment: str, values: Mapping[str, str]) -> list[str]:
    """List the names that would be refused: of the experiment, and of models that `values` of parameters refer to."""
    found = []
    if tracking_uri.startswith("databricks") and not experiment.startswith("/"):
        found.append(f"experiments of Databricks have absolute paths: --experiment /Users/NAME/{experiment}")
    if registry(tracking_uri).startswith(_CATALOG):
        found += [
            f"{name}={value}: models of Unity Catalog have names in three parts, models:/CATALOG.SCHEMA.{model}"
            for name, value in values.items()
            if (model := _model(value)) and len(list(filter(None, model.split(".")))) != 3
        ]
    return found


def registry(tracking_uri: str) -> str:
    """Give the model registry that goes with a tracking store, as MLflow chooses it."""
    chosen = os.environ.get("MLFLOW_REGISTRY_URI", "")
    return chosen or (tracking_uri.replace("databricks", _CATALOG, 1) if _is_workspace(tracking_uri) else tracking_uri)


def _is_workspace(uri: str) -> bool:
    return uri == "databricks" or uri.startswith("databricks://")


def _model(value: str) -> str:
    """Give the registered name in a reference to a model; empty where it is none."""
    found = _MODEL.fullmatch(value)
    return found["name"] if found else ""
