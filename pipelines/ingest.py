"""Turn raw data into a dataset: cleaned, split, versioned, with a digest."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from dlops.config import locations
from dlops.data import columns, sources, splits, tables
from dlops.data.cleaning import Cleaned, clean
from dlops.data.sources import Source
from dlops.errors import DataError
from dlops.ml import record, step
from dlops.ml.progress import say
from dlops.ml.settings import Ingest


def ingest(settings: Ingest) -> None:
    """Read the source, drop what is empty or double, split by hash, write the table, log what was done."""
    splits.check(settings.splits)
    source = sources.open(settings.source, seed=settings.seed)
    say(f"Reading {source.where}{' (synthetic data)' if source.synthetic else ''}")
    text, label = columns.choose(source.columns, text=settings.text, label=settings.label, where=source.where)
    cleaned = clean(source.rows(text, label))
    rows = _rows(cleaned, settings)
    counts = _counts(cleaned, rows["split"])
    _check(cleaned, counts, source)
    say(_told(cleaned, text, label))

    uri = locations.located("table", settings.table or source.name, Path.cwd())
    about = {
        "source": source.where,
        "synthetic": source.synthetic,
        "columns": {"text": text, "label": label},
        "splits": dict(zip(splits.NAMES, settings.splits, strict=True)),
        "seed": settings.seed,
    }
    version = tables.write(uri, rows, about)
    if not version.new:
        say(f"The table holds exactly these rows already: still version {version.number}.")

    record.metrics(counts)
    record.document("dataset.json", {**about, **_card(cleaned, counts), **_named(version)})
    record.dataset(
        name=source.name,
        uri=uri,
        version=version.number,
        digest=version.digest,
        context="ingest",
        synthetic=source.synthetic,
    )
    record.output("dataset", version.reference)
    record.output("digest", version.digest)
    shown = ", ".join(f"{counts['rows_' + name]} {name}" for name in splits.NAMES)
    say(f"Dataset {version.reference}: {shown} rows")


def _rows(cleaned: Cleaned, settings: Ingest) -> dict[str, list[str]]:
    texts = list(cleaned.labels)
    return {
        "id": [splits.identity(text) for text in texts],
        "text": texts,
        "label": list(cleaned.labels.values()),
        "split": [splits.assign(text, settings.splits, settings.seed) for text in texts],
    }


def _counts(cleaned: Cleaned, assigned: list[str]) -> dict[str, int]:
    found = Counter(assigned)
    return {
        "rows_in": cleaned.rows_in,
        "rows": len(cleaned.labels),
        "duplicates": cleaned.duplicates,
        "conflicting": cleaned.conflicting,
        "empty": cleaned.empty,
        **{f"rows_{name}": found[name] for name in splits.NAMES},
    }


def _check(cleaned: Cleaned, counts: dict[str, int], source: Source) -> None:
    """Refuse what nothing can be learned from, before anything is written."""
    classes = set(cleaned.labels.values())
    if not cleaned.labels:
        raise DataError(
            f"{source.where} has no row with both a text and a label.", hint="Name the columns: text=, label=."
        )
    if len(classes) < 2:
        raise DataError(
            f"Every row of {source.where} has the label {classes.pop()!r}.", hint="Two are needed at least."
        )
    if len(classes) > 20 and 2 * len(classes) > len(cleaned.labels):
        raise DataError(
            f"The label column of {source.where} has {len(classes)} different values in {len(cleaned.labels)} rows.",
            hint="That is no class; name the label column: label=COLUMN.",
        )
    empty = [name for name in ("train", "test") if not counts[f"rows_{name}"]]
    if empty:
        hint = "Give more rows, or other shares: splits=0.7,0.1,0.2."
        raise DataError(f"No row of {source.where} came into {' and '.join(empty)}.", hint=hint)


def _told(cleaned: Cleaned, text: str, label: str) -> str:
    kept, gone = len(cleaned.labels), [f"{cleaned.duplicates} duplicates", f"{cleaned.empty} empty"]
    if cleaned.conflicting:
        gone[0] += f" ({cleaned.conflicting} with another label: the first one stays)"
    shares = Counter(cleaned.labels.values()).most_common(5)
    classes = ", ".join(f"{name} {100 * count / kept:.0f} %" for name, count in shares)
    return f"Text {text!r}, label {label!r} ({classes}): {kept} of {cleaned.rows_in} rows; removed {', '.join(gone)}"


def _card(cleaned: Cleaned, counts: dict[str, int]) -> dict[str, Any]:
    found = sorted(Counter(cleaned.labels.values()).items())
    return {"counts": counts, "label_shares": {name: count / len(cleaned.labels) for name, count in found}}


def _named(version: tables.Version) -> dict[str, Any]:
    return {"table": version.uri, "version": version.number, "digest": version.digest}


if __name__ == "__main__":
    step.main(Ingest, ingest)
