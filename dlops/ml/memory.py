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


def is_exhausted(error: BaseException) -> bool:
    """Tell whether memory, of the machine or of a device, was not enough."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)
    )


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
