"""Memory that is exhausted: what torch and Python raise then, and what to do about it."""

from __future__ import annotations

import contextlib
import ctypes

from dlops.errors import StepFailed

_SAID = (
    *("out of memory", "can't allocate memory", "not enough memory", "unable to allocate", "bad_alloc"),
    "could not create a primitive",  # oneDNN's words, when it has none for its own needs
    "cublas_status_alloc_failed",
)
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What `mallopt` of GNU's C library calls the bytes from which on memory is given back, or is a mapping of its own."""
_KEPT = 1 << 30


def is_exhausted(error: BaseException) -> bool:
    """Tell whether memory, of the machine or of a device, was not enough."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)
    )


def keep() -> None:
    """Keep what is freed for what is asked for next, as in every step of a training: the system's pages come empty.

    To have each page emptied takes a third of a first step, and a twentieth of every other.
    """
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        system = ctypes.CDLL(None)
        for what in (_MMAP_THRESHOLD, _TRIM_THRESHOLD):
            system.mallopt(what, _KEPT)


def give_back() -> None:
    """Give the system back what was freed and is kept for later, so that what asks the system itself finds some."""
    import torch  # here, for steps without it ask whether memory was exhausted, too

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    with contextlib.suppress(AttributeError, OSError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)


def exhausted(what: str, error: BaseException) -> StepFailed:
    """Say that `what` needs more memory than there is, by which error that was known, and what needs less."""
    said = str(error).strip().split("\n")[0] or type(error).__name__
    return StepFailed(
        f"{what} needs more memory than there is ({said}).",
        hint="Less is needed with a smaller micro_tokens or max_length, strategy=freeze or lora, or a smaller model.",
    )
