"""Workers of this machine that are ready before a step is: importing a tracking client takes longer than most else."""

from __future__ import annotations

from contextlib import ExitStack

from dlops.targets.local import Local


class Spare:
    """One worker that waits for the next step that runs here."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._next: Local | None = None

    def prepare(self) -> None:
        """Start one, unless one waits already."""
        if self._next is None:
            self._next = Local()
            self._stack.enter_context(self._next.ahead())

    def take(self) -> Local:
        """Give the one that waits, or one that is still to be started."""
        taken, self._next = self._next or Local(), None
        return taken

    def close(self) -> None:
        """End the one that nobody needs."""
        self._stack.close()
