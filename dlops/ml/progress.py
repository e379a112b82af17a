"""How far a step has come: a file that the launcher draws a bar from, or a plain line now and then."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from dlops.config.terminal import visible
from dlops.ml import ranks

VARIABLE = "DLOPS_PROGRESS"
"""Environment variable naming the file that the launcher reads."""

_FILE_SECONDS = 0.2
_LINE_SECONDS = 10.0


_muted = False
"""Whether nobody is to hear of a part of the work, as somebody else tells of it."""


@contextmanager
def muted() -> Iterator[None]:
    """Tell nothing meanwhile, but by what was made before: the search tells of a trial, not the trial itself."""
    global _muted
    before, _muted = _muted, True
    try:
        yield
    finally:
        _muted = before


@ranks.first_only
def say(line: str) -> None:
    """Print one line of the step's story; what data put into it commands no terminal."""
    if not _muted:
        _print(line)


@ranks.first_only
def show(line: str) -> None:
    """Print a line with colours: its control characters are our own, as whoever made it took care of all others."""
    if not _muted:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()


def _print(line: str) -> None:
    sys.stdout.write(f"{visible(line)}\n")
    sys.stdout.flush()


class Progress:
    """Progress through `total` units, such as batches or rows."""

    def __init__(self, total: int, unit: str) -> None:
        self.total = total
        self.unit = unit
        self._file = Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None
        self._pause = _FILE_SECONDS if self._file else _LINE_SECONDS
        self._last = -self._pause if self._file else time.monotonic()
        self._muted = _muted

    @ranks.first_only
    def update(self, done: int, text: str = "", table: Sequence[Sequence[str]] = ()) -> None:
        """Tell that `done` units are done, unless it was told a moment ago; a file hears of the last one always.

        The rows of a `table`, the first of which is its heading, are shown where there is a terminal.
        """
        if self._muted:
            return
        now = time.monotonic()
        finished = done >= self.total and self._file is not None
        if now - self._last < self._pause and not finished:
            return
        self._last = now
        if self._file is None:
            _print(f"  {text or 'working'}, {done} of {self.total} {self.unit}")
        else:
            self._write(self._file, done, text, table)

    def _write(self, file: Path, done: int, text: str, table: Sequence[Sequence[str]]) -> None:
        """Write beside and rename: a reader never meets half a file."""
        beside = file.with_name(f"{file.name}.{os.getpid()}")
        document = {"done": done, "total": self.total, "unit": self.unit, "text": text}
        if table:
            document["table"] = table
        beside.write_text(json.dumps(document), encoding="utf-8")
        beside.replace(file)
