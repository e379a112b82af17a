"""The log of a run in numbered pieces: artifacts cannot be appended to."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_FOLDER = "logs"
_ATTEMPT = f"{_FOLDER}/1"


def name(number: int) -> str:
    """Give the name of a piece, counted from 1."""
    return f"{_ATTEMPT}/{number:06d}.log"


def written(client: MlflowClient, run_id: str) -> list[str]:
    """List the pieces that are there, the first one first."""
    attempts = client.list_artifacts(run_id, _FOLDER)
    return sorted(file.path for attempt in attempts for file in client.list_artifacts(run_id, attempt.path))


def text(client: MlflowClient, run_id: str, piece: str) -> str:
    """Read a piece as it was printed: carriage returns stay."""
    with tempfile.TemporaryDirectory(prefix="dlops-") as folder:
        return Path(client.download_artifacts(run_id, piece, folder)).read_bytes().decode(errors="replace")
