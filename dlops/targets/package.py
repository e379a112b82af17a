"""What is sent to a target: the worker, its job, and the files of the project that Git tracks."""

from __future__ import annotations

import os
import subprocess
import tarfile
import zipfile
from pathlib import Path

import dlops
from dlops.config import git
from dlops.errors import UsageError
from dlops.worker import sealed
from dlops.worker.job import Job
from dlops.worker.remote import JOB, PROGRAM, PROJECT

_MAIN = """\
import sys

if sys.version_info < (3, 11):
    sys.exit(f"dlops needs Python 3.11 or later where jobs run; this is {sys.version}")

from dlops.worker.remote import main

main()
"""


def tracked(folder: Path) -> list[str]:
    """List the files below a folder that Git tracks, submodules included; what was deleted since is left out.

    Raises:
        UsageError: the folder is in no Git work tree, so that nobody knows which files belong to the project.
    """
    command = ["git", "-c", "core.quotePath=false", "ls-files", "-z", "--recurse-submodules", "--", "."]
    try:
        answer = subprocess.run(command, cwd=folder, env=git.environment(), capture_output=True, check=False)
    except OSError:
        answer = None
    if answer is None or answer.returncode:
        raise UsageError(
            f"{folder} is in no Git repository: only files that Git tracks are sent to a target.",
            hint="`git init`, and `git add` what belongs to the project.",
        )
    names = sorted({os.fsdecode(name) for name in answer.stdout.split(b"\0") if name})
    return [name for name in names if os.path.lexists(folder / name)]


def left_here(folder: Path) -> list[str]:
    """List the Python files that Git neither tracks nor ignores: the command may miss them elsewhere."""
    command = ["git", "-c", "core.quotePath=false", "ls-files", "-z", "--others", "--exclude-standard", "--", "*.py"]
    answer = subprocess.run(command, cwd=folder, env=git.environment(), capture_output=True, check=False)
    return sorted(os.fsdecode(name) for name in answer.stdout.split(b"\0") if name)


def problems(folder: Path) -> list[str]:
    """List what is wrong with sending a project's tracked files."""
    try:
        names = tracked(folder)
    except UsageError as error:
        return [f"{error} {error.hint}".strip()]
    if not any(name.lower() == "mlproject" for name in names):
        return [f"Git does not track the MLproject of {folder}, and only files that it tracks are sent: `git add` them"]
    return []


def pack(folder: Path, job: Job) -> str:
    """Write what a worker needs into an empty folder; give the key to its job."""
    key = sealed.new_key()
    if job.folder:
        _write_project(folder / PROJECT, Path(job.folder))
    _write_program(folder / PROGRAM)
    (folder / JOB).write_bytes(sealed.seal(job.to_json(), key))
    return key


def _write_project(archive: Path, project: Path) -> None:
    """Pack the tracked files as they lie there, changes included; links stay links, whoever owns them."""
    with tarfile.open(archive, "w:gz", compresslevel=6) as packed:
        for name in tracked(project):
            packed.add(project / name, arcname=name, recursive=False, filter=_nobodys)


def _nobodys(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def _write_program(archive: Path) -> None:
    """Pack the worker as a program: `python worker.pyz` needs nothing else of this package."""
    package = Path(dlops.__file__).parent
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.write(package / "__init__.py", "dlops/__init__.py")
        for file in sorted((package / "worker").glob("*.py")):
            packed.write(file, f"dlops/worker/{file.name}")
        packed.writestr("__main__.py", _MAIN)
