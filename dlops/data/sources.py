"""Raw data as people have it: files here or elsewhere, a dataset of the hub, a Delta table, the sample."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from dlops.config import locations, paths
from dlops.data import files, hub, rows, sample, text_lines
from dlops.data.files import File
from dlops.data.readers import Part
from dlops.data.rows import Chunk, OnReject
from dlops.errors import UsageError
from dlops.worker import masking

_ROWS = 1_000


@dataclass(frozen=True)
class Source:
    """Raw data that has been found; reading it begins with `chunks`."""

    name: str
    """What a table of it is called by default: the stem of the file's name, or the name of the folder."""
    where: str
    """The place in full, without credentials, or the description of the sample."""
    chunks: Callable[[OnReject], Iterator[Chunk]]
    """Reads all rows, from the beginning each time; takes what is to be done with those that cannot be read."""
    origin: dict[str, str] = field(default_factory=dict)
    """Where it came from, to find just this again: kind, uri, size, and checksum, revision or version where known."""
    size: int | None = None
    """Bytes that will be read, where they are known; `Chunk.position` counts up to it."""
    synthetic: bool = False
    parts: tuple[Part, ...] = ()
    """The files it consists of, where they are known as files and may be read apart."""

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The columns of the first chunk; none where no row can be read."""
        first = next(self.chunks(lambda _: None), None)
        return tuple(first.columns) if first else ()


def open(  # noqa: A001
    location: str, *, seed: int, checksum: str = "", encoding: str = "utf-8", plain: bool = False
) -> Source:
    """Find raw data (read as `sources.open`); what lies on other machines is downloaded into the cache.

    A location is a file, several with commas between them, a glob or a folder; a URI (`https://…`, `s3://…`); a Delta
    table (`TABLE`, `TABLE@VERSION`, `TABLE@TIME`); `hub:NAME@REVISION#CONFIG/SPLIT`; or `sample`, whose seed is `seed`.
    `checksum` is `sha256:HEX` of the one file there is; `encoding` is that of text files without a byte order mark;
    with `plain`, files of plain text are read, too, whose one column is `text`.

    Raises:
        DataError: it is not there, cannot be had, is of a kind that is not known, or is not what its checksum says.
        UsageError: the location, the checksum or the encoding is none.
    """
    text_lines.check_encoding(encoding)
    if "\0" in location:
        raise UsageError("A location cannot hold a NUL character.")
    if location == sample.NAME:
        return _sample(seed)
    if location.startswith(hub.PREFIX):
        return _hub(location)
    if table := _table(location):
        return _delta(*table)
    return _files(location, checksum, encoding, plain)


def _sample(seed: int) -> Source:
    def chunks(_: OnReject) -> Iterator[Chunk]:
        numbered = enumerate(sample.generate(seed), start=1)
        while part := list(itertools.islice(numbered, _ROWS)):
            columns = {"text": [text for _, (text, _) in part], "label": [label for _, (_, label) in part]}
            yield Chunk(sample.NAME, [line for line, _ in part], columns)

    where = f"{sample.DESCRIPTION}, seed {seed}"
    return Source(sample.NAME, where, chunks, {"kind": "sample", "uri": sample.NAME, "seed": str(seed)}, synthetic=True)


def _hub(location: str) -> Source:
    dataset = hub.parse(location)
    commit = hub.revision(dataset)
    origin = {"kind": "hub", "uri": location, "revision": commit}
    return Source(_name(dataset.name.rpartition("/")[2]), location, lambda _: hub.chunks(dataset, commit), origin)


def _files(location: str, checksum: str, encoding: str, plain: bool) -> Source:
    found = files.find(location, checksum=checksum, plain=plain)

    starts = itertools.accumulate((file.size for file in found), initial=0)
    apart = tuple(Part(file, encoding, before) for file, before in zip(found, starts, strict=False))

    def chunks(reject: OnReject) -> Iterator[Chunk]:
        return itertools.chain.from_iterable(part.chunks(reject) for part in apart)

    where, size = found[0].name, sum(file.size for file in found)
    if len(found) > 1 or Path(where).is_dir():
        parts = files.split(location)
        where = ", ".join(masking.url(part) if locations.is_uri(part) else str(paths.absolute(part)) for part in parts)
    origin = {"kind": "files", "uri": where, "size": str(size), "files": str(len(found))}
    if len(found) == 1:
        origin |= {key: value for key in ("sha256", "etag") if (value := getattr(found[0], key))}
    here = () if any(locations.is_uri(file.name) for file in found) else apart
    return Source(_files_name(location, found), where, chunks, origin, size, parts=here)


def _files_name(location: str, found: list[File]) -> str:
    """Name data after its one file, else after the folder that was named, or that the first of them lies in."""
    if len(found) == 1:
        return _name(files.stem(found[0].path.name))
    named = files.split(location)[0].rstrip("/")
    folder = re.split(r"/[^/]*[*?\[]", named)[0]
    if folder == named and not Path(named).is_dir() and files.form(named, plain=True).kind:
        folder = str(paths.absolute(named).parent) if "://" not in named else named.rpartition("/")[0]
    return _name((folder if "://" in folder else str(paths.absolute(folder))).rpartition("/")[2])


def _name(text: str) -> str:
    """Make a name that a folder can have."""
    return re.sub(r"[^\w.\-]+", "_", text).strip("._-")[:100] or "data"


def _table(location: str) -> tuple[str, int | str | None] | None:
    """Give the table that a location names, with its version; a file or folder of that name comes first."""
    name, version = locations.versioned(location)
    if "://" in name:
        remote = version is not None and not name.lower().startswith("http")
        return (name, version) if remote else None
    here = paths.absolute(name)
    if paths.exists(here / "_delta_log"):
        return str(here), version
    if version is None and paths.exists(here):
        return None
    known = locations.place(name)
    return (str(known), version) if version is not None or paths.exists(known / "_delta_log") else None


def _delta(uri: str, version: int | str | None) -> Source:
    from dlops.data import tables

    table, _ = tables.read(uri, version)
    names = [field.name for field in table.schema().fields]
    reference = f"{uri}@{table.version()}"

    def chunks(_: OnReject) -> Iterator[Chunk]:
        row = 0
        for batch in tables.batches(table, names):
            columns = {name: rows.values(batch.column(name)) for name in names}
            if batch.num_rows:
                yield Chunk(reference, list(range(row + 1, row + batch.num_rows + 1)), columns)
            row += batch.num_rows

    origin = {"kind": "delta", "uri": uri, "version": str(table.version())}
    return Source(_name(uri.rstrip("/").rpartition("/")[2]), masking.url(reference), chunks, origin)
