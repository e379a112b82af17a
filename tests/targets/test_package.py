"""What leaves this machine: the files that Git tracks, as they lie there, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile

import pytest

from dlops.errors import UsageError
from dlops.targets import package
from dlops.worker.job import Job
from tests.project.test_source import Repository


@pytest.fixture
def work(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    repository = Repository(tmp_path / "repository")
    repository.commit(**{"a.py": "1", "sub/b ü.py": "2", "gone": "3", ".gitignore": "*.csv\n.env\n"})
    return repository


def job(folder):
    texts = ("step", "entry_point", "target", "command", "tracking_uri", "experiment")
    return Job(**dict.fromkeys(texts, "hunter2-secret"), folder=str(folder))


def test_tracked_files_as_they_are_and_no_others(work, tmp_path):
    work.write("a.py", "changed")
    work.write("untracked.py", "x")
    work.write(".env", "TOKEN=1")
    work.write("data.csv", "x")
    (work.folder / "gone").unlink()
    (work.folder / "link").symlink_to("a.py")
    (work.folder / "run.sh").write_text("#!/bin/sh")
    (work.folder / "run.sh").chmod(0o755)
    work("add", "link", "run.sh")
    (tmp_path / "sent").mkdir()
    package.pack(tmp_path / "sent", job(work.folder))
    assert sorted(file.name for file in (tmp_path / "sent").iterdir()) == ["job.sealed", "project.tar.gz", "worker.pyz"]
    with tarfile.open(tmp_path / "sent/project.tar.gz") as archive:
        assert archive.getnames() == [".gitignore", "a.py", "link", "run.sh", "sub/b ü.py"]
        archive.extractall(tmp_path / "out", filter="data")
        assert {entry.uname for entry in archive} == {""}
    assert (tmp_path / "out/a.py").read_text() == "changed"
    assert (tmp_path / "out/link").readlink().name == "a.py"
    assert os.access(tmp_path / "out/run.sh", os.X_OK)
    for file in (tmp_path / "sent").iterdir():
        assert b"hunter2-secret" not in file.read_bytes()


def test_python_files_that_are_neither_tracked_nor_ignored_are_told(work):
    assert package.left_here(work.folder) == []
    work.write(".gitignore", "ignored.py\n")
    for name in ("mine.py", "ignored.py", "sub/ü.py", "data.txt"):
        work.write(name, "x")
    assert package.left_here(work.folder) == ["mine.py", "sub/ü.py"]


def test_of_a_folder_in_a_repository_what_is_below_it(work):
    assert package.tracked(work.folder / "sub") == ["b ü.py"]


def test_submodules_are_part_of_it(work, tmp_path):
    other = Repository(tmp_path / "other")
    other.commit(inner="x")
    work("submodule", "--quiet", "add", str(other.folder), "lib")
    assert {"lib/inner", ".gitmodules"} <= set(package.tracked(work.folder))


def test_without_git_nobody_knows_what_belongs_to_it(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(UsageError, match="is in no Git repository: only files that Git tracks are sent"):
        package.tracked(tmp_path)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UsageError, match="is in no Git repository"):
        package.tracked(tmp_path)


def test_the_program_holds_the_worker_and_needs_no_more_of_us(work, tmp_path):
    (tmp_path / "sent").mkdir()
    package.pack(tmp_path / "sent", job(work.folder))
    with zipfile.ZipFile(tmp_path / "sent/worker.pyz") as program:
        names = set(program.namelist())
    assert {"__main__.py", "dlops/__init__.py", "dlops/worker/supervisor.py", "dlops/worker/guard.py"} <= names
    assert all(name == "__main__.py" or name.startswith(("dlops/__init__", "dlops/worker/")) for name in names)
    program = (
        "import sys; sys.path.insert(0, 'worker.pyz'); import dlops.worker.remote as remote; print(remote.__file__)"
    )
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", program], cwd=tmp_path / "sent", capture_output=True, text=True
    )
    assert "worker.pyz" in done.stdout, done.stderr


def test_what_nobody_tracks_is_no_project(work, tmp_path, monkeypatch):
    assert "Git does not track the MLproject" in package.problems(work.folder)[0]
    work.write("MLproject", "name: x\n")
    assert "Git does not track the MLproject" in package.problems(work.folder)[0]
    work("add", "MLproject")
    assert package.problems(work.folder) == []
    other = Repository(tmp_path / "other")
    other.commit(x="1")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    assert package.problems(work.folder) == [], "a hook of another repository started this"
