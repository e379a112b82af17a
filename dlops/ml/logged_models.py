"""Models that MLflow keeps, as the foundation of the next: by version, by alias, by id, or as the output of a run."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import yaml
from mlflow.exceptions import MlflowException

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import record
from dlops.registry.lineage import MADE_OF

SCHEMES = ("models:", "runs:")
_RUN = re.compile(r"runs:/([^/]+)/([^/]+)")
_ID = re.compile(r"models:/(m-[^/@]+)")
_DEPTH = 4
"""Forms of forms of a model, at most."""
_OURS = "artifacts/model"
"""Where `packaging` keeps the folder of weights."""


class Folders(NamedTuple):
    """Where a logged model has its weights and its tokenizer, as transformers writes them."""

    weights: Path
    tokenizer: Path


def resolve(uri: str) -> str:
    """Give the URI that names the same model for good: `models:/m-…`; `models:/NAME/VERSION` where it has no id.

    Raises:
        StepFailed: there is no such run, model, version or alias, or the tracking server does not answer.
    """
    run = _RUN.fullmatch(uri)
    try:
        return _of_run(run[1], run[2]) if run else _of_registry(uri)
    except MlflowException as error:
        raise StepFailed(
            f"There is no model {uri}: {error.message.rstrip('.')}.",
            hint="Name models:/NAME/VERSION, models:/NAME@ALIAS, models:/m-… or runs:/RUN/model, of this store.",
        ) from error


def is_resolved(path: str) -> bool:
    """Tell a URI that `resolve` gave from a folder or a hub id."""
    return path.startswith("models:/")


def model_id(uri: str | None) -> str | None:
    """Give the id in `models:/m-…`, or `None` for any other text."""
    found = _ID.fullmatch(uri or "")
    return found[1] if found else None


def origin(uri: str) -> str:
    """Give the model that has the weights: itself, or what it is an export or a package of."""
    for _ in range(_DEPTH):
        made_of = None
        if identity := model_id(uri):
            with contextlib.suppress(MlflowException):  # another store's: its files tell what it is
                made_of = mlflow.MlflowClient().get_logged_model(identity).tags.get(MADE_OF)
        if not made_of:
            break
        uri = made_of
    return uri


@contextlib.contextmanager
def fetched(uri: str) -> Iterator[Folders]:
    """Copy a logged model's files to this machine for as long as they are read.

    Raises:
        StepFailed: they cannot be read, or are not what dlops or MLflow's flavor `transformers` writes.
    """
    with scratch.folder() as folder:
        try:
            found = Path(mlflow.artifacts.download_artifacts(uri, dst_path=str(folder)))
            described = yaml.safe_load((found / "MLmodel").read_text(encoding="utf-8"))
        except (MlflowException, OSError, yaml.YAMLError) as error:
            raise StepFailed(
                f"The files of {uri} cannot be read: {str(error).strip().split(chr(10))[0]}",
                hint="Is the store's folder of artifacts where it was, and can this machine reach it?",
            ) from error
        yield _inside(uri, found, described)


def _of_run(run_id: str, name: str) -> str:
    uri = record.output_of(run_id, name)
    if model_id(uri):
        return str(uri)
    client = mlflow.MlflowClient()
    outputs = client.get_run(run_id).outputs
    logged = [client.get_logged_model(output.model_id) for output in (outputs.model_outputs if outputs else ())]
    found = [model.model_uri for model in logged if model.name == name]
    if not found:
        names = ", ".join(sorted({model.name for model in logged})) or "none"
        raise StepFailed(
            f"The run {run_id} has no model {name!r} among its outputs (there is {names}).",
            hint="Name a run of `dlops finetune`, or of a program that logged a model.",
        )
    return str(found[-1])


def _of_registry(uri: str) -> str:
    """Follow an alias, a stage or `latest` to a version, and a version to its model."""
    from mlflow.store.artifact.utils.models import get_model_name_and_version

    client = mlflow.MlflowClient()
    found = get_model_name_and_version(client, uri)
    if len(found) == 1:
        return str(client.get_logged_model(found[0]).model_uri)
    return of_version(client.get_model_version(*found))


def of_version(version: Any) -> str:
    """Give the URI of the model that a registered version (MLflow's `ModelVersion`) is, as `resolve` does."""
    if model_id(version.source):  # MLflow's own registry says so here, others in the version's model_id
        return str(version.source)
    return f"models:/{version.model_id}" if version.model_id else f"models:/{version.name}/{version.version}"


def _inside(uri: str, folder: Path, described: dict[str, Any]) -> Folders:
    """Find the folders of a model that is logged whole; dlops' own has both in one, whatever its head."""
    flavor = described.get("flavors", {}).get("transformers", {})
    weights = folder / flavor.get("model_binary", _OURS)
    if not (weights / "config.json").is_file():
        named = flavor.get("source_model_name")
        raise StepFailed(
            f"{uri} holds no folder of weights that transformers wrote.",
            hint=f"It refers to {named}: name that one."
            if named
            else "Name a model that dlops finetune or mlflow.transformers logged.",
        )
    tokenizer = folder / "components" / "tokenizer"
    return Folders(weights, tokenizer if tokenizer.is_dir() else weights)
