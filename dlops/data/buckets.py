"""Files of object stores and other file systems, through `fsspec`: `s3://…`, `gs://…`, `hf://…`."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from dlops.data.damage import told
from dlops.data.downloads import Answer, TryAgainError
from dlops.errors import DataError, UsageError
from dlops.worker import masking

_CONTENT = (
    "ETag",
    "etag",
    "md5Hash",
    "md5",
    "generation",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)
"""What file systems call the state of a file, in the order of what it is worth."""


class Item:
    """A file in a file system of `fsspec`."""

    def __init__(self, filesystem: Any, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        self.uri = filesystem.unstrip_protocol(path)
        self.name = path.rpartition("/")[2]

    @contextlib.contextmanager
    def ask(self, validator: str, offset: int) -> Iterator[Answer]:
        """Ask for the file unless it is in the state of `validator`; with an offset, for the rest of that state."""
        with _refused(self.uri):
            self._filesystem.invalidate_cache()
            state, size = str(self._filesystem.ukey(self._path)), self._filesystem.info(self._path).get("size")
            if state == validator and not offset:
                yield Answer(unchanged=True)
                return
            offset = offset if state == validator else 0
            with self._filesystem.open(self._path, "rb") as content:
                content.seek(offset)
                blocks = iter(partial(content.read, 1 << 20), b"")
                yield Answer(offset=offset, size=size, validator=state, blocks=blocks)


def items(uri: str, is_known: Callable[[str], bool]) -> list[Item]:
    """Find the files that a URI names: one, those that match a glob, or those of known kinds in a folder.

    Raises:
        DataError: nothing is there, it may not be read, or the driver is not installed.
        UsageError: there is no such scheme.
    """
    filesystem, path = _opened(uri)
    try:
        with _refused(uri):
            if set("*?[") & set(path) and not filesystem.exists(path):
                return _several(filesystem, filesystem.glob(path), uri, is_known)
            if filesystem.isdir(path):
                return _several(filesystem, filesystem.find(path), uri, is_known)
            return [Item(filesystem, path)]
    except TryAgainError as error:
        raise DataError(f"{masking.url(uri)} cannot be listed: {error}.") from error


def listed(uri: str) -> dict[str, tuple[int, str]]:
    """List a file, or all that are below a folder, by few requests: the size in bytes, and what tells the content.

    That is empty where a file system tells nothing of the kind; where there is no such file, the list is.

    Raises:
        DataError: it may not be read now, or the driver is not installed.
        UsageError: there is no such scheme.
    """
    filesystem, path = _opened(uri)
    try:
        with _refused(uri):
            filesystem.invalidate_cache()
            found = filesystem.find(path, detail=True)
    except TryAgainError as error:
        raise DataError(f"{masking.url(uri)} cannot be listed: {error}.") from error
    return {
        filesystem.unstrip_protocol(name): (
            int(info.get("size") or 0),
            next((str(info[key]) for key in _CONTENT if info.get(key)), ""),
        )
        for name, info in found.items()
    }


def _opened(uri: str) -> tuple[Any, str]:
    import fsspec

    try:
        filesystem, path = fsspec.core.url_to_fs(uri)
    except ImportError as error:
        raise DataError(f"{masking.url(uri)} needs a driver that is not installed.", hint=_install(uri)) from error
    except ValueError as error:
        raise UsageError(f"{masking.url(uri)} is no address that is known: {masking.url(told(error))}.") from error
    except Exception as error:
        raise DataError(f"{masking.url(uri)} cannot be opened: {masking.url(told(error))}.") from error
    return filesystem, path


def _several(filesystem: Any, names: list[str], uri: str, is_known: Callable[[str], bool]) -> list[Item]:
    known = [name for name in sorted(names) if is_known(name.rpartition("/")[2])]
    if not known:
        hint = "Name a file, a folder or a pattern."
        raise DataError(f"{masking.url(uri)} names no file of a known kind.", hint=hint)
    return [Item(filesystem, name) for name in known]


@contextlib.contextmanager
def _refused(uri: str) -> Iterator[None]:
    """Tell what cannot be from what may work the next time."""
    try:
        yield
    except (DataError, TryAgainError):
        raise
    except FileNotFoundError as error:
        raise DataError(f"{masking.url(uri)} does not exist.", hint="Is the address right?") from error
    except PermissionError as error:
        raise DataError(
            f"{masking.url(uri)} may not be read: {masking.url(told(error))}.", hint="Are the store's credentials set?"
        ) from error
    except Exception as error:
        raise TryAgainError(told(error)) from error


def _install(uri: str) -> str:
    from fsspec.registry import known_implementations

    known = known_implementations.get(uri.partition("://")[0], {})
    return f"pip install {known.get('class', '').partition('.')[0] or 'its fsspec driver'}"
