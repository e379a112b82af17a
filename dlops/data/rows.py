"""Rows as they were read, and the ones that could not be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

Values: TypeAlias = Any
"""Values of a column: an Arrow array of texts (`pyarrow.StringArray`), or a list of Python values of any kind."""


@dataclass(frozen=True)
class Chunk:
    """Some thousand rows as they were read, about 4 MB of text at most: equally long columns."""

    file: str
    """As users know it; a member of an archive is `ARCHIVE:MEMBER`."""
    lines: list[int]
    """Line of a text file, or row of a binary one, counted from 1."""
    columns: dict[str, Values]
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


def values(column: Any) -> Values:
    """Give an Arrow array as the values of a chunk: texts stay in Arrow, all else becomes Python values.

    Raises:
        ArrowInvalid: a text is no UTF-8.
    """
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)):
        return column.to_pylist()
    texts = column.cast(pa.string())
    texts.validate(full=True)
    return texts


def distinct(found: Values) -> tuple[Any, list[Any]]:
    """Give the different values of a column, and for each row the place of its own among them, in a numpy array."""
    if isinstance(found, pa.Array):
        coded = found.dictionary_encode("encode")
        return coded.indices.to_numpy(), coded.dictionary.to_pylist()
    places: dict[Any, int] = {}
    different: list[Any] = []
    for value in found:
        key = _key(value)
        if key not in places:
            places[key] = len(different)
            different.append(value)
    return np.array([places[_key(value)] for value in found], np.int64), different


def _key(value: Any) -> Any:
    """Tell 1 from 1.0 and True, and compare what has no hash by how it is written."""
    return type(value), repr(value) if isinstance(value, list | dict) else value
