"""A worker whose Python has no MLflow gets one, for itself alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dlops.worker import client

PIP = """
import pathlib, sys
words = sys.argv[1:]
assert words[:2] == ["install", "--quiet"], words
target = pathlib.Path(words[words.index("--target") + 1])
if words[-1] == "mlflow-skinny==0": sys.exit("no such version")
(target / "mlflow").mkdir(parents=True)
(target / "mlflow/__init__.py").write_text("given = True")
open("asked", "a").write(words[-1] + " ")
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """Run a program in a Python without packages, whose pip is a stand-in that notes what it is asked for."""
    (tmp_path / "bare/pip").mkdir(parents=True)
    (tmp_path / "bare/pip/__main__.py").write_text(PIP)
    (tmp_path / "bare/pip/__init__.py").touch()

    def run(program):
        place = str(tmp_path / "bare")
        first = f"import sys; sys.path.insert(0, {client.__file__.rpartition('/dlops/')[0]!r}); "
        return subprocess.run(
            [sys.executable, "-S", "-c", first + program],
            cwd=tmp_path,
            env={"PYTHONPATH": place, "XDG_CACHE_HOME": str(tmp_path / "cache"), "PATH": ""},
            capture_output=True,
            text=True,
        )

    return run


def test_it_is_installed_once_and_found(bare, tmp_path):
    program = "from dlops.worker import client; client.ready('mlflow-skinny==9'); import mlflow; print(mlflow.given)"
    for _ in range(2):
        done = bare(program)
        assert done.stdout == "True\n", done.stderr
    assert (tmp_path / "asked").read_text() == "mlflow-skinny==9 "


def test_what_cannot_be_installed_is_told(bare, tmp_path):
    done = bare("from dlops.worker import client; client.ready('mlflow-skinny==0')")
    assert done.returncode != 0
    assert "needs mlflow-skinny==0, which is not here and could not be installed: no such version" in done.stderr
    assert list((tmp_path / "cache/dlops/worker").glob("mlflow*[!k]")) == []


def test_what_is_there_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    before = list(sys.path)
    client.ready("mlflow-skinny==0")
    assert sys.path == before
    assert not (tmp_path / "cache").exists()
