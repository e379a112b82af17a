"""Turn raw data into a dataset: read, cleaned, each text once, split, checked, versioned, with a digest."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet

from dlops.config import locations
from dlops.data import allocation, checks, labels, near_duplicates, scratch, sources, splits, tables
from dlops.data.card import Card
from dlops.data.checks import Checks
from dlops.data.cleaning import Cleaning
from dlops.data.columns import OURS, Wanted
from dlops.data.conversion import Counts
from dlops.data.parquet_files import ParquetFiles
from dlops.data.preparation import Fingerprint, NothingReadError, Preparation, Recipe, without
from dlops.data.rejects import Rejects
from dlops.data.shares import Shares
from dlops.data.sources import Source
from dlops.data.staging import Staging
from dlops.errors import DataError, GateFailed, UsageError
from dlops.ml import record, step
from dlops.ml.progress import Progress, say
from dlops.ml.settings import Ingest

_MANY_CLASSES = 20
_SHOWN, _LONG = 5, 40
"""Names that a line shows, and letters of each."""


def ingest(settings: Ingest) -> None:
    """Read the source, make rows of it, write them as the table's next version, log what was done."""
    allocation.keep_freed()
    labelled = _labelled(settings)
    needed = splits.NEEDED if labelled else splits.NEEDED[:1]
    splits.check(settings.splits, needed=needed)
    if 0 < settings.max_characters < settings.min_characters:
        raise UsageError("'max_characters' is less than 'min_characters': no text is so long.")
    looked = _checks(settings)
    source = sources.open(
        settings.source,
        seed=settings.seed,
        checksum=settings.checksum or "",
        encoding=settings.encoding,
        plain=not labelled,
    )
    uri = locations.located("table", settings.table or source.name, Path.cwd())
    tables.check(uri)
    say(f"Reading {source.where}{' (synthetic data)' if source.synthetic else ''}")
    with (
        Staging() as staged,
        ParquetFiles() as kept,
        contextlib.ExitStack() as stack,
        Rejects(stop=settings.on_error == "stop", raw=settings.examples) as rejects,
    ):
        preparation = Preparation(_recipe(settings), source, rejects)
        try:
            preparation.read(staged, _progress(source))
        except NothingReadError as error:
            raise _nothing_read(source, rejects) from error
        if preparation.nodes:
            say(f"{len(source.parts)} files were read on {len(preparation.nodes)} nodes of the Ray cluster.")
        rows, unwanted = preparation.finished(staged), frozenset[str]()
        if settings.near_duplicates == "drop":
            every = stack.enter_context(ParquetFiles())
            unwanted = near_duplicates.find(every.through(rows)).drop
            rows = without(every.tables(), unwanted)
        fingerprint = Fingerprint()
        for part in kept.through(rows):
            fingerprint.update(part)
            looked.observe(part)
        counts, shares = preparation.counts, looked.distributions.shares
        counts.rows, counts.near_duplicates = shares.total, len(unwanted)
        _refuse_the_useless(source, preparation, shares, rejects, needed)
        say(_told(preparation, shares))
        if preparation.labels:
            _warn_of_names_that_nothing_has(preparation.labels.renamed, shares)
        card = Card(
            title=Path(uri).name,
            description=_made(settings, source, preparation),
            findings=looked.findings(counts),
            distributions=looked.distributions,
            as_read=preparation.as_read,
            changes=preparation.changes,
            texts=looked.texts,
            examples=settings.examples,
        )
        _judge(card, checks.named(settings.fail_on, "fail_on"))

        about = _about(card)
        version = tables.write(uri, kept, about, digest=fingerprint.hexdigest())
        if not version.new:
            say(f"The table holds exactly these rows already: still version {version.number}.")
        _log(source, version, counts, shares, labelled=labelled)
        named = {"table": version.uri, "version": version.number, "digest": version.digest}
        _log_card(replace(card, title=f"{card.title}@{version.number}", description={**card.description, **named}))
        if rejects.count:
            _log_rejects(rejects)
        if kept.bytes <= settings.snapshot_mb << 20:
            _keep_snapshot(kept)
    shown = ", ".join(f"{shares.rows.get(name, 0)} {name}" for name in splits.NAMES)
    say(f"Dataset {version.reference}: {shown} rows")


