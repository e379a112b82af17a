"""A small project, its caller's shell, and one run that was really launched, to be looked at by many tests."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from dlops.cli import console
from dlops.cli.main import main
from dlops.registry import versions
from tests.conftest import Shell

MLPROJECT = """
name: small
entry_points:
  finetune:
    parameters:
      epochs: {type: int, default: 2, minimum: 1, description: Passes over the rows.}
      strategy: {type: str, default: freeze, choices: [freeze, no_freeze]}
      shuffle: {type: bool, default: true}
      note: {type: str, default: ""}
      api_key: {type: str, default: ""}
      config: {type: str, default: ""}
    command: "echo epochs={epochs} note={note} key={api_key} && printf '25%%\\\\r50%%\\\\r\\\\nünï\\\\n'"
  ingest:
    parameters:
      source: {type: location, description: What is read.}
    command: "true {source}"
"""


@pytest.fixture(autouse=True)
def _no_width_of_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep out the COLUMNS that pytest-xdist sets."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def shell(fresh_shell: Shell) -> Shell:
    """A shell in the folder of a small project; nothing is recorded there yet."""
    (fresh_shell.folder / "MLproject").write_text(MLPROJECT)
    fresh_shell.environ["GIT_CEILING_DIRECTORIES"] = str(fresh_shell.folder.parent)
    return fresh_shell


@pytest.fixture
def typed(shell: Shell, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Any]:
    """Type a command in that folder without a process of its own: many small mistakes in little time."""
    monkeypatch.chdir(shell.folder)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(shell.folder.parent))
    consoles = (console.out, console.err)

    def of(*words: object, exit_code: int = 0) -> tuple[str, str]:
        for made in consoles:
            made.cache_clear()
        monkeypatch.setattr(sys, "argv", ["dlops", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        assert (ended.value.code or 0) == exit_code, shown
        return shown.out, shown.err

    yield of
    for made in consoles:
        made.cache_clear()


@pytest.fixture
def listing(tmp_path: Path) -> Callable[[], set[str]]:
    """Everything below the test's folder, the user's own folders included."""
    return lambda: {str(entry.relative_to(tmp_path)) for entry in tmp_path.rglob("*")}


@pytest.fixture(scope="session")
def recorded(tmp_path_factory: pytest.TempPathFactory, initialised_store: Path) -> tuple[Path, dict[str, Any]]:
    """A folder with one finished run of a small project, and the document its launch printed."""
    folder = tmp_path_factory.mktemp("recorded")
    (folder / "MLproject").write_text(MLPROJECT)
    shutil.copy(initialised_store, folder / "mlflow.db")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "DLOPS_"))}
    done = subprocess.run(
        [*(sys.executable, "-m", "dlops.cli.main"), "finetune", "note=[red] ünï", "api_key=k-123456789", "--json"],
        cwd=folder,
        env={**environ, "DLOPS_HOME": str(folder / "home")},
        capture_output=True,
        text=True,
        check=True,
    )
    return folder, json.loads(done.stdout)


@pytest.fixture
def looking(recorded: tuple[Path, dict[str, Any]]) -> Shell:
    """A shell where that run was recorded; it is only looked at."""
    return Shell(recorded[0], {**os.environ, "DLOPS_HOME": str(recorded[0] / "home")})


@pytest.fixture
def films(shell: Shell, initialised_store: Path) -> MlflowClient:
    """A registered model called `films` with three versions, in the store of the small project's folder."""
    shutil.copy(initialised_store, shell.folder / "mlflow.db")
    client = MlflowClient(f"sqlite:///{shell.folder}/mlflow.db")
    client.create_registered_model("films")
    for number in range(3):
        tags = {f"{versions.METRIC}test_accuracy": f"0.8{number}"}
        client.create_model_version("films", source=f"s3://models/{number}", tags=tags)
    return client
