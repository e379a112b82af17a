"""From rows as they were read to rows as they are written: cleaned, labelled, each once, split."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dlops.data import ahead, cluster, columns, labels, raw_bytes, splits, staging
from dlops.data.cleaning import Changes, Cleaning
from dlops.data.columns import Roles, Wanted
from dlops.data.conversion import Conversion, Converted, Counts, written
from dlops.data.distributions import Lengths
from dlops.data.labels import Labels
from dlops.data.rows import Chunk, OnReject, Reject, Values, distinct
from dlops.data.sources import Source
from dlops.data.staging import Dropped, Staging, Table


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is made of the rows."""

    wanted: Wanted
    cleaning: Cleaning
    target: str = "auto"
    label_separator: str = ","
    label_map: tuple[str, ...] = ()
    shares: tuple[float, ...] = (0.7, 0.1, 0.2)
    seed: int = 0


class NothingReadError(Exception):
    """A source has no row that could be read."""


class Preparation:
    """Reads a source into staging, and gives its rows as they are to be written, in the order of their ids."""

    def __init__(self, recipe: Recipe, source: Source, reject: OnReject) -> None:
        self.recipe, self._source, self._on_reject = recipe, source, reject
        self.counts, self.changes, self.as_read = Counts(), Changes(), Lengths()
        self.nodes: set[str] = set()
        """Nodes of a cluster that read some of the rows."""
        self.roles: Roles
        self.labels: Labels | None
        """How labels are read; `None` for the target `none`."""

    @property
    def kind(self) -> str:
        """What a label is: `classes`, `multilabel` or `number`, or `none` where there are none."""
        return self.labels.kind if self.labels else labels.NONE

    def read(self, staged: Staging, progress: Callable[[int], None]) -> None:
        """Read all rows; `progress` takes the bytes of the source that were read so far, where they are known.

        Raises:
            DataError: the columns cannot be matched, or (where rejects end the work) a row is wrong.
            NothingReadError: no row is there.
        """
        for made in self._spread() if len(self._source.parts) > 1 and cluster.is_named() else self._here():
            self.counts.add(made.counts)
            self.changes.add(made.changes)
            self.as_read.merge(made.as_read)
            for reject in made.rejects:
                self._on_reject(reject)
            if len(made.rows):
                staged.add(made.rows)
            self.nodes |= {made.node} - {""}
            if made.position:
                progress(made.position)

    def _here(self) -> Iterator[Converted]:
        chunks = self._source.chunks(self._reject)
        first = next(chunks, None)
        if first is None:
            raise NothingReadError
        return ahead.mapped(self._conversion(first), itertools.chain([first], chunks))

    def _spread(self) -> Iterator[Converted]:
        """Let the nodes of a cluster read the files."""
        first = next(self._source.chunks(lambda _: None), None)
        return self._here() if first is None else cluster.converted(self._source.parts, self._conversion(first))

    def finished(self, staged: Staging) -> Iterator[Table]:
        """Give the rows as they are to be written, a part at a time, each text once."""
        for rows, dropped in ahead.mapped(self._finish, staged.parts()):
            self.counts.add(Counts(**asdict(dropped)))
            yield rows

    def _finish(self, part: Table) -> tuple[Table, Dropped]:
        kept, dropped = staging.once(part)
        return self._finished(kept), dropped

    def _reject(self, reject: Reject) -> None:
        """Take a row that could not be read."""
        self._on_reject(reject)
        self.counts.add(Counts(rows_in=1, rejects=1))

    def _conversion(self, first: Chunk) -> Conversion:
        """Settle, by the first chunk, which columns play which role and how labels are read."""
        recipe = self.recipe
        self.roles = columns.choose(tuple(first.columns), recipe.wanted, where=self._source.where)
        self.labels = self._reader(first.columns[self.roles.label]) if self.roles.label else None
        return Conversion(roles=self.roles, labels=self.labels, cleaning=recipe.cleaning)

    def _reader(self, values: Values) -> Labels:
        recipe = self.recipe
        label = next((value for value in distinct(values)[1] if value is not None), None)
        return labels.reader(recipe.target, label, recipe.label_separator, recipe.label_map)

    def _finished(self, rows: Table) -> Table:
        roles = self.roles
        made = {"id": raw_bytes.hexadecimal(rows["key"].to_numpy()), "text": rows["text"]}
        if roles.text_pair:
            made["text_pair"] = rows["text_pair"]
        if self.labels:
            made["label"] = _label_column(rows["label"], self.labels.kind)
        made["split"] = rows["own_split"] if roles.split else self._dealt(rows, made["id"])
        if roles.group:
            made["group"] = rows["group"]
        return pa.table(made | {name: rows[name] for name in roles.keep})

    def _dealt(self, rows: Table, ids: Any) -> Any:
        """Deal rows to splits: the same text (with whatever pair), or the same group, always goes to the same one."""
        if by := "group" if self.roles.group else "text" if self.roles.text_pair else "":
            ids = raw_bytes.hexadecimal(raw_bytes.hashes(rows[by].combine_chunks()))
        return splits.dealt(ids, self.recipe.shares, self.recipe.seed)


def _label_column(texts: Any, kind: str) -> Any:
    if kind == "number":
        return pc.cast(texts, pa.float64())
    if kind == "multilabel":
        return pa.array([json.loads(text) for text in texts.to_pylist()], pa.list_(pa.string()))
    return texts


@dataclass
class Fingerprint:
    """The digest of a dataset: a hash over all that stands in its rows but the texts, which the ids stand for."""

    _hashed: Any = field(default_factory=lambda: hashlib.blake2b(digest_size=16))

    def update(self, rows: Table) -> None:
        """Take rows in the order of their ids."""
        names = [name for name in ("id", "label", "split", "group") if name in rows.column_names]
        names += [name for name in rows.column_names if name not in columns.OURS]
        values = [pc.fill_null(written(rows[name].combine_chunks()), "") for name in names]
        lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*values, "\0"), "", "\n")
        self._hashed.update(raw_bytes.of(lines)[0])

    def hexdigest(self) -> str:
        return str(self._hashed.hexdigest())


def without(rows: Iterable[Table], ids: frozenset[str]) -> Iterator[Table]:
    """Give the rows but those of these ids."""
    if not ids:
        yield from rows
        return
    unwanted = pa.array(sorted(ids))
    for part in rows:
        yield part.filter(pc.invert(pc.is_in(part["id"], value_set=unwanted)))
