"""Folders that several processes may use at once, and that the last one to use them removes."""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Self


class Hold:
    """This process's part in a folder: as long as anyone has one, the folder stays.

    The system lets go of it when the process dies; the folder is then removed by whoever uses it, or its
    neighbours, next.
    """

    def __init__(self, folder: Path) -> None:
        """Take part in `folder`, which need not be there yet; waits while somebody removes it."""
        self.folder = folder
        self._number = _locked(_lock(folder), fcntl.LOCK_SH)

    @property
    def ready(self) -> bool:
        """Whether the folder was said to be whole."""
        return os.fstat(self._number).st_size > 0

    def say_ready(self) -> None:
        """Say that the folder is whole: until then, whoever meets it makes it anew."""
        os.pwrite(self._number, b"ready", 0)

    def release(self) -> None:
        """Let go, and remove the folder where nobody else has a part in it."""
        if self._number < 0:
            return
        number, self._number = self._number, -1
        try:
            fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return  # another one goes on using it
        else:
            _removed(self.folder, number)
        finally:
            os.close(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def remove_unused(parent: Path) -> None:
    """Remove the folders in `parent` that nobody has a part in: those of processes that were killed."""
    for lock in parent.glob(".*.lock"):
        folder = parent / lock.name.removeprefix(".").removesuffix(".lock")
        try:
            number = _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB, make=False)
        except OSError:
            continue
        try:
            _removed(folder, number)
        finally:
            os.close(number)


def _lock(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.lock")


def _locked(file: Path, how: int, *, make: bool = True) -> int:
    """Lock the file of this name: one that was removed meanwhile holds nobody off, so another try is made."""
    while True:
        file.parent.mkdir(parents=True, exist_ok=True)
        number = os.open(file, os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0), 0o600)
        try:
            fcntl.flock(number, how)
            if _is_at(number, file):
                return number
        except BaseException:
            os.close(number)
            raise
        os.close(number)


def _is_at(number: int, file: Path) -> bool:
    try:
        there = file.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(number), there)


def _removed(folder: Path, number: int) -> None:
    """Remove a folder that is locked against all others, and its lock with it, as the last thing."""
    os.ftruncate(number, 0)  # should this be broken off, the rest is not taken for the whole
    shutil.rmtree(folder, ignore_errors=True)
    _lock(folder).unlink(missing_ok=True)
