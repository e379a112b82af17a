"""What a parameter of a step points to: data, a model, a file; told by its content, not by its name."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING

from dlops.config import locations, paths
from dlops.data import states
from dlops.errors import DataError, UsageError
from dlops.worker import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

KINDS = ("path", "location", "dataset", "model")
"""Types of parameters that point to something."""
_OUTPUT = re.compile(r"runs:/(?P<run>[0-9a-f]{32})/(?P<name>[\w.\-]+)")
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>\d+)|@(?P<alias>[^/@]+))")
_PATIENCE, _HUB_PATIENCE = 10.0, 5.0


class UnknownError(Exception):
    """Nobody can say whether an input is still as it was."""


def state(client: MlflowClient | None, kind: str, value: str) -> str:
    """Give the state of what a value of a parameter of type `kind` points to.

    Raises:
        UnknownError: it is not there, or its keeper does not tell one state from another.
    """
    try:
        if kind == "model":
            return _of_model(client, value)
        return _of_data(client, value)
    except (DataError, UsageError, OSError) as error:
        raise UnknownError(str(error).split("\n")[0]) from error
    except tracking.Unreachable as error:
        raise UnknownError(f"{value}: {error}") from error


def _of_data(client: MlflowClient | None, value: str) -> str:
    output = _OUTPUT.fullmatch(value)
    if output and client:
        run_id = output["run"]
        run = tracking.patiently(lambda: client.get_run(run_id), seconds=_PATIENCE)
        named = run.data.tags.get(f"dlops.output.{output['name']}", "")
        return _of_data(client, named) if named and named != value else value
    if value.startswith(("runs:", "models:", "mlflow-artifacts:")):
        return value
    return states.of_location(value)


def _of_model(client: MlflowClient | None, value: str) -> str:
    """Name a model for good: those that MLflow keeps never change."""
    output, registered = _OUTPUT.fullmatch(value), _REGISTERED.fullmatch(value)
    if output and client:
        run_id = output["run"]
        run = tracking.patiently(lambda: client.get_run(run_id), seconds=_PATIENCE)
        return str(run.data.tags.get(f"dlops.output.{output['name']}", "") or value)
    if registered and client:
        name, version, alias = registered["name"], registered["version"], registered["alias"]
        asked = (
            (lambda: client.get_model_version_by_alias(name, alias))
            if alias
            else (lambda: client.get_model_version(name, version))
        )
        found = tracking.patiently(asked, seconds=_PATIENCE)
        model_id = getattr(found, "model_id", None)
        return f"models:/{model_id}" if model_id else f"models:/{name}/{found.version} of {found.creation_timestamp}"
    if value.startswith("package:"):
        return f"{value} {_installed(value.removeprefix('package:'))}"
    if locations.is_uri(value):
        return value
    return states.of_location(value) if paths.exists(paths.absolute(value)) else _of_hub(value)


def _installed(name: str) -> str:
    """Give the version of a package that carries weights; where it is not here, the environment's lock tells."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _of_hub(value: str) -> str:
    """Give a model of the hub at its commit; where the hub does not answer, as it is named."""
    import huggingface_hub

    name, _, revision = value.partition("@")
    try:
        found = huggingface_hub.HfApi().model_info(name, revision=revision or None, timeout=_HUB_PATIENCE)
    except Exception:  # whatever the library raises: the step itself will say what is wrong
        return value
    return f"hub {name} {found.sha}"
