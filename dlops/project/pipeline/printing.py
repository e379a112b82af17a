"""What a pipeline prints: each line after the name of its step, and no line of one within that of another."""

from __future__ import annotations

import sys
from collections.abc import Collection

OWN, THEIRS = "▸", "│"
"""Stand before what is said of a step, and before what it prints itself."""


class Printer:
    """Prints on standard output."""

    def __init__(self, names: Collection[str]) -> None:
        self._width = max(map(len, names))
        self._unfinished: dict[str, str] = {}

    def say(self, name: str, text: str, mark: str = OWN) -> None:
        """Print something about a step."""
        for line in text.splitlines() or [""]:
            sys.stdout.write(f"{name:{self._width}} {mark} {line}\n")
        sys.stdout.flush()

    def add(self, name: str, text: str) -> None:
        """Print what a step prints, as far as its lines are whole."""
        *lines, rest = (self._unfinished.pop(name, "") + text).split("\n")
        self._unfinished[name] = rest
        for line in lines:
            self.say(name, line, THEIRS)

    def flush(self, name: str) -> None:
        """Print the last line of a step that has ended, whole or not."""
        if rest := self._unfinished.pop(name, ""):
            self.say(name, rest, THEIRS)
