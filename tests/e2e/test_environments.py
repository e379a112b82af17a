"""Environments that uv builds from a project's own file: isolated, built once, recorded exactly."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlops.project import environment

pytestmark = [
    pytest.mark.skipif(environment.uv_program() is None, reason="uv is not installed"),
    pytest.mark.timeout(280),
]
CONDA = """
name: tiny
channels: [conda-forge]
dependencies:
  - python=3.11
  - pip
  - pip:
      - six==1.16.0
"""
SHOWS = {
    "MLproject": json.dumps(
        {"name": "shows", "conda_env": "conda.yaml", "entry_points": {"ingest": {"command": "python shows.py"}}}
    ),
    "conda.yaml": CONDA,
    "shows.py": """
        import importlib.util, six, sys
        print("six", six.__version__, "mlflow", importlib.util.find_spec("mlflow"), sys.prefix)
        """,
}


def test_two_launches_at_once_share_one_environment_that_is_built_whole(shell, project):
    project(**SHOWS)
    launches = [shell.start("ingest", "--env", "uv", "--json") for _ in range(2)]
    for launch in launches:
        _, err = launch.communicate(timeout=250)
        assert launch.returncode == 0, err
        assert "six 1.16.0 mlflow None" in err
    home = shell.folder.parent / "home"
    built = [entry for entry in (home / "cache/envs").iterdir() if entry.is_dir()]
    assert len(built) == 1
    locks = [file.read_text().splitlines() for file in shell.folder.rglob("environment.lock")]
    assert locks == [["six==1.16.0"], ["six==1.16.0"]]


def test_python_env_files_are_understood(shell, project):
    files = {
        **SHOWS,
        "MLproject": SHOWS["MLproject"].replace("conda_env", "python_env").replace("conda.yaml", "env.yaml"),
    }
    files["env.yaml"] = 'python: "3.11"\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n'
    files["requirements.txt"] = "six==1.16.0\n"
    project(**files)
    assert "six 1.16.0" in shell.run("ingest", "--env", "uv").stderr


@pytest.mark.parametrize(
    ("dependencies", "said"),
    [
        ("[python=3.11, cudatoolkit=11.8, {pip: [six]}]", "cudatoolkit=11.8"),
        ("[python=3.11, {pip: ['six==999']}]", "six==999"),
    ],
)
def test_what_cannot_be_built_is_said_before_any_run_exists(shell, project, dependencies, said):
    project(**{**SHOWS, "conda.yaml": f"dependencies: {dependencies}\n"})
    error = shell.json("ingest", "--env", "uv", exit_code=2)["error"]
    assert said in error["message"]
    assert shell.statuses() == []


def test_a_missing_uv_is_said_before_any_run_exists(shell, project):
    """uv is looked for on PATH and beside the interpreter, so both are a folder that has none."""
    project(**SHOWS)
    bare = shell.folder / "bin"
    bare.mkdir()
    for program in ("git", "bash"):
        bare.joinpath(program).symlink_to(shutil.which(program) or "/bin/false")
    python = bare / "python"
    python.symlink_to(Path(sys.executable).resolve())
    importable = [str(Path(__file__).parents[2]), *(entry for entry in sys.path if entry.endswith("-packages"))]
    environ = {**shell.environ, "PATH": str(bare), "PYTHONPATH": os.pathsep.join(importable)}
    command = [python, "-m", "dlops.cli.main", "ingest", "--env", "uv", "--json"]
    done = subprocess.run(command, cwd=shell.folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "uv, which is not on PATH" in json.loads(done.stdout)["error"]["message"]
    assert shell.statuses() == []
