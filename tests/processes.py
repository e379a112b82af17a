"""Processes told by what stands in their environment, which whatever they start inherits."""

from __future__ import annotations

import os
import time
from pathlib import Path


def carrying(variable: str, value: str) -> dict[int, str]:
    """List the living processes, but this one, that have a variable of this value: number → command line."""
    mark = f"{variable}={value}".encode()
    found = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            marked = mark in (entry / "environ").read_bytes().split(b"\0")
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0] if marked else "Z"
            if state != "Z" and int(entry.name) != os.getpid():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found


def left(variable: str, value: str, seconds: float = 10.0) -> dict[int, str]:
    """List those that are still alive after so many seconds: what was told to end takes a moment to do so."""
    deadline = time.monotonic() + seconds
    while (found := carrying(variable, value)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return found