def _labelled(settings: Ingest) -> bool:
    """Tell whether the rows are to have labels.

    Raises:
        UsageError: they are not, and a setting speaks of labels.
    """
    labelled = settings.target != labels.NONE
    named = [name for name in ("label", "label_map", "slice_by") if getattr(settings, name)]
    if named and not labelled:
        problems = [f"'{name}' speaks of labels, and target=none says that there are none." for name in named]
        hint = f"Leave out {', '.join(f'{name}=' for name in named)}, or target=none."
        raise UsageError("The settings contradict each other.", problems=problems, hint=hint)
    return labelled


def _checks(settings: Ingest) -> Checks:
    checks.named(settings.fail_on, "fail_on")  # before anything is read
    skip = {*settings.skip, *(["near_duplicates"] if settings.near_duplicates == "off" else [])}
    slices = [name for name in (settings.group and "group", *settings.slice_by) if name]
    return Checks(skip=skip, slice_by=slices, labelled=settings.target != labels.NONE, examples=settings.examples)


def _recipe(settings: Ingest) -> Recipe:
    return Recipe(
        wanted=Wanted(
            labelled=settings.target != labels.NONE,
            text=settings.text,
            label=settings.label,
            text_pair=settings.text_pair,
            group=settings.group,
            split=settings.split,
            keep=tuple(dict.fromkeys([*settings.keep, *(name for name in settings.slice_by if name not in OURS)])),
        ),
        cleaning=Cleaning(
            html=settings.html,
            unicode=settings.unicode,
            whitespace=settings.whitespace,
            min_characters=settings.min_characters,
            max_characters=settings.max_characters,
        ),
        target=settings.target,
        label_separator=settings.label_separator,
        label_map=settings.label_map,
        shares=settings.splits,
        seed=settings.seed,
    )


def _progress(source: Source) -> Callable[[int], None]:
    """Tell how far the reading has come, where the size of the source is known."""
    if not source.size:
        return lambda _: None
    size, progress = source.size, Progress(source.size, "bytes")
    return lambda position: progress.update(min(position, size), "reading")


def _nothing_read(source: Source, rejects: Rejects) -> DataError:
    """Say why no row is left, with the list of rejects in the run where it was asked for."""
    if not rejects.count:
        return DataError(f"{source.where} holds no rows.", hint="Is it the right file?")
    record.file(rejects.file)
    reason, count = rejects.reasons.most_common(1)[0]
    said = f"{source.where} has no row that can be used: {rejects.count} were rejected, {count} of them with: {reason}."
    return DataError(said, hint="rejects.jsonl in the run has the reason of each.")


def _warn_of_names_that_nothing_has(renamed: Mapping[str, str], shares: Shares) -> None:
    """A class that is renamed and does not occur is likely misspelt."""
    for old, new in renamed.items() if shares.labels else ():
        if new not in shares.labels:
            say(f"Warning label_map: no label was {old!r}; the labels are {_named(sorted(shares.labels))}.")


def _named(labels: Sequence[str]) -> str:
    shown = [label if len(label) <= _LONG else f"{label[:_LONG]}…" for label in labels[:_SHOWN]]
    return ", ".join(shown) + (" …" if len(labels) > _SHOWN else "")


def _refuse_the_useless(
    source: Source, preparation: Preparation, shares: Shares, rejects: Rejects, needed: Sequence[str]
) -> None:
    """Refuse what nothing can be learned from, before anything is written."""
    if not shares.total:
        if rejects.count:
            raise _nothing_read(source, rejects)
        if preparation.labels is None:
            raise DataError(f"{source.where} has no row with a text.", hint="Name the column: text=.")
        raise DataError(
            f"{source.where} has no row with both a text and a label.", hint="Name the columns: text=, label=."
        )
    if preparation.kind == "classes":
        _check_classes(source, shares)
    empty = [name for name in needed if not shares.rows.get(name)]
    if empty:
        hint = "Give more rows, or other shares: splits=0.7,0.1,0.2."
        raise DataError(f"No row of {source.where} came into {' and '.join(empty)}.", hint=hint)


def _check_classes(source: Source, shares: Shares) -> None:
    classes = sorted(shares.labels)
    if len(classes) < 2:
        raise DataError(f"Every row of {source.where} has the label {classes[0]!r}.", hint="Two are needed at least.")
    if len(classes) > _MANY_CLASSES and 2 * len(classes) > shares.total:
        raise DataError(
            f"The label column of {source.where} has {len(classes)} different values in {shares.total} rows.",
            hint="That is no class; name the label column (label=COLUMN), or say target=number.",
        )


