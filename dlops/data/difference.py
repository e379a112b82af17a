"""What differs between two datasets: rows that came, went, or have another label or split, counted exactly."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import raw_bytes, shares, staging, tables
from dlops.data.shares import Shares
from dlops.data.staging import Staging
from dlops.errors import DataError

KINDS = ("added", "removed", "relabelled", "moved", "changed")
"""What may be different about a row; `changed`: another value in a column beside text, label and split."""
_ROW = ("id", "text", "text_pair", "label", "split")
_VALUES = ("label", "split", "rest")
_BATCHES = 64
"""Batches of rows that are staged at once."""


@dataclass(frozen=True)
class Side:
    """One of the two datasets."""

    reference: str
    digest: str
    columns: tuple[str, ...]
    shares: Shares
    checks: Sequence[Mapping[str, Any]]

    def as_dict(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        columns = list(self.columns)
        return {"reference": self.reference, "digest": self.digest, "columns": columns, **self.shares.as_dict()}


@dataclass
class Example:
    """A row that differs; `None` is the side on which it is not."""

    id: str
    before: dict[str, str | None] | None
    after: dict[str, str | None] | None
    text: str | None = None
    """Only where texts were asked for."""


@dataclass
class Difference:
    """What differs between dataset A and dataset B."""

    a: Side
    b: Side
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(KINDS, 0))
    """A row may be relabelled, moved and changed at once; it counts for each."""
    examples: dict[str, list[Example]] = field(default_factory=lambda: {kind: [] for kind in KINDS})

    @property
    def same(self) -> bool:
        return not any(self.counts.values()) and self.a.columns == self.b.columns

    def checks(self) -> list[dict[str, Any]]:
        """List the checks of both by name: what A says of it, and what B says; `None` where one was not checked."""
        by_name = [{str(check.get("name")): dict(check) for check in side.checks} for side in (self.a, self.b)]
        names = dict.fromkeys([*by_name[0], *by_name[1]])
        return [{"name": name, "a": by_name[0].get(name), "b": by_name[1].get(name)} for name in names]

    def as_dict(self) -> dict[str, Any]:
        """Give all of it as plain values."""
        examples = {kind: [_plain(example) for example in found] for kind, found in self.examples.items() if found}
        sides = {"a": self.a.as_dict(), "b": self.b.as_dict()}
        return {"same": self.same, **self.counts, **sides, "checks": self.checks(), "examples": examples}


def between(
    a: tuple[str, int | str | None], b: tuple[str, int | str | None], *, examples: int = 0, texts: bool = False
) -> Difference:
    """Compare two datasets, each a table's place and its version: a number, a time or `None` for the last.

    Rows are matched by their ids, and those of a table that `dlops` did not write by the ids of their texts. Of rows
    with the same id, equal ones are matched first, the others in the order of label and split. Both tables are dealt
    by the hash of the id to disk, so that the memory does not grow with them. `examples` is how many rows of each kind
    are named, always the same ones; with `texts` they have their texts.

    Raises:
        DataError: one of them is not there, cannot be read, or has no texts.
    """
    opened = [_Opened(*reference) for reference in (a, b)]
    rest = [name for name in opened[0].columns if name not in _ROW and name in opened[1].columns]
    counted = [Shares(), Shares()]
    with Staging() as staged:
        for sign, side, into in zip((-1, 1), opened, counted, strict=True):
            for batch in side.batches(rest):
                into.add(batch["shown_label"], batch["split"] if side.has_split else None)
                staged.add(_staged(batch, sign))
        found = Difference(opened[0].told(counted[0]), opened[1].told(counted[1]))
        for part in staged.parts():
            _compare(part, found, examples)
    if texts:
        _add_texts(found, opened)
    return found


class _Opened:
    """A dataset that is read for a comparison."""

    def __init__(self, uri: str, version: int | str | None) -> None:
        self.table, self.description = tables.read(uri, version)
        number = self.table.version()
        self.reference = f"{uri}@{number}"
        self.columns = tuple(field.name for field in self.table.schema().fields)
        self.has_split = "split" in self.columns
        self._ours = "digest" in self.description and "id" in self.columns
        if not self._ours and "text" not in self.columns:
            there = ", ".join(self.columns)
            raise DataError(f"{uri} has no column 'text', by which its rows could be known.", hint=f"It has {there}.")

    def told(self, counted: Shares) -> Side:
        """Say which dataset this is."""
        checks = self.description.get("checks") or []
        return Side(self.reference, str(self.description.get("digest", "")), self.columns, counted, checks)

    def batches(self, rest: Sequence[str]) -> Iterator[dict[str, Any]]:
        """Give Arrow arrays: id, label (as it is), label as text, split, and a hash of the `rest`."""
        wanted = [*self.identifying(), *(name for name in ("label", "split") if name in self.columns), *rest]
        for batch in _joined(self.table, wanted):
            label, split = shares.of_batch(batch)
            kept = [shares.written(batch.column(name)).to_pylist() for name in rest]
            yield {
                "id": self.ids(batch),
                "shown_label": label,
                "label": shares.written(label),
                "split": pa.nulls(len(batch), pa.string()) if split is None else split,
                "rest": pa.array(
                    raw_bytes.hashes(pa.array([repr(row) for row in zip(*kept, strict=True)], pa.string()))
                )
                if kept
                else pa.array([0] * len(batch), pa.uint64()),
            }

    def identifying(self) -> list[str]:
        """Name the columns of which an id is made."""
        return ["id"] if self._ours else [name for name in ("text", "text_pair") if name in self.columns]

    def ids(self, batch: Any) -> Any:
        """Give the ids of a batch's rows."""
        if self._ours:
            return batch.column("id")
        texts = [pc.fill_null(batch.column(name), "") for name in self.identifying()]
        return raw_bytes.hexadecimal(staging.keys(*texts))


