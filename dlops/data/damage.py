"""What libraries raise at damaged files, and how it is told in a line."""

from __future__ import annotations

import csv
import struct
import tarfile
import zipfile
import zlib
from typing import Any

import pyarrow as pa

DAMAGE: Any = (
    *(OSError, EOFError, ValueError, OverflowError, MemoryError, RecursionError, struct.error),
    *(csv.Error, zlib.error, zipfile.BadZipFile, tarfile.TarError, NotImplementedError),
    # zipfile and tarfile do not check every number before they use it; zipfile says RuntimeError to a lock
    *(IndexError, KeyError, TypeError, AttributeError, RuntimeError, pa.ArrowException),
)
"""Errors that reading a damaged file may raise; a `DataError` is none of them, and passes."""


def told(error: BaseException) -> str:
    """Tell what is wrong with a file: the first line of what the library says, without its full stop."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    said = str(error).strip().split("\n")[0].rstrip(".")[:300]
    if isinstance(error, RecursionError):
        said = "nested too deeply"
    return said if said and not isinstance(error, KeyError | IndexError) else "its structure is broken"
