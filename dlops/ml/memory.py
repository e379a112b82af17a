"""Memory that is exhausted: what torch and Python raise then, and what to do about it."""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Mapping
from typing import Any

from dlops.errors import StepFailed

_SAID = (
    *("out of memory", "can't allocate memory", "not enough memory", "unable to allocate", "bad_alloc"),
    (_NO_CODE := "could not create a primitive"),  # oneDNN's words, when it has none for the code that it writes
    "cublas_status_alloc_failed",
)
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3
"""What `mallopt` of GNU's C library calls the bytes from which on memory is given back, those that are asked for beyond
what is needed, and those from which on memory is a mapping of its own."""
_KEPT = {_TRIM_THRESHOLD: 1 << 30, _MMAP_THRESHOLD: 1 << 30, _TOP_PAD: 64 << 20}
"""The last is the size of a thread's heap: none that is empty is given back while there is another of less."""
_USUAL = dict.fromkeys(_KEPT, 128 << 10)


def is_exhausted(error: BaseException) -> bool:
    """Tell whether memory, of the machine or of a device, was not enough."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)
    )


def keep() -> None:
    """Keep what is freed for what is asked for next, as in every step of a training: the system's pages come empty.

    To have each page emptied takes a third of a first step, and a twentieth of every other.
    """
    _tell_library(_KEPT)


def give_back() -> None:
    """Give the system back what was freed and is kept for later, and from now on as soon as it is freed.

    What asks the system itself, as oneDNN does for the code that it writes, would find nothing.
    """
    import torch  # here, for steps without it ask whether memory was exhausted, too

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    _tell_library(_USUAL)
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def do_without_code(error: BaseException) -> bool:
    """Compute without oneDNN from here on, if it was what found no memory; tell whether it was.

    The library beneath it keeps an error for the rest of the thread, so that all it would write later fails as well.
    """
    import torch

    library: Any = torch.backends.mkldnn  # torch has no types for what can be set there
    if failed := _NO_CODE in str(error):
        library.enabled = False
    return failed


def exhausted(what: str, error: BaseException) -> StepFailed:
    """Say that `what` needs more memory than there is, by which error that was known, and what needs less."""
    said = str(error).strip().split("\n")[0] or type(error).__name__
    return StepFailed(
        f"{what} needs more memory than there is ({said}).",
        hint="Less is needed with a smaller micro_tokens or max_length, strategy=freeze or lora, or a smaller model.",
    )


def _tell_library(settings: Mapping[int, int]) -> None:
    """Set what decides which memory the C library keeps."""
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        system = ctypes.CDLL(None)
        for what, size in settings.items():
            system.mallopt(what, size)