def _joined(table: deltalake.DeltaTable, columns: Sequence[str]) -> Iterator[Any]:
    """Give rows in batches that are large enough to be dealt."""
    batches = tables.batches(table, columns)
    while gathered := list(itertools.islice(batches, _BATCHES if "text" not in columns else 1)):
        yield pa.Table.from_batches(gathered).combine_chunks().to_batches()[0] if len(gathered) > 1 else gathered[0]


def _staged(batch: Mapping[str, Any], sign: int) -> Any:
    ids = batch["id"]
    columns = {"key": pa.array(raw_bytes.hashes(ids)), "id": ids}
    columns |= {name: batch[name] for name in _VALUES}
    return pa.table(columns | {"sign": pa.array([sign] * len(ids), pa.int8())})


def _compare(part: Any, found: Difference, examples: int) -> None:
    """Let equal rows of both sides cancel each other, and pair what is left."""
    grouped = part.group_by(["key", "id", *_VALUES]).aggregate([("sign", "sum")])
    left = grouped.filter(pc.not_equal(grouped["sign_sum"], 0)).sort_by([("key", "ascending")])
    rows = zip(*(left[name].to_pylist() for name in ("key", "id", *_VALUES, "sign_sum")), strict=True)
    for (_, identity), same in itertools.groupby(rows, key=lambda row: (row[0], row[1])):
        before: list[tuple[Any, ...]] = []
        after: list[tuple[Any, ...]] = []
        for _, _, *values, surplus in same:
            (after if surplus > 0 else before).extend([tuple(values)] * abs(surplus))
        pairs = itertools.zip_longest(sorted(before, key=repr), sorted(after, key=repr))
        for was, became in pairs:
            _note(found, identity, was, became, examples)


def _note(
    found: Difference, identity: str, was: tuple[Any, ...] | None, became: tuple[Any, ...] | None, examples: int
) -> None:
    for kind in _kinds(was, became):
        found.counts[kind] += 1
        if len(found.examples[kind]) < examples:
            before, after = (dict(zip(_VALUES[:2], row, strict=False)) if row else None for row in (was, became))
            found.examples[kind].append(Example(identity, before, after))


def _kinds(was: tuple[Any, ...] | None, became: tuple[Any, ...] | None) -> list[str]:
    if was is None or became is None:
        return ["added" if was is None else "removed"]
    pairs = zip(("relabelled", "moved", "changed"), was, became, strict=True)
    return [kind for kind, one, other in pairs if one != other]


def _add_texts(found: Difference, opened: Sequence[_Opened]) -> None:
    wanted = {example.id: "" for named in found.examples.values() for example in named}
    for side in opened:
        missing = pa.array([identity for identity, text in wanted.items() if not text], pa.string())
        if not len(missing) or "text" not in side.columns:
            continue
        for batch in tables.batches(side.table, [*dict.fromkeys([*side.identifying(), "text"])]):
            ids = side.ids(batch)
            chosen = pc.is_in(ids, value_set=missing)
            texts = batch.column("text").filter(chosen).to_pylist()
            wanted.update(zip(ids.filter(chosen).to_pylist(), texts, strict=True))
    for named in found.examples.values():
        for example in named:
            example.text = wanted[example.id]


def _plain(example: Example) -> dict[str, Any]:
    told = {"id": example.id, "before": example.before, "after": example.after}
    return told if example.text is None else {**told, "text": example.text}
