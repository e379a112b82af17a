"""Whether what a finished run has given is still there, as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlops.config import locations
from dlops.data import buckets, digests
from dlops.errors import DataError, UsageError
from dlops.worker import tracking

if TYPE_CHECKING:
    from mlflow import MlflowClient

ARTIFACT = "outputs.json"
Files = dict[str, list[Any]]
"""Place of a file → its size in bytes, and its digest where it lies on this machine."""
_LOGGED = re.compile(r"models:/(?P<id>m-[^/@]+)")
_VERSION = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>\d+)")
_ARTIFACT = re.compile(r"runs:/(?P<run>[^/]+)/(?P<path>.+)")
_IN_A_BUCKET = re.compile(r"(?!https?:|runs:|models:|mlflow-artifacts:|dbfs:)[a-z][a-z0-9+.\-]*://")
_PATIENCE = 10.0


class GoneError(Exception):
    """An output is not there any more."""


class UnaskedError(Exception):
    """Whoever keeps an output cannot be asked from here, or now."""


def manifest(client: MlflowClient, outputs: Mapping[str, str]) -> dict[str, Files]:
    """List the files of each output that has some, as a finished run has left them.

    Raises:
        GoneError: one is missing already.
        Unreachable: the store does not answer.
    """
    found = {}
    for name, value in outputs.items():
        with suppress(UnaskedError):
            found[name] = dict(_files(client, value))
    return {name: files for name, files in found.items() if files}


def damage(client: MlflowClient, outputs: Mapping[str, str], kept: Mapping[str, Files]) -> str:
    """Say what is wrong with outputs, compared with their manifest; nothing where all is as it was.

    Raises:
        Unreachable: the store does not answer.
    """
    for name, value in outputs.items():
        try:
            now = dict(_files(client, value))
        except GoneError as error:
            return f"its {name} is gone: {error}"
        except UnaskedError:  # which is no sign of damage
            continue
        for place, (size, digest) in kept.get(name, {}).items():
            there = now.get(place)
            if there is None:
                return f"its {name} is damaged: {place} is missing"
            if there[0] != size or (digest and there[1] and there[1] != digest):
                return f"its {name} is damaged: {place} is another"
    return ""


def read(text: str) -> dict[str, Files]:
    """Read a manifest's JSON; one that is no such thing says nothing."""
    try:
        held = json.loads(text)
        return {str(name): {str(place): list(entry) for place, entry in files.items()} for name, files in held.items()}
    except (ValueError, AttributeError, TypeError):
        return {}


def _files(client: MlflowClient, value: str) -> Iterator[tuple[str, list[Any]]]:
    """Give the files of an output; of a text that names none, nothing.

    Raises:
        GoneError, UnaskedError, Unreachable: as they say.
    """
    if match := _LOGGED.fullmatch(value):
        model_id = match["id"]
        model = _found(lambda: client.get_logged_model(model_id), value)
        yield from _of_artifacts(
            model.artifact_location, lambda path: client.list_logged_model_artifacts(model_id, path), value
        )
    elif match := _VERSION.fullmatch(value):
        name, version = match["name"], match["version"]
        _found(lambda: client.get_model_version(name, version), value)
    elif match := _ARTIFACT.fullmatch(value):
        run_id, path = match["run"], match["path"]
        run = _found(lambda: client.get_run(run_id), value)
        yield from _of_artifacts(
            f"{run.info.artifact_uri}/{path}", lambda below: client.list_artifacts(run_id, below or path), value
        )
    elif locations.versioned(value)[1] is not None:
        yield from _of_table(value)
    elif value.startswith(("/", "file:")):
        yield from _of_place(_local(value) or Path(value), value)
    elif _IN_A_BUCKET.match(value):
        yield from _of_bucket(value)


def _of_artifacts(place: str, listed: Callable[[str | None], Any], value: str) -> Iterator[tuple[str, list[Any]]]:
    local = _local(place)
    if local is not None:
        yield from _of_place(local, value)
        return
    found = False
    for path, size in _walked(listed, None):
        found = True
        yield path, [size, ""]
    if not found and "." not in place.rpartition("/")[2]:  # a single file is not listed
        raise GoneError(f"{value} has no files")


def _walked(listed: Callable[[str | None], Any], path: str | None) -> Iterator[tuple[str, int]]:
    for file in tracking.patiently(lambda: listed(path), seconds=_PATIENCE):
        if file.is_dir:
            yield from _walked(listed, file.path)
        else:
            yield file.path, int(file.file_size or 0)


def _of_place(place: Path, value: str) -> Iterator[tuple[str, list[Any]]]:
    if not place.exists():
        raise GoneError(f"{value} is not there")
    try:
        for file in sorted(place.rglob("*")) if place.is_dir() else [place]:
            if file.is_file():
                name = file.relative_to(place).as_posix() if file != place else place.name
                yield name, [file.stat().st_size, digests.of_file(file)]
    except OSError as error:
        raise GoneError(f"{value} cannot be read: {error.strerror or error}") from error


def _of_table(value: str) -> Iterator[tuple[str, list[Any]]]:
    from dlops.data import tables

    uri, version = locations.versioned(value)
    try:
        table, _ = tables.read(uri, version)
    except DataError as error:
        raise GoneError(error.message.rstrip(".")) from error
    folder = tables.local(uri)
    for name, size in tables.files(table).items():
        if folder is None:
            yield name, [size, ""]
        else:
            yield from ((name, entry) for _, entry in _of_place(folder / name, value))


def _of_bucket(value: str) -> Iterator[tuple[str, list[Any]]]:
    try:
        found = buckets.listed(value)
    except DataError as error:
        raise UnaskedError(error.message) from error
    except UsageError:  # the address of something else
        return
    yield from ((place, [*entry]) for place, entry in found.items())


def _found(call: Callable[[], Any], value: str) -> Any:
    """Ask the store for something.

    Raises:
        GoneError: it has none.
        Unreachable: it does not answer.
    """
    try:
        return tracking.patiently(call, seconds=_PATIENCE)
    except tracking.Unreachable as error:
        if getattr(error.__cause__, "error_code", "") in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise GoneError(f"{value} was deleted") from error
        raise


def _local(place: str) -> Path | None:
    """Give the folder that a location is, where it is one of this machine."""
    if place.startswith("file:"):
        return locations.path_of(place)
    return Path(place) if place.startswith("/") else None
