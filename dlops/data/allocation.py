"""How freed memory is kept for the next array, where the C library can be told."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""`M_TRIM_THRESHOLD` and `M_MMAP_THRESHOLD` of glibc's malloc.h."""


def keep_freed(size: int = 1 << 30) -> None:
    """Let arrays of up to `size` bytes take the place of those before them, instead of pages that are new each time.

    Numpy makes and drops arrays of megabytes; a third of the time went into the kernel's clearing of their pages. Only
    glibc has this switch; elsewhere nothing happens.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):
        return
    mallopt(_MMAP_THRESHOLD, size)
    mallopt(_TRIM_THRESHOLD, size)