def _told(preparation: Preparation, shares: Shares) -> str:
    counts, roles = preparation.counts, preparation.roles
    gone = [f"{counts.duplicates} duplicates", f"{counts.empty} empty"]
    if counts.conflicting:
        gone[0] += f" ({counts.conflicting} with another label: the first one stays)"
    gone += [
        f"{count} {what}"
        for count, what in (
            (counts.short + counts.long, "too short or too long"),
            (counts.near_duplicates, "near duplicates"),
            (counts.rejects, "rejected"),
        )
        if count
    ]
    found = sorted(((sum(rows.values()), label) for label, rows in shares.labels.items()), reverse=True)[:5]
    classes = ", ".join(f"{_named([label])} {100 * count / shares.total:.0f} %" for count, label in found)
    label = f"label {roles.label!r} ({classes or preparation.kind})" if preparation.labels else "no label"
    about = f"Text {roles.text!r}, {label}"
    return f"{about}: {counts.rows} of {counts.rows_in} rows; removed {', '.join(gone)}"


def _judge(card: Card, strict: frozenset[str]) -> None:
    """Say what was found.

    Raises:
        GateFailed: a check that must not find anything has; its findings are in the run, and nothing was written.
    """
    noted = [finding for finding in card.findings if finding.status in ("warning", "failed")]
    for finding in noted:
        say(f"{finding.status.capitalize()} {finding.name}: {finding.message}")
    refused = [finding for finding in noted if finding.name in strict]
    if refused:
        _log_card(replace(card, refused=[finding.name for finding in refused]))
        raise GateFailed(
            "The data did not pass its checks, and nothing was written.",
            problems=[f"{finding.name}: {finding.message}" for finding in refused],
            hint="Mend the data, or leave the check out of fail_on=.",
        )


def _made(settings: Ingest, source: Source, preparation: Preparation) -> dict[str, Any]:
    """Tell how the dataset was made, so that everything after it can know where it came from."""
    return {
        "source": source.where,
        "origin": source.origin,
        "synthetic": source.synthetic,
        "columns": preparation.roles.named(),
        "labels": preparation.kind,
        "cleaning": preparation.recipe.cleaning.as_dict(),
        "splits": settings.split or dict(zip(splits.NAMES, settings.splits, strict=True)),
        "seed": settings.seed,
        "counts": asdict(preparation.counts),
    }


def _about(card: Card) -> dict[str, Any]:
    """Give what is kept with the version."""
    return {
        **card.description,
        "cleaned": card.changes.as_dict(),
        **card.distributions.shares.as_dict(),
        "checks": [finding.as_dict() for finding in card.findings],
    }


def _log_card(card: Card) -> None:
    """Keep the card, and say where it is."""
    record.document("card.json", card.document())
    record.text("card.html", card.html())
    place = record.place("card.html")
    record.output("card", place)
    say(f"Card {place}")


def _log(source: Source, version: tables.Version, counts: Counts, shares: Shares, *, labelled: bool) -> None:
    record.metrics({**asdict(counts), **{f"rows_{name}": shares.rows.get(name, 0) for name in splits.NAMES}})
    record.dataset(
        name=source.name,
        uri=version.uri,
        version=version.number,
        digest=version.digest,
        context="ingest",
        synthetic=source.synthetic,
        labelled=labelled,
    )
    record.output("dataset", version.reference)
    record.output("digest", version.digest)


def _log_rejects(rejects: Rejects) -> None:
    record.file(rejects.file)
    rows_were = "1 row was" if rejects.count == 1 else f"{rejects.count} rows were"
    say(f"{rows_were} rejected; rejects.jsonl in the run has the reason of each.")
    if rejects.files:
        shown = ", ".join(sorted(rejects.files)[:_SHOWN])
        say(f"Warning: {len(rejects.files)} of the files could not be read, or not to the end: {shown}")


def _keep_snapshot(rows: ParquetFiles) -> None:
    """Keep the written rows as an artifact too: small data outlives its table that way."""
    with scratch.folder() as folder, pyarrow.parquet.ParquetWriter(folder / "snapshot.parquet", rows.schema) as writer:
        for part in rows.tables():
            writer.write_table(part)
        writer.close()
        record.file(folder / "snapshot.parquet")


if __name__ == "__main__":
    step.main(Ingest, ingest)
