"""Explanations a shard at a time: a whole one is kept with the run, and what a run before kept is taken over."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

from dlops.data import cluster, packed, scratch
from dlops.errors import StepFailed
from dlops.ml import explainable, explaining, explanations, hardware, logged_models, record
from dlops.ml.attributions.methods import METHODS, Method
from dlops.ml.datasets import Split
from dlops.ml.explainable import Explainable
from dlops.ml.explaining import SHARD, Reject
from dlops.ml.explanations import Explanation
from dlops.ml.progress import Progress, say
from dlops.ml.settings import Explain

FOLDER = "explanations"


@dataclass(frozen=True)
class Shard:
    """What came of some texts."""

    explained: list[Explanation]
    rejected: list[Reject]


def each(model: Explainable, split: Split, method: Method, settings: Explain) -> Iterator[Shard]:
    """Explain the rows of a split, a shard after the other, in their order.

    On a Ray cluster its nodes share the shards; one that is lost is explained by another.

    Raises:
        StepFailed: the cluster cannot do it, or the run before cannot be read.
        UnreachableError: the cluster does not answer.
    """
    parts = [split.at(range(start, min(start + SHARD, len(split)))) for start in range(0, len(split), SHARD)]
    made = _made(model, method, settings)
    before = settings.resume_from or ""
    done = {number for number in _names(before) if number < len(parts) and _kept(before, number, parts[number], made)}
    if done:
        say(f"{len(done)} of {len(parts)} shards are taken over from run {before}")
    left = [number for number in range(len(parts)) if number not in done]
    new = (_spread if cluster.is_named() else _here)(model, [parts[number] for number in left], method, settings)
    progress = Progress(len(split), "rows")
    rows = 0
    for number, part in enumerate(parts):
        shard = (_kept(before, number, part, made) if number in done else None) or next(new)
        _keep(number, shard, made)
        rows += len(part)
        progress.update(rows, "explaining")
        yield shard


def explained(model: Explainable, part: Split, method: Method, settings: Explain) -> Shard:
    """Explain the rows of one shard."""
    texts, rejected = explaining.taken(model, part)
    found = [one for some in explaining.explained(model, texts, method, settings) for one in some]
    return Shard(found, rejected)


def _here(model: Explainable, parts: Sequence[Split], method: Method, settings: Explain) -> Iterator[Shard]:
    for part in parts:
        yield explained(model, part, method, settings)


def _spread(model: Explainable, parts: Sequence[Split], method: Method, settings: Explain) -> Iterator[Shard]:
    """Let the nodes of a Ray cluster explain; each of its processes has the model."""
    import ray

    cluster.connect(ray)
    with logged_models.fetched(model.classifier) as folders:
        weights = packed.files(folders.weights)
        sent = ray.put((weights, {} if folders.tokenizer == folders.weights else packed.files(folders.tokenizer)))

    def failed(why: str) -> StepFailed:
        return StepFailed(f"The cluster could not explain: {why}")

    yield from cluster.spread(parts, _Worker, failed, made_of=(sent, model.switches, method, settings))


class _Worker:
    """A process of a cluster that has the model, and explains shards."""

    def __init__(self, sent: Any, switches: Any, method: Method, settings: Explain) -> None:
        import ray
        import torch

        torch.set_num_threads(1)
        weights, tokenizer = ray.get(sent)
        arithmetic = hardware.arithmetic(settings.precision, settings.accelerator)
        with scratch.folder() as folder:
            packed.unpack(weights, folder / "weights")
            packed.unpack(tokenizer, folder / "tokenizer")
            words = folder / ("tokenizer" if tokenizer else "weights")
            scorer, labels = explainable.opened(folder / "weights", words, arithmetic)
        self._model = Explainable(settings.model, "", "", labels, scorer.kind, {}, scorer, switches)
        self._method, self._settings = method, settings

    def __call__(self, part: Split) -> Shard:
        """Explain one shard."""
        return explained(self._model, part, self._method, self._settings)


def _name(number: int) -> str:
    return f"part-{number:05}"


def method_of(run_id: str) -> Method | None:
    """Give the method that a run explained by, if it came so far.

    Raises:
        StepFailed: the run cannot be read.
    """
    try:
        found = mlflow.MlflowClient().get_run(run_id).data.tags.get("dlops.method")
    except MlflowException as error:
        raise StepFailed(f"The run {run_id} cannot be read: {error}.", hint="Is it in this tracking store?") from error
    return next((method for method in METHODS if method == found), None)


def _made(model: Explainable, method: Method, settings: Explain) -> dict[str, Any]:
    """Say how explanations are made: those that were made otherwise are not taken over."""
    how = (settings.max_evals, settings.time_limit) if method == "shap" else (settings.steps,)
    return {"model": model.uri, "method": method, "label": settings.label, "how": list(how)}


def _keep(number: int, shard: Shard, made: dict[str, Any]) -> None:
    """Keep a shard with the run; its table comes last, so that what has one is whole."""
    with scratch.folder() as folder:
        explanations.npz(shard.explained, folder / f"{_name(number)}.npz")
        about = {"rejected": [vars(one) for one in shard.rejected], "made": made}
        explanations.write(shard.explained, about, folder / f"{_name(number)}.parquet")
        for suffix in ("npz", "parquet"):
            record.file(folder / f"{_name(number)}.{suffix}", FOLDER)


def _names(run_id: str) -> list[int]:
    """List the shards that a run kept, by their numbers; none without a run.

    Raises:
        StepFailed: the run cannot be read.
    """
    if not run_id:
        return []
    try:
        there = [Path(file.path) for file in mlflow.MlflowClient().list_artifacts(run_id, FOLDER)]
    except (MlflowException, OSError) as error:
        raise StepFailed(f"The run {run_id} cannot be read: {error}.", hint="Is it in this tracking store?") from error
    return [int(file.stem.rpartition("-")[2]) for file in there if file.suffix == ".parquet"]


def _kept(run_id: str, number: int, part: Split, made: dict[str, Any]) -> Shard | None:
    """Read a shard that a run kept; `None` where it is not whole, or not of these very rows, or made otherwise."""
    with scratch.folder() as folder:
        try:
            name = f"{FOLDER}/{_name(number)}.parquet"
            rows, about = explanations.read(Path(mlflow.MlflowClient().download_artifacts(run_id, name, str(folder))))
        except (MlflowException, OSError):
            return None
    rejected = [Reject(**one) for one in about.get("rejected", ())]
    ids = [one.id for one in rows], {one.id for one in rejected}
    wanted = part.ids()
    same = ids[0] == [name for name in wanted if name not in ids[1]] and about.get("made") == made
    return Shard(rows, rejected) if same else None
