"""Ingested datasets by reference: a table, one of its versions or moments, the output of a run, or a name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from dlops.config import locations
from dlops.data import splits, tables
from dlops.errors import DataError

_OUTPUT = re.compile(r"runs:/([^/]+)/dataset")


@dataclass(frozen=True)
class Split:
    """Texts and their labels, row by row."""

    texts: list[str]
    labels: list[str]

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True)
class Dataset:
    """One version of an ingested dataset, in memory; rows are ordered by id, so that equal data trains equally."""

    uri: str
    version: int
    digest: str
    source: str
    """What the data was made from, in words or as a path."""
    synthetic: bool
    labels: tuple[str, ...]
    """The classes, in alphabetical order; their places are the model's outputs."""
    train: Split
    val: Split
    test: Split

    @property
    def name(self) -> str:
        return Path(self.uri).name

    @property
    def reference(self) -> str:
        return f"{self.uri}@{self.version}"

    @property
    def rows(self) -> int:
        return len(self.train) + len(self.val) + len(self.test)


def open(reference: str) -> Dataset:  # noqa: A001 (read as `datasets.open`)
    """Read the dataset that `reference` names.

    Raises:
        DataError: it is not there, is no ingested dataset, or cannot be trained and tested on.
    """
    uri, version = locate(reference)
    table, description = tables.read(uri, version)
    there = [field.name for field in table.schema().fields]
    missing = [name for name in ("text", "label", "split") if name not in there]
    if missing:
        raise DataError(
            f"{uri} is no ingested dataset: it has no column {', '.join(missing)}.",
            hint=f"Its columns are {', '.join(there)}. Run `dlops ingest` on the data it was made from.",
        )
    columns = ["text", "label", "split"]
    content = table.to_pyarrow_table(columns=columns, filesystem=tables.filesystem(table)).to_pydict()
    rows = sorted(
        (splits.identity(text), label, split, text)
        for text, label, split in zip(content["text"], content["label"], content["split"], strict=True)
    )
    return Dataset(
        uri=uri,
        version=table.version(),
        digest=description.get("digest") or tables.digest(row[:3] for row in rows),
        source=str(description.get("source", uri)),
        synthetic=bool(description.get("synthetic", False)),
        labels=_labels(rows, uri),
        train=_split(rows, "train", uri),
        val=_split(rows, "val", uri),
        test=_split(rows, "test", uri),
    )


def locate(reference: str) -> tuple[str, int | str | None]:
    """Give the table's place, and the version (a number), the time (ISO 8601) or `None` for the last.

    Raises:
        DataError: a run is named that has no dataset.
    """
    output = _OUTPUT.fullmatch(reference)
    if output:
        return locate(_output(output[1]))
    name, version = locations.versioned(reference)
    return name if "://" in name else str(locations.place(name)), version


def _output(run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    from dlops.ml import record

    try:
        reference = record.output_of(run_id, "dataset")
    except MlflowException as error:
        raise DataError(f"The run {run_id} cannot be read: {error.message}.") from error
    if reference is None:
        raise DataError(f"The run {run_id} has no dataset among its outputs.", hint="Name a run of `dlops ingest`.")
    return reference


def _split(rows: list[tuple[str, str, str, str]], name: str, uri: str) -> Split:
    chosen = [row for row in rows if row[2] == name]
    if not chosen and name != "val":
        raise DataError(f"{uri} has no {name} rows.", hint="Ingest more rows, or other shares: splits=0.7,0.1,0.2.")
    return Split([row[3] for row in chosen], [row[1] for row in chosen])


def _labels(rows: list[tuple[str, str, str, str]], uri: str) -> tuple[str, ...]:
    found = tuple(sorted({row[1] for row in rows}))
    trained = {row[1] for row in rows if row[2] == "train"}
    if len(trained) < 2:
        raise DataError(
            f"The train rows of {uri} are all of one class ({', '.join(trained) or 'none'}).",
            hint="A classifier needs two classes at least; ingest rows of another one.",
        )
    return found
