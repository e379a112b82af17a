"""Memory that is exhausted: what torch and Python raise then, and what to do about it."""

from __future__ import annotations

from dlops.errors import StepFailed

_SAID = ("out of memory", "can't allocate memory", "not enough memory", "unable to allocate")


def is_exhausted(error: BaseException) -> bool:
    """Tell whether memory, of the machine or of a device, was not enough."""
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAID)
    )


def exhausted(what: str) -> StepFailed:
    """Say that `what` needs more memory than there is, and what needs less."""
    return StepFailed(
        f"{what} needs more memory than there is.",
        hint="Less is needed with a smaller micro_tokens or max_length, strategy=freeze or lora, or a smaller model.",
    )
