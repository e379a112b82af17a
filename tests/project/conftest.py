"""A small project beside the caller's own folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.conftest import client, store  # noqa: F401 - fixtures

MLPROJECT = """
name: small
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2, minimum: 1}
      note: {type: str, default: ""}
      api_key: {type: str, default: ""}
      data: {type: path, default: data.csv}
    command: "python train.py {epochs} --note={note} {api_key} {data}"
"""


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project's folder; the working folder is another one."""
    folder, here = tmp_path / "small", tmp_path / "here"
    folder.mkdir()
    here.mkdir()
    (folder / "MLproject").write_text(MLPROJECT)
    (folder / "data.csv").write_text("text,label\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    return folder


@pytest.fixture
def contents(tmp_path: Path) -> Callable[[], dict[str, bytes]]:
    """Everything below the test's folder, to be compared before and after."""

    def listed() -> dict[str, bytes]:
        return {
            str(entry.relative_to(tmp_path)): entry.read_bytes() if entry.is_file() else b""
            for entry in sorted(tmp_path.rglob("*"))
        }

    return listed
