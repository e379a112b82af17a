"""What a parameter of a step points to: data, a model, a file; told by its content, not by its name."""

from __future__ import annotations

import re
from importlib import metadata
from typing import TYPE_CHECKING, Any

from dlops.config import locations, paths
from dlops.data import states
from dlops.errors import DataError, UsageError
from dlops.worker import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

KINDS = ("path", "location", "dataset", "model")
"""Types of parameters that point to something."""
_OUTPUT = re.compile(r"runs:/(?P<run>[0-9a-f]{32})/(?P<name>[\w.\-]+)")
_REGISTERED = re.compile(r"models:/(?P<name>[^/@]+)(?:/(?P<version>[^/@]+)|@(?P<alias>[^/@]+))")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST = 10_000
"""Versions of a registered model."""
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
    if value.startswith("models:"):
        return _of_model(client, value)
    if value.startswith(("runs:", "mlflow-artifacts:")):
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
        found = tracking.patiently(lambda: _version(client, **registered.groupdict()), seconds=_PATIENCE)
        name = registered["name"]
        model_id = getattr(found, "model_id", None)
        return f"models:/{model_id}" if model_id else f"models:/{name}/{found.version} of {found.creation_timestamp}"
    if value.startswith("package:"):
        return f"{value} {_installed(value.removeprefix('package:'))}"
    if value.startswith(("models:", "runs:")):
        return value
    here = locations.is_uri(value) or paths.exists(paths.absolute(value))
    return states.of_location(value) if here else _of_hub(value)


def _version(client: MlflowClient, name: str, version: str | None, alias: str | None) -> Any:
    """Find the version that a number, an alias, a stage or `latest` stands for now."""
    if alias:
        return client.get_model_version_by_alias(name, alias)
    if version and not version.isdigit():
        found = client.search_model_versions(f"name='{name}'", max_results=_MOST)
        meant = [one for one in found if version.lower() in ("latest", str(one.current_stage).lower())]
        version = max((str(one.version) for one in meant), key=int, default=version)
    return client.get_model_version(name, version)


def _installed(name: str) -> str:
    """Give the version of a package that carries weights; where it is not here, the environment's lock tells."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _of_hub(value: str) -> str:
    """Give a model of the hub at its commit.

    Raises:
        UnknownError: the hub does not tell it.
    """
    import huggingface_hub

    name, _, revision = value.partition("@")
    try:
        found = huggingface_hub.HfApi().model_info(name, revision=revision or None, timeout=_HUB_PATIENCE)
    except Exception as error:  # whatever the library raises: the step itself will say what is wrong
        if _COMMIT.fullmatch(revision):
            return value
        raise UnknownError(f"the hub does not say at which commit {name} is") from error
    return f"hub {name} {found.sha}"
