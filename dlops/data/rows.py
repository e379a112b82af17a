"""Rows as they were read, and the ones that could not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias


@dataclass(frozen=True)
class Chunk:
    """Some thousand rows as they were read, about 4 MB of text at most: equally long columns."""

    file: str
    """As users know it; a member of an archive is `ARCHIVE:MEMBER`."""
    lines: list[int]
    """Line of a text file, or row of a binary one, counted from 1."""
    columns: dict[str, list[Any]]
    """Raw values by column; `None` is a value that is missing."""
    position: int = 0
    """Bytes of the source that were read so far; 0 where that is not known."""


@dataclass(frozen=True)
class Reject:
    """A row that cannot be used, and why."""

    file: str
    line: int
    reason: str
    raw: str = ""
    """The row's beginning, 200 characters at most."""


OnReject: TypeAlias = Callable[[Reject], None]
"""Takes a reject: raises where one ends the work, keeps it where the rest goes on."""
