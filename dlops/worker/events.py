"""What a worker tells whoever follows it: one JSON object a line, appended to its standard output.

started   run_id, experiment_id            the run exists, the command is about to start
output    text                             what the command printed, secrets masked
progress  done, total, unit, text          how far the step says it is
warning   text                             the record is behind, or something could not be logged
failed    kind, message, hint              the job could not start: there is no run
ended     status, exit_code, error, gate, params, metrics, outputs, duration_s
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from typing import Any


class Events:
    """A writer of events to a file descriptor; safe from several threads, never blocks on a reader."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def emit(self, event: str, **values: Any) -> None:
        """Append one event. A reader that is gone, or a full disk, must not end the work."""
        self.write(json.dumps({"event": event, **values}).encode() + b"\n")

    def write(self, data: bytes) -> None:
        """Append data in one piece."""
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._descriptor, data) :]
