"""Whether data that is named is still as it was: a digest of its content, or what its server calls its state."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from dlops.config import locations, paths
from dlops.data import buckets, digests, files, hub, web
from dlops.data.downloads import Remote, TryAgainError
from dlops.errors import DataError


def of_location(location: str) -> str:
    """Give the state of raw data (`dlops.data.sources.open`), of which nothing is downloaded; of a word, itself.

    Two that are equal are of the same data; the same data may have two, where it lies on two servers.

    Raises:
        DataError: it is not there, cannot be read, or its server does not tell one state from another.
        UsageError: the location is none.
    """
    if location.startswith(hub.PREFIX):
        return f"hub {hub.revision(hub.parse(location))} {location}"
    name, version = locations.versioned(location)
    folder = paths.absolute(name)
    if version is not None or paths.exists(folder / "_delta_log"):
        return of_table(name if "://" in name else str(folder), version)
    try:
        found = [state for part in files.split(location) for state in _of_part(part)]
    except OSError as error:
        raise DataError(f"{location} cannot be read: {error.strerror or error}.") from error
    return found[0] if len(found) == 1 else digests.of_all({str(number): state for number, state in enumerate(found)})


def of_table(uri: str, version: int | str | None = None) -> str:
    """Give the digest of a version of a table; of one that another program wrote, its id and number.

    Raises:
        DataError: there is none, or its rows were removed.
    """
    from dlops.data import tables

    table, description = tables.read(uri, version)
    return str(description.get("digest") or f"{table.metadata().id} {table.version()}")


def _of_part(part: str) -> Iterator[str]:
    if part.startswith("file:"):
        part = str(locations.path_of(part))
    if re.match(r"https?://", part, re.IGNORECASE):
        yield _of_remote(web.Page(part))
    elif "://" in part:
        yield from (_of_remote(item) for item in buckets.items(part, lambda _: True))
    else:
        path = paths.absolute(part)
        if paths.exists(path):
            yield digests.of_all(digests.of_folder(path)) if path.is_dir() else digests.of_file(path)
        elif set("*?[") & set(part):
            yield from (digests.of_file(found) for found in sorted(_matching(str(path))))
        else:
            yield part


def _matching(pattern: str) -> Iterator[Path]:
    import glob

    return (path for path in map(Path, glob.glob(pattern, recursive=True)) if path.is_file())  # noqa: PTH207


def _of_remote(remote: Remote) -> str:
    """Ask for what the server calls the state of a file, and read nothing of it."""
    try:
        with remote.ask("", 0) as answer:
            if answer.validator:
                return answer.validator
    except TryAgainError as error:
        raise DataError(f"The state of {remote.uri} cannot be asked for: {error}.") from error
    raise DataError(f"The server of {remote.uri} does not tell one state of it from another.")
