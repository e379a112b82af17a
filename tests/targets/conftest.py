"""A project, a store, and a cluster that is this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dlops.targets.remote import Remote
from dlops.worker.job import Job
from tests.project.test_source import Repository
from tests.targets.here import Here
from tests.worker.conftest import client, store  # noqa: F401 - fixtures


@pytest.fixture
def far(tmp_path: Path) -> Iterator[Here]:
    """A cluster."""
    (tmp_path / "far").mkdir()
    cluster = Here(tmp_path / "far")
    yield cluster
    cluster.close()


@pytest.fixture
def target(far: Here, tmp_path: Path) -> Remote:
    """The target that is that cluster, and sees the folder of the tests' store."""
    return Remote(far, shared=("/shared", f"{tmp_path}/store"), variables={"OF_TARGET": "set there"})


@pytest.fixture
def job(tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:  # noqa: F811
    """Make a job of a tracked project."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    work = Repository(tmp_path / "project")
    work.commit(word="tracked", MLproject="")

    def make(command: str, **fields: Any) -> Job:
        texts = {"step": "finetune", "entry_point": "main", "target": "far", "experiment": "tests"}
        own = {"folder": str(work.folder), "tracking_uri": store, "lock_folder": str(tmp_path), "command": command}
        return Job(**{**texts, **own, **fields})

    return make
