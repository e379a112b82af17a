"""The folder of a run's own."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from dlops.worker import scratch


@pytest.fixture(autouse=True)
def _temp(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_it_is_private_and_gone_afterwards(tmp_path):
    with scratch.made("abc") as folder:
        assert folder.stat().st_mode & 0o077 == 0
        (folder / "progress.json").write_text("{}")
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_worker_left_is_removed_by_name(tmp_path):
    Path(tmp_path, "dlops-abc").mkdir()
    Path(tmp_path, "dlops-other").mkdir()
    scratch.remove("abc")
    scratch.remove("abc")
    assert [folder.name for folder in tmp_path.iterdir()] == ["dlops-other"]
