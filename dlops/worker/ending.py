"""How a command ended, in words that can be trusted: status, exit code, and its own last error."""

from __future__ import annotations

import signal
from dataclasses import dataclass

_LINES = 30


@dataclass(frozen=True)
class Ending:
    """The truth about a finished command."""

    status: str
    """FINISHED, FAILED or KILLED, as MLflow knows them."""
    exit_code: int
    """As a shell gives it: 128 and the signal's number for a command that a signal ended."""
    error: str = ""


def ending(returncode: int, output: str, *, stopped: str = "") -> Ending:
    """Judge a return code (negative: a signal) together with the end of what was printed.

    `stopped` says who asked the command to end; then the run was killed, whatever the command made of it.
    """
    exit_code = returncode if returncode >= 0 else 128 - returncode
    if stopped:
        return Ending("KILLED", exit_code, stopped)
    if returncode == 0:
        return Ending("FINISHED", 0)
    if returncode < 0:
        return Ending("FAILED", exit_code, _by_signal(-returncode, output))
    if exit_code == 127:
        return Ending(
            "FAILED", 127, f"{last_error(output)}\nThe command was not found in this environment (exit 127).".strip()
        )
    return Ending("FAILED", exit_code, last_error(output) or f"exit {exit_code}, and nothing was printed")


def last_error(output: str) -> str:
    """Find the last error a command printed: its last traceback, else its last `error:`, else its last lines."""
    lines = output.rstrip().splitlines()
    for opening in ("Traceback (most recent call last):", "error:", "Error:"):
        starts = [number for number, line in enumerate(lines) if line.lstrip().startswith(opening)]
        if starts:
            found = lines[starts[-1] :]
            return "\n".join(found if len(found) <= _LINES else [found[0], "  …", *found[-_LINES:]])
    return "\n".join([line for line in lines if line.strip()][-10:])


def _by_signal(number: int, output: str) -> str:
    known = {known.value: known.name for known in signal.Signals}
    name = known.get(number, f"signal {number}")
    why = " (often: out of memory)" if name == "SIGKILL" else ""
    return f"{last_error(output)}\nThe command was ended by {name}{why}.".strip()
