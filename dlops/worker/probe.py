"""What a job would find where this runs: asked for before money is spent, answered in lines of JSON."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator

from dlops.worker import tracking
from dlops.worker.job import Job

OPENING = "dlops-probe "
"""What a line of an answer begins with: a cluster prints lines of its own."""
_ROOM = 2 * 1024**3

Answer = tuple[str, str, str]
"""What was looked at, `ok`, `note` or `problem`, and what was found."""


def answer(job: Job) -> None:
    """Print what is found."""
    for found in _found(job):
        sys.stdout.write(f"{OPENING}{json.dumps(found)}\n")
        sys.stdout.flush()


def answers(printed: str) -> list[Answer]:
    """Read what was printed."""
    lines = [line.removeprefix(OPENING) for line in printed.splitlines() if line.startswith(OPENING)]
    return [(str(name), str(state), str(text)) for name, state, text in map(json.loads, lines)]


def _found(job: Job) -> Iterator[Answer]:
    yield "there: Python", "ok", f"{platform.python_version()} at {sys.executable} on {platform.node()}"
    yield "there: processor", "ok", f"{os.cpu_count()} cores, {_gpus()}"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    yield "there: disk", "ok" if free > _ROOM else "problem", f"{free / 1024**3:.1f} GiB free"
    try:
        client = tracking.connect(job.tracking_uri)
        tracking.patiently(lambda: client.search_experiments(max_results=1), seconds=10)
        yield "there: tracking store", "ok", "answers"
    except tracking.Unreachable as error:
        yield "there: tracking store", "problem", f"a job could not record anything: {error}"


def _gpus() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return "no GPU"
    done = subprocess.run(
        [program, "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False
    )
    return ", ".join(done.stdout.split("\n")).strip(", ") or "no GPU"
