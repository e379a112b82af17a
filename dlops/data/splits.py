"""Which split a row belongs to: a hash of seed and identity decides, so that adding data never moves a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from dlops.data import raw_bytes
from dlops.errors import UsageError

NAMES = ("train", "val", "test")
NEEDED = ("train", "test")
"""Those without which nothing can be trained and judged; rows without labels need to be trained on only."""


def check(shares: Sequence[float], *, needed: Sequence[str] = NEEDED) -> None:
    """Refuse shares that are no split.

    Raises:
        UsageError: not three shares, none for one of the splits that are `needed`, or a sum other than 1.
    """
    problems = []
    if len(shares) != len(NAMES):
        problems.append(f"there are {len(shares)} shares, not one each for {', '.join(NAMES)}")
    elif any(share <= 0 for name, share in zip(NAMES, shares, strict=True) if name in needed):
        problems.append(f"the share{'s'[: len(needed) != 1]} of {' and '.join(needed)} must be above 0")
    if abs(sum(shares) - 1) > 1e-6:
        problems.append(f"the shares add up to {sum(shares):g}, not to 1")
    if problems:
        raise UsageError("'splits' is wrong.", problems=problems, hint="Write for example splits=0.7,0.1,0.2.")


def assign(text: str, shares: Sequence[float], seed: int) -> str:
    """Give the split of a text, or of a group: a number in [0, 1) made of seed and identity, laid on the shares."""
    return str(dealt(pa.array([identity(text)]), shares, seed)[0])


def dealt(identities: Any, shares: Sequence[float], seed: int) -> Any:
    """Give the split of each identity, as an Arrow array for an Arrow array."""
    places = raw_bytes.hashes(identities, seed=seed) / 2.0**64
    ends = [shares[0], shares[0] + shares[1]]
    return pa.array(NAMES).take(pa.array(np.searchsorted(ends, places, side="right")))


def identity(text: str) -> str:
    """Give a row's id: 16 hexadecimal digits of a hash of its text, the same in every version of every table."""
    return xxhash.xxh3_64_hexdigest(text.encode())


_OWN = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev"), "val"),
    **dict.fromkeys(("test", "testing", "eval", "evaluation"), "test"),
}


def own(value: object) -> str:
    """Give the split that a source's own column names, such as `validation` or `dev` for `val`.

    Raises:
        ValueError: the value names none.
    """
    name = _OWN.get(str(value).strip().lower())
    if name is None:
        raise ValueError(f"{str(value)[:40]!r} names no split; known are {', '.join(_OWN)}")
    return name
