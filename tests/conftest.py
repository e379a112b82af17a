"""What tests share: folders of their own, a store that is initialised once, and the command as a real process."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests import processes

hypothesis.settings.register_profile("patient", deadline=None)  # how long an example takes is the machine's affair
hypothesis.settings.load_profile("patient")

REVIEWS = Path(__file__).parents[2] / "shared/data/imdb/reviews.csv"
"""Real reviews that lie beside the project on some machines."""

needs_reviews = pytest.mark.skipif(not REVIEWS.exists(), reason=f"the real reviews are not here: {REVIEWS}")


@dataclass
class Shell:
    """A user's shell in a folder: runs `dlops` (and other programs of this environment) as real processes."""

    folder: Path
    environ: dict[str, str]
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *words: object, **options: Any) -> subprocess.Popen[str]:
        """Start `dlops` with its output captured, in a session of its own, as a terminal would."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dlops.cli.main", *map(str, words)],
            cwd=self.folder,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        self.started.append(process)
        return process

    def run(self, *words: object, exit_code: int = 0, seconds: float = 240) -> subprocess.CompletedProcess[str]:
        """Run `dlops` to its end, for `seconds` at most, and hold its exit code to `exit_code`."""
        process = self.start(*words)
        out, err = process.communicate(timeout=seconds)
        assert process.returncode == exit_code, f"exit {process.returncode}\n--- stdout\n{out}\n--- stderr\n{err}"
        return subprocess.CompletedProcess(words, process.returncode, out, err)

    def json(self, *words: object, exit_code: int = 0, seconds: float = 240) -> Any:
        """Run `dlops … --json` and read its one document."""
        return json.loads(self.run(*words, "--json", exit_code=exit_code, seconds=seconds).stdout)

    @property
    def database(self) -> Path:
        return self.folder / "mlflow.db"

    def wait_for_run(self, status: str = "RUNNING", *, seconds: float = 60) -> str:
        """Wait until a run of this status is recorded, reading the database beside whoever writes it."""
        import sqlite3

        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            with sqlite3.connect(f"file:{self.database}?mode=ro", uri=True) as connection:
                try:
                    row = connection.execute("SELECT run_uuid FROM runs WHERE status = ?", [status]).fetchone()
                except sqlite3.OperationalError:
                    row = None
            connection.close()
            if row:
                return str(row[0])
            time.sleep(0.05)
        raise AssertionError(f"no run became {status} within {seconds} s")

    def statuses(self) -> list[str]:
        """List the status of every run recorded here."""
        import sqlite3

        if not self.database.exists():
            return []
        connection = sqlite3.connect(f"file:{self.database}?mode=ro", uri=True)
        try:
            return sorted(row[0] for row in connection.execute("SELECT status FROM runs"))
        finally:
            connection.close()

    def processes(self) -> dict[int, str]:
        """List whatever still runs that this shell, or anything below it, has started."""
        return processes.carrying("DLOPS_HOME", self.environ["DLOPS_HOME"])

    def left(self, seconds: float = 10.0) -> dict[int, str]:
        """List those of its processes that are still alive after so many seconds."""
        return processes.left("DLOPS_HOME", self.environ["DLOPS_HOME"], seconds)

    def close(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep every test out of the user's folders, and out of an outer run."""
    monkeypatch.setenv("DLOPS_HOME", str(tmp_path / "home"))
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "DLOPS_")) and name != "DLOPS_HOME":
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def initialised_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite store with its tables made, which takes seconds: to be copied."""
    folder = tmp_path_factory.mktemp("store")
    program = f"from dlops.worker import tracking; tracking.connect('sqlite:///{folder}/mlflow.db', '{folder}')"
    subprocess.run([sys.executable, "-c", program], check=True)
    return folder / "mlflow.db"


@pytest.fixture
def fresh_shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell in an empty folder; at the end no process may be left and no run may be open."""
    folder = tmp_path / "work"
    folder.mkdir()
    environ = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    environ.pop("COLUMNS", None)  # pytest-xdist sets it
    shell = Shell(folder, environ)
    yield shell
    shell.close()
    left = shell.left()
    for pid in left:
        os.kill(pid, signal.SIGKILL)
    assert not left, "processes were left behind"
    assert "RUNNING" not in shell.statuses(), "a run was left open"


@pytest.fixture
def shell(fresh_shell: Shell, initialised_store: Path) -> Shell:
    """A shell in a folder whose store is initialised already."""
    shutil.copy(initialised_store, fresh_shell.database)
    return fresh_shell


@pytest.fixture
def project(tmp_path: Path) -> Callable[..., Path]:
    """Write a project: `project(MLproject="…", **{"train.py": "…"})` gives its folder, by default the shell's."""

    def write(folder: Path | None = None, **files: str) -> Path:
        place = folder or tmp_path / "work"
        for name, text in files.items():
            file = place / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(textwrap.dedent(text))
        return place

    return write
