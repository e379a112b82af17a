"""Environment files as people have them."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from dlops.errors import ConfigError, UsageError
from dlops.project import environment

THIS = ".".join(map(str, sys.version_info[:2]))
AFTER = f"3.{sys.version_info[1] + 1}"
BEFORE = f"3.{sys.version_info[1] - 1}"


@pytest.fixture
def read(tmp_path):
    def of(text, name="conda.yaml"):
        (tmp_path / name).write_text(text)
        found = environment.requirements(tmp_path / name)
        return found.python, found.packages

    return of


@pytest.mark.parametrize(
    ("stated", "python"),
    [
        ("python", THIS),
        *[(stated, "3.10") for stated in ("python=3.10", "python==3.10", "python = 3.10", "python 3.10")],
        *[
            (stated, "3.10")
            for stated in ("python=3.10.*", "conda-forge::python=3.10", "python=3.10=hab00c5b_0_cpython")
        ],
        ("python=3.8.15", "3.8.15"),
        (f"python>={BEFORE}", THIS),
        (f"python>={BEFORE},<{AFTER}", THIS),
        ("python >=3.8,<4", THIS),
        ("python>=3.6", THIS),
        (f"python<={THIS}", THIS),
        (f"python!={BEFORE}", THIS),
        ("python~=3.8", THIS),
        (f"python>={AFTER}", AFTER),
        (f"python<{THIS},>=3.8", "3.8"),
        (f"python<={BEFORE}", BEFORE),
    ],
)
def test_the_python_of_a_conda_file(read, stated, python):
    assert read(f"dependencies:\n- '{stated}'\n") == (python, ())


def test_a_conda_file_as_mlflow_writes_it(read):
    text = """
name: mlflow-env
channels: [conda-forge]
dependencies:
- python=3.11.8
- pip<=24.0
- setuptools
- wheel=0.40
- pip:
  - mlflow==3.1
  - "torch>=2 ; python_version > '3.8'"
  - -r more.txt
"""
    packages = ("mlflow==3.1", "torch>=2 ; python_version > '3.8'", "-r more.txt")
    assert read(text) == ("3.11.8", packages)


@pytest.mark.parametrize("text", ["dependencies:\n- python\n- pip:\n", "name: x\n", "dependencies:\n", ""])
def test_a_file_may_ask_for_nothing(read, text):
    assert read(text) == (THIS, ())


@pytest.mark.parametrize(
    "package", ["numpy", "python-dateutil=2.8", "pip-tools", "cudatoolkit=11.8", "python_abi=3.10"]
)
def test_conda_packages_are_refused_by_name(read, package):
    with pytest.raises(ConfigError, match="not the conda packages") as caught:
        read(f"dependencies:\n- python=3.10\n- {package}\n- r-base\n")
    assert f"{package}, r-base" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "python", "packages"),
    [
        ('python: "3.10"\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n', "3.10", None),
        ("python: 3.10\ndependencies: [numpy]\n", "3.10", ("numpy",)),
        ("python: 3.8.15\nbuild_dependencies:\n- pip==23\n", "3.8.15", ("pip==23",)),
        ("dependencies: [numpy]\n", THIS, ("numpy",)),
        ("python:\ndependencies:\n", THIS, ()),
    ],
)
def test_python_env_files(read, text, python, packages):
    assert read(text, "python_env.yaml") == (
        python,
        packages or (() if packages == () else ("pip", "-r requirements.txt")),
    )


@pytest.mark.parametrize(
    "text", ["dependencies: numpy\n", "dependencies:\n- pip: numpy\n", "python: 3\nbuild_dependencies: {a: 1}\n"]
)
def test_what_is_no_list_is_told(read, text):
    with pytest.raises(ConfigError, match="must be a list"):
        read(text)


def test_problems_are_found_without_making_anything(tmp_path, monkeypatch):
    assert environment.problems("local", None) == []
    (tmp_path / "conda.yaml").write_text("dependencies: [numpy]\n")
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    found = environment.problems("uv", tmp_path / "conda.yaml")
    assert "pip install uv" in found[0]
    assert "numpy" in found[1]
    assert "there is none" in environment.problems("uv", None)[1]
    assert [entry.name for entry in tmp_path.iterdir()] == ["conda.yaml"]


def test_uv_is_found_beside_this_interpreter(tmp_path, monkeypatch):
    (tmp_path / "uv").write_text("#!/bin/sh\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    assert environment.uv_program() == str(tmp_path / "uv")


def test_this_interpreter_is_an_environment_with_a_lock():
    ready = environment.ready("local", None)
    assert ready.path == (str(Path(sys.executable).parent),)
    lines = ready.lock.splitlines()
    assert len(lines) == len(set(lines))
    assert any(line.startswith("pytest==") for line in lines)
    assert all(line.count("==") == 1 for line in lines)


def test_there_is_no_other_kind():
    with pytest.raises(UsageError, match="local, uv"):
        environment.ready("conda", None)


def test_what_uv_says_is_told_without_credentials(tmp_path, monkeypatch):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "uv").write_text("#!/bin/sh\necho 'cannot fetch https://me:secret-word@index/x' >&2; exit 2\n")
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    (tmp_path / "conda.yaml").write_text("dependencies: [python, {pip: [x]}]\n")
    with pytest.raises(ConfigError, match="uv pip compile failed") as caught:
        environment.ready("uv", tmp_path / "conda.yaml")
    assert "https://***@index/x" in str(caught.value)


@pytest.mark.parametrize("package", [".", "./lib", "-e lib", "-r requirements.txt"])
def test_the_same_words_in_another_folder_are_other_packages(tmp_path, monkeypatch, package):
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "uv").write_text(
        '#!/bin/sh\nif [ "$1" = pip ]; then pwd; else for last; do :; done; mkdir -p "$last"; fi\n'
    )
    (tools / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    locks = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "conda.yaml").write_text(f"dependencies: [python, {{pip: ['{package}']}}]\n")
        locks.append(environment.ready("uv", tmp_path / name / "conda.yaml").lock.strip())
    assert locks == [str(tmp_path / "one"), str(tmp_path / "two")]
