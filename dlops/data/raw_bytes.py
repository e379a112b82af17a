"""The bytes of Arrow texts all at once, as numpy and hashes take them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

Bytes: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
Places: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Hashes: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]


def of(texts: Any) -> tuple[Bytes, Places]:
    """Give the UTF-8 of all texts of an Arrow array (a missing one is empty), and where each begins and the last ends.

    Nothing is copied unless a text is missing.
    """
    filled = pc.fill_null(texts, "") if texts.null_count else texts
    large = pa.types.is_large_string(filled.type) or pa.types.is_large_binary(filled.type)
    bounds = np.frombuffer(filled.buffers()[1] or b"\0" * 8, np.int64 if large else np.int32)
    bounds = bounds[filled.offset : filled.offset + len(filled) + 1].astype(np.int64)
    data = np.frombuffer(filled.buffers()[2] or b"", np.uint8)
    return data[bounds[0] : bounds[-1]], bounds - bounds[0]


def count(bits: Any, bounds: Places) -> Places:
    """Count the bits that are set in each text: one bit a byte, as `packbits` gives them (a rank directory)."""
    packed = np.append(bits, np.uint8(0))
    before = np.concatenate([[0], np.cumsum(np.bitwise_count(packed), dtype=np.int64)])
    whole, left = bounds >> 3, (bounds & 7).astype(np.uint8)
    found: Places = np.diff(before[whole] + np.bitwise_count(packed[whole] >> (8 - left)))
    return found


def texts(data: Bytes, bounds: Places) -> Any:
    """Make an Arrow array of the bytes of all texts, given where each begins and the last ends."""
    return pa.StringArray.from_buffers(
        len(bounds) - 1, pa.py_buffer(bounds.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))
    )


def hashes(texts: Any, *, seed: int = 0) -> Hashes:
    """Give XXH3 (64 bits) of each text of an Arrow array: fast, but who wants to can make two texts of one hash."""
    data, bounds = of(texts)
    view, hashed = data.data, xxhash.xxh3_64_intdigest
    numbers = (hashed(view[start:end], seed) for start, end in pairwise(bounds.tolist()))
    return np.fromiter(numbers, np.uint64, len(bounds) - 1)


def hexadecimal(numbers: Hashes) -> Any:
    """Write each number as an Arrow text of 16 hexadecimal digits."""
    digits = numbers.astype(">u8").tobytes().hex().encode()
    return texts(np.frombuffer(digits, np.uint8), np.arange(0, len(digits) + 1, 16))
