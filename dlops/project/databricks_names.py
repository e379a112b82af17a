"""Names as a Databricks workspace and its Unity Catalog have them, checked before anything is sent there."""

from __future__ import annotations

import re
from collections.abc import Mapping

from dlops.targets import stores

_MODEL = re.compile(r"models:/(?P<name>[^/@]+)[/@].+")


def problems(tracking_uri: str, experiment: str, values: Mapping[str, str]) -> list[str]:
    """List the names that would be refused: of the experiment, and of models that `values` of parameters refer to."""
    found = []
    if tracking_uri.startswith("databricks") and not experiment.startswith("/"):
        found.append(f"experiments of Databricks have absolute paths: --experiment /Users/NAME/{experiment}")
    if stores.registry(tracking_uri).startswith(stores.CATALOG):
        found += [
            f"{name}={value}: models of Unity Catalog have names in three parts, models:/CATALOG.SCHEMA.{model}"
            for name, value in values.items()
            if (model := _model(value)) and len(list(filter(None, model.split(".")))) != 3
        ]
    return found


def _model(value: str) -> str:
    """Give the registered name in a reference to a model; empty where it is none."""
    found = _MODEL.fullmatch(value)
    return found["name"] if found else ""
