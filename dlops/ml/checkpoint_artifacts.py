"""A training's checkpoints as artifacts of its run: the last ones stay, and the newest that is whole is found again."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from dlops.data import scratch
from dlops.errors import StepFailed
from dlops.ml import checkpoints, ranks, record
from dlops.ml.progress import say

FOLDER = "checkpoints"
KEPT = 2
"""Checkpoints that stay: should the last one be damaged, the one before it is not."""
_UNREACHED = (OSError, MlflowException)


@contextmanager
def writing(series: str, name: str) -> Iterator[Path]:
    """Give a file to write a checkpoint to; once it is written it is an artifact, and the oldest of its series go.

    Where artifacts are files of this machine it is written among them at once; else it is sent there.

    Raises:
        StepFailed: it cannot be sent.
    """
    name = f"{series}{name}{checkpoints.SUFFIX}"
    if not ranks.is_first():  # it has a part in what is written, and nothing to write
        yield Path(name)
        return
    try:
        repository = get_artifact_repository(record.place(FOLDER))
    except _UNREACHED as error:
        raise _unkept(name, error) from error
    if isinstance(repository, LocalArtifactRepository):
        yield Path(repository.artifact_dir) / name
    else:
        with scratch.folder() as folder:
            yield folder / name
            try:
                repository.log_artifact(str(folder / name))
            except Exception as error:  # each kind of store has errors of its own
                raise _unkept(name, error) from error
    with contextlib.suppress(*_UNREACHED, NotImplementedError):  # a store that keeps everything does no harm
        for older in _names(repository, series)[:-KEPT]:
            repository.delete_artifacts(older)


@contextmanager
def newest(run_id: str, series: str) -> Iterator[Path | None]:
    """Give the newest whole checkpoint in a run's series, else in that of the run that it was resumed from, and so on.

    `None` if there is none: the training was interrupted before the first one, or `run_id` is empty.

    Raises:
        StepFailed: a run cannot be read.
    """
    with scratch.folder() as folder:
        yield _newest(run_id, series, folder)


def _newest(first: str, series: str, folder: Path) -> Path | None:
    run_id, seen = first, set[str]()
    while run_id and run_id not in seen:
        seen.add(run_id)
        try:
            run = mlflow.MlflowClient().get_run(run_id)
            repository = get_artifact_repository(f"{run.info.artifact_uri}/{FOLDER}")
            names = _names(repository, series)
        except _UNREACHED as error:
            raise StepFailed(
                f"The run {run_id} cannot be read: {error}.", hint="Is it in this tracking store?"
            ) from error
        for name in reversed(names):
            try:
                file = Path(repository.download_artifacts(name, str(folder)))
                checkpoints.read(file)
            except (*_UNREACHED, StepFailed) as error:
                say(f"Checkpoint {name} of run {run_id} is passed over: {error}")
            else:
                say(f"The training goes on from checkpoint {name} of run {run_id}")
                return file
        run_id = run.data.tags.get("dlops.resumed_from", "")
    if first:
        say(f"Run {first} has no whole checkpoint of {series.rstrip('-')}: this training begins anew")
    return None


def _unkept(name: str, error: Exception) -> StepFailed:
    hint = "Without it an interruption would cost the training. Has the store room, and does it take files?"
    return StepFailed(f"The checkpoint {name} cannot be kept: {error}.", hint=hint)


def _names(repository: Any, series: str) -> list[str]:
    """List the checkpoints of a series, the oldest first."""
    found = [Path(file.path).name for file in repository.list_artifacts() if not file.is_dir]
    return sorted(name for name in found if name.startswith(series) and name.endswith(checkpoints.SUFFIX))
