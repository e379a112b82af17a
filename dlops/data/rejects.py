"""Rows that cannot be used: the end of the work, or a list with the reason of each."""

from __future__ import annotations

import contextlib
import json
import re
from collections import Counter
from types import TracebackType

from dlops.data import scratch
from dlops.data.rows import Reject
from dlops.errors import DataError

_HINT = "Mend the row, or let such rows go with the reason of each kept: on_error=reject."

_HINT_OF_FILES = (
    "Mend the file, or leave it out of source=; of several, on_error=reject leaves out what cannot be read."
)


class Rejects:
    """Takes rejects, as `rows.OnReject`; in memory there is never more than one."""

    def __init__(self, *, stop: bool, raw: bool = False) -> None:
        self._stop, self._raw = stop, raw
        self._stack = contextlib.ExitStack()
        self.file = self._stack.enter_context(scratch.folder()) / "rejects.jsonl"
        """One JSON object per reject: file, line and reason, and the row's beginning only with `raw`."""
        self.files: set[str] = set()
        """Those that could not be read, or not to the end: how many rows they had is not known."""
        self.reasons: Counter[str] = Counter()
        """How often each kind of reason was given; figures in it do not make another kind."""

    @property
    def count(self) -> int:
        """How many there are."""
        return self.reasons.total()

    def __enter__(self) -> Rejects:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def __call__(self, reject: Reject) -> None:
        """Keep a reject.

        Raises:
            DataError: rejects end the work.
        """
        if self._stop:
            place = f"{reject.file}:{reject.line}" if reject.line else reject.file
            raise DataError(f"{place}: {reject.reason}.", hint=_HINT if reject.line else _HINT_OF_FILES)
        if not reject.line:
            self.files.add(reject.file)
        self.reasons[re.sub(r"\d+", "#", reject.reason)[:200]] += 1
        entry = {"file": reject.file, "line": reject.line, "reason": reject.reason}
        with self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry | ({"row": reject.raw} if self._raw else {})) + "\n")
