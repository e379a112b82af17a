"""A tracking client for a worker whose Python has none: installed beside it, for it alone."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

from dlops.worker import locks

_PLACE: list[str] = []


def ready(requirement: str) -> None:
    """Have MLflow: this Python's own, else `requirement` (`mlflow-skinny==VERSION`), fetched once a machine.

    It is on this process's path only: a command's environment stays as it is.

    Raises:
        RuntimeError: it can neither be imported nor installed.
    """
    if importlib.util.find_spec("mlflow"):
        return
    folder = _cache() / f"{requirement.replace('==', '-')}-{sys.implementation.cache_tag}-{platform.machine()}"
    with locks.held(folder.with_suffix(".lock")):
        if not folder.exists():
            _install(requirement, folder)
    sys.path.insert(1, str(folder))
    _PLACE.append(str(folder))


def place() -> str:
    """Give the folder that the client was installed in; empty where this Python has its own."""
    return _PLACE[-1] if _PLACE else ""


def _install(requirement: str, place: Path) -> None:
    """Install beside and rename into place: whoever comes second finds it whole."""
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".installing-") as folder:
        new = Path(folder) / "client"
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        done = subprocess.run(
            [*command, "--target", str(new), requirement], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(
                f"The worker needs {requirement}, which is not here and could not be installed:"
                f" {done.stderr.strip()[-2000:]}"
            )
        new.rename(place)


def _cache() -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.environ.get("HOME") or tempfile.gettempdir()) / ".cache"
    return Path(home) / "dlops" / "worker"
