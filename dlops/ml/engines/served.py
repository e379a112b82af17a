"""A model that is to answer, by what its name stands for now: the version, the logged model, and its exports."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from dlops.errors import StepFailed
from dlops.ml import logged_models
from dlops.registry import lineage


@dataclass(frozen=True)
class Served:
    """What answers, and how others can find it again."""

    reference: str
    """As it was named."""
    uri: str
    """What that stood for, and always will."""
    name: str | None = None
    """Of the registered model, if it is one."""
    version: str | None = None
    run_id: str | None = None
    """The run that made it."""
    exports: Mapping[str, str] = field(default_factory=dict)
    """URIs of what `register` made of it, by their form."""

    @property
    def key(self) -> str:
        """What stands for it, and for nothing else, as the name of a folder."""
        identity = logged_models.model_id(self.uri)
        return identity or hashlib.sha256(f"{mlflow.get_registry_uri()}\0{self.uri}".encode()).hexdigest()[:32]

    @property
    def told(self) -> str:
        """How people call it."""
        return f"{self.name} version {self.version}" if self.version else self.uri

    def document(self) -> dict[str, Any]:
        """Give it as plain values, for another process."""
        return asdict(self)


def resolve(reference: str) -> Served:
    """Find what a reference stands for now.

    Raises:
        StepFailed: there is no such model, or the tracking server does not answer.
    """
    if not reference.startswith(logged_models.SCHEMES):
        raise StepFailed(
            f"{reference!r} names no model that MLflow keeps.",
            hint="Name models:/NAME@ALIAS, models:/NAME/VERSION, models:/m-… or runs:/RUN/model.",
        )
    version = _version(reference)
    if version is None:
        uri = logged_models.resolve(reference)
        return Served(reference, uri, run_id=_run(uri))
    uri = logged_models.of_version(version)  # not asked for by its alias again, which may move at this moment
    tags: dict[str, str] = version.tags if isinstance(version.tags, dict) else {}
    exports = {
        key.removeprefix(lineage.EXPORT).replace("_", "-"): value
        for key, value in tags.items()
        if key.startswith(lineage.EXPORT) and value.startswith("models:/")
    }
    run_id = tags.get("dlops_run") or version.run_id or None
    return Served(reference, uri, str(version.name), str(version.version), run_id, exports)


def _version(reference: str) -> Any:
    """Give the registered version that a reference names, if it names one."""
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    if not reference.startswith("models:/") or logged_models.model_id(reference):
        return None
    client = mlflow.MlflowClient()
    try:
        return client.get_model_version(*get_model_name_and_version(client, reference))
    except MlflowException as error:
        raise StepFailed(f"There is no model {reference}: {error.message.rstrip('.')}.") from error


def _run(uri: str) -> str | None:
    try:
        return mlflow.models.get_model_info(uri).run_id or None
    except (MlflowException, OSError):
        return None
