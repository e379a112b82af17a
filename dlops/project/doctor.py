"""What this machine and this project have, checked one by one, before anything is launched."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from dlops.config import folders, processor
from dlops.errors import DlopsError
from dlops.project import environment, plan, preflight, source, spec
from dlops.steps import STEPS
from dlops.targets.interface import Target

_PACKAGES = ("mlflow", "torch", "pytorch-lightning", "transformers", "deltalake", "typer")
_ROOM = 2 * 1024**3
"""Bytes: a fine-tuned base model, its checkpoints and a dataset."""


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    state: str
    """`ok`, `note` (works, with less) or `problem`."""
    text: str


def examine(uri: str, tracking_uri: str, target: Target) -> Iterator[Finding]:
    """Check Python, packages, tools, processor, disk, project, store and target, giving each as it is known."""
    version = platform.python_version()
    yield Finding(
        "Python", "ok" if (3, 11) <= sys.version_info < (3, 14) else "problem", f"{version} at {sys.executable}"
    )
    yield from map(_package, _PACKAGES)
    yield _tool("git", "commits are not recorded without it", shutil.which("git"))
    yield _tool("uv", "--env uv needs it", environment.uv_program())
    yield _processor()
    yield _disk(folders.data())
    yield _explained("project", lambda: _project(uri))
    yield _explained("tracking store", lambda: _store(tracking_uri))  # it moves to the store's folder
    yield from (Finding(*found) for found in target.examine(tracking_uri))


def _package(name: str) -> Finding:
    try:
        return Finding(name, "ok", metadata.version(name))
    except metadata.PackageNotFoundError:
        return Finding(name, "problem", f"is not installed: pip install {name}")


def _tool(name: str, without: str, place: str | None) -> Finding:
    return Finding(name, "ok", place) if place else Finding(name, "note", f"is not on PATH: {without}")


def _processor() -> Finding:
    """Tell cores, and whether bf16 is in the hardware: without it, bf16 is many times slower than float32."""
    gpu = "NVIDIA GPU" if shutil.which("nvidia-smi") else "no GPU"
    bf16 = "bf16 in hardware" if processor.has_bf16() else "no bf16 in hardware: training in float32"
    return Finding("processor", "ok", f"{os.cpu_count()} cores, {bf16}, {gpu}")


def _disk(folder: Path) -> Finding:
    place = next(part for part in (folder, *folder.parents) if part.exists())
    free = shutil.disk_usage(place).free
    return Finding("disk", "ok" if free > _ROOM else "problem", f"{free / 1024**3:.1f} GiB free for {folder}")


def _store(uri: str) -> str:
    from dlops.project.runs import Runs
    from dlops.worker import masking, tracking

    if problems := preflight.tracking_store(uri):
        raise DlopsError(problems[0])
    database = tracking.sqlite_file(uri)
    if database and not database.exists():
        return f"{uri} is made by the first launch"
    count = len(Runs(uri).recent(1000))
    return f"{masking.url(uri)} answers; {count} {'run' if count == 1 else 'runs'} of dlops in it"


def _project(uri: str) -> str:
    found = source.of(uri)
    project = spec.load(found.folder)
    for step in STEPS:
        if step.name in project.entry_points:
            plan.make(plan.Request(step=step.name, uri=uri, complete=False))
    if project.environment_file and not project.docker:
        environment.requirements(project.environment_file)
    return f"{project.name or found.folder.name}: {', '.join(project.entry_points)}"


def _explained(name: str, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, "ok", check())
    except DlopsError as error:
        return Finding(name, "problem", f"{error} {error.hint}".strip())
