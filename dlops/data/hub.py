"""Datasets of the Hugging Face hub, streamed through `datasets`: `hub:NAME@REVISION#CONFIG/SPLIT`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlops.config import folders
from dlops.data.damage import told
from dlops.data.rows import Chunk
from dlops.errors import DataError, UsageError

PREFIX = "hub:"
_ADDRESS = "hf://datasets/"
"""Before a name: a folder of that name on this machine, which the library would prefer, is not the hub's."""
_ROWS = 1_000
_FORM = re.compile(
    r"hub:(?P<name>\w[\w.\-]*(/\w[\w.\-]*)?)(@(?P<revision>[\w.\-/]+))?(#(?P<config>[^/#]*)(/(?P<split>[^/#]+))?)?"
)


@dataclass(frozen=True)
class Dataset:
    """A dataset of the hub; an empty word leaves the choice to the hub, or takes all splits."""

    name: str
    revision: str = ""
    """A branch, a tag or a commit."""
    config: str = ""
    split: str = ""


def parse(location: str) -> Dataset:
    """Read `hub:NAME@REVISION#CONFIG/SPLIT`; all but the name may be left out (`#/SPLIT` names no config).

    Raises:
        UsageError: it is not of that form.
    """
    found = _FORM.fullmatch(location)
    if not found:
        raise UsageError(
            f"{location[:200]} is no dataset of the hub.",
            hint="hub:NAME, hub:OWNER/NAME, with @REVISION and #CONFIG, #CONFIG/SPLIT or #/SPLIT behind it.",
        )
    return Dataset(**{name: found[name] or "" for name in ("name", "revision", "config", "split")})


def revision(dataset: Dataset) -> str:
    """Ask the hub for the commit that a dataset stands at, so that all of it is read from one.

    Raises:
        DataError: there is no such dataset or revision, or the hub does not answer.
    """
    import huggingface_hub

    try:
        return str(huggingface_hub.HfApi().dataset_info(dataset.name, revision=dataset.revision or None).sha)
    except Exception as error:
        raise _unread(dataset, error) from error


def chunks(dataset: Dataset, commit: str = "") -> Iterator[Chunk]:
    """Stream a dataset's rows; a class is given by its name, and `split` is added where all splits are read.

    The library runs no code of a dataset since its version 4. It keeps what it reads from in a cache of ours: where the
    hub fails, it would turn to whatever version of the dataset its own cache has.

    Raises:
        DataError: it cannot be read.
    """
    import datasets

    datasets.disable_progress_bars()
    datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # it would tell another host than the hub what is read
    try:
        found = datasets.load_dataset(
            f"{_ADDRESS}{dataset.name}",
            dataset.config or None,
            split=dataset.split or None,
            revision=commit or dataset.revision or None,
            streaming=True,
            cache_dir=str(folders.cache() / "datasets"),
        )
        parts = {dataset.split: found} if dataset.split else dict(found)
        for split, rows in parts.items():
            yield from _split(
                f"{PREFIX}{dataset.name}#{dataset.config}/{split}", split, rows, all_splits=not dataset.split
            )
    except DataError:
        raise
    except Exception as error:
        raise _unread(dataset, error) from error


def _split(name: str, split: str, rows: Any, *, all_splits: bool) -> Iterator[Chunk]:
    features = rows.features or {}
    classes = {column: feature.names for column, feature in features.items() if hasattr(feature, "int2str")}
    if features:
        rows = rows.decode(False)  # pictures and sounds stay as they are
    count = 0
    for batch in rows.iter(batch_size=_ROWS):
        length = len(next(iter(batch.values()), ()))
        columns = {
            column: [_named(value, classes[column]) for value in values] if column in classes else list(values)
            for column, values in batch.items()
        }
        if all_splits and "split" not in columns:
            columns["split"] = [split] * length
        yield Chunk(name, list(range(count + 1, count + length + 1)), columns)
        count += length


def _named(value: Any, names: list[str]) -> Any:
    """Give a class its name; the hub marks those that are not known with -1."""
    if not isinstance(value, int) or value >= len(names):
        return value
    return names[value] if value >= 0 else None


def _unread(dataset: Dataset, error: Exception) -> DataError:
    return DataError(
        f"{PREFIX}{dataset.name} cannot be read from the hub: {_reason(dataset, error)}.",
        hint="Name it as its page does; a config and a split as in hub:NAME#CONFIG/SPLIT. Is the network up?",
    )


def _reason(dataset: Dataset, error: Exception) -> str:
    from huggingface_hub import errors

    if isinstance(error, errors.GatedRepoError):
        return "its owner has to let you in, and HF_TOKEN to say who you are"
    if isinstance(error, errors.RepositoryNotFoundError):
        return "there is none of that name, or it is private and HF_TOKEN is not set"
    if isinstance(error, errors.RevisionNotFoundError):
        return f"it has no revision {dataset.revision}"
    return told(error)
