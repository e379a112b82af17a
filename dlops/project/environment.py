"""What a command runs in: this interpreter, or an environment that uv builds from the project's own file."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlops.config import folders, yaml
from dlops.errors import ConfigError, UsageError
from dlops.worker import installed, locks, masking

KINDS = ("local", "uv")
_ON_LINUX = ("--python-platform", "linux")
_CONDA_PYTHON = re.compile(r"(?:[\w-]+::)?python(?P<limits>|[\s=<>~!][\s\d.,*=<>~!]*(?:=\w+)?)")
_LIMIT = re.compile(r"(?P<sign>[=<>~!]=|[=<>]|)\s*(?P<version>\d[\d.]*\*?)")


@dataclass(frozen=True)
class Environment:
    """An environment that is ready: what is put before PATH, what is kept out, and its exact contents."""

    kind: str
    path: tuple[str, ...]
    unset: tuple[str, ...] = ()
    lock: str = ""
    """One `NAME==VERSION` a line."""
    packages: tuple[str, ...] = ()
    """What a target installs, where it is not this machine."""


@dataclass(frozen=True)
class Requirements:
    """What an environment file asks for."""

    file: Path
    python: str
    packages: tuple[str, ...]


def problems(kind: str, file: Path | None) -> list[str]:
    """List what would keep an environment from being made, without making anything."""
    if kind == "local":
        return []
    found = []
    if uv_program() is None:
        found.append("--env uv needs uv, which is not on PATH: `pip install uv`, or use --env local")
    if file is None:
        found.append("--env uv needs a conda.yaml or python_env.yaml in the project; there is none")
    else:
        try:
            requirements(file)
        except ConfigError as error:
            found += [error.message, *error.problems]
    return found


def ready(kind: str, file: Path | None, lock: str = "") -> Environment:
    """Give the environment, built first where it is not there yet. Takes minutes when packages must be fetched.

    `lock` holds the exact packages, where they are known already: one `NAME==VERSION` a line.

    Raises:
        ConfigError: the file cannot be used, or uv cannot resolve or install what it asks for.
        UsageError: no such kind of environment.
    """
    if kind == "local":
        return Environment("local", (str(Path(sys.executable).parent),), lock=installed.packages())
    if kind != "uv" or file is None:
        raise UsageError(f"There is no environment {kind!r}; there are {', '.join(KINDS)}.")
    wanted = requirements(file)
    lock = lock or _resolved(wanted)
    folder = _built(wanted, lock)
    return Environment("uv", (str(folder / "bin"),), unset=("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"), lock=lock)


def elsewhere(kind: str, file: Path | None, lock: str = "") -> Environment:
    """Give the environment that another machine is to make; of `local`, it says itself what it has.

    Raises:
        ConfigError: the file cannot be used, or uv cannot resolve what it asks for.
    """
    if kind == "local" or file is None:
        return Environment(kind, ())
    lock = lock or _resolved(requirements(file), *_ON_LINUX)
    return Environment(kind, (), lock=lock, packages=tuple(line for line in lock.splitlines() if line.strip()))


def lock_of(kind: str, file: Path | None, *, here: bool) -> str:
    """Give the exact contents of an environment, one `NAME==VERSION` a line, without making it.

    That of the target itself (`local`, elsewhere) is not known here: it is empty.

    Raises:
        ConfigError: the file cannot be used, or uv cannot resolve what it asks for.
    """
    if kind == "uv" and file is not None:
        wanted = requirements(file)
        return f"python=={wanted.python}\n{_resolved(wanted, *(() if here else _ON_LINUX))}"
    return f"python=={_this_python()}\n{installed.packages()}" if here else ""


def requirements(file: Path) -> Requirements:
    """Read `conda.yaml` or `python_env.yaml`.

    Raises:
        ConfigError: it asks for conda packages other than Python and pip, or is no such file.
    """
    values = yaml.load(file, as_text=True).values
    if "build_dependencies" in values or "python" in values or file.stem == "python_env":
        packages = [str(item) for name in ("build_dependencies", "dependencies") for item in _list(file, values, name)]
        return Requirements(file, str(values.get("python") or _this_python()), tuple(packages))
    return _conda(file, values)


def _list(file: Path, values: Mapping[str, Any], name: str) -> list[Any]:
    """Give a list of an environment file; one that is left out is empty.

    Raises:
        ConfigError: it is no list.
    """
    stated = values.get(name) or []
    if not isinstance(stated, list):
        raise ConfigError(f"{file}: {name} must be a list, not {stated!r}")
    return stated


def _conda(file: Path, values: Mapping[str, Any]) -> Requirements:
    python, packages, unusable = _this_python(), [], []
    for entry in _list(file, values, "dependencies"):
        if isinstance(entry, Mapping) and set(entry) == {"pip"}:
            packages += [str(item) for item in _list(file, entry, "pip")]
        elif match := _CONDA_PYTHON.fullmatch(str(entry)):
            python = _version(match["limits"], python)
        elif not re.match(r"(?:[\w-]+::)?(pip|setuptools|wheel)(?![\w\-])", str(entry)):
            unusable.append(str(entry))
    if unusable:
        raise ConfigError(
            f"{file}: --env uv installs Python and pip packages only, not the conda packages {', '.join(unusable)};"
            " list them below `- pip:` if PyPI has them, or use --env local in a conda environment of your own"
        )
    return Requirements(file, python, tuple(packages))


def _version(limits: str, this: str) -> str:
    """Choose a Python for conda's `=3.10`, ` 3.10` or `>=3.9,<3.13`: this one where it fits, else the first named."""
    named = [(limit["sign"], limit["version"].rstrip(".*")) for limit in _LIMIT.finditer(limits)]
    exact = [version for sign, version in named if sign in ("", "=", "==")]
    if exact:
        return exact[0]
    if all(_fits(_numbers(this), sign, _numbers(version)) for sign, version in named):
        return this
    return next((version for sign, version in named if sign in (">=", "~=", ">", "<=")), this)


def _fits(this: tuple[int, ...], sign: str, version: tuple[int, ...]) -> bool:
    wanted = version[:2]  # 3.11 stands for each 3.11.x
    if sign == "~=":
        return this >= wanted and this[:1] == wanted[:1]
    orders = {">=": this >= wanted, "<=": this <= wanted, "<": this < wanted, ">": this > wanted, "!=": this != wanted}
    return orders[sign]


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def _this_python() -> str:
    return platform.python_version().rpartition(".")[0]


def _resolved(wanted: Requirements, *options: str) -> str:
    """Resolve to exact versions once per text of the file; delete the cache to resolve anew."""
    text = "\n".join(wanted.packages) + "\n"
    named = [wanted.file.parent / part for line in wanted.packages for part in line.split() if part.endswith(".txt")]
    contents = [path.read_text() for path in named if path.is_file()]
    where = str(wanted.file.parent) if _is_local(text) else ""
    key = _digest(text, *contents, *options, wanted.python, platform.platform(), where)
    kept = folders.cache() / "locks" / f"{key}.txt"
    with locks.held(kept.with_suffix(".lock")):
        if not kept.exists():
            answer = _uv(
                wanted,
                "pip",
                "compile",
                "-",
                "--python-version",
                wanted.python,
                "-q",
                "--no-header",
                "--no-annotate",
                *options,
                given=text,
            )
            beside = kept.with_suffix(".new")
            beside.write_text(answer)
            beside.replace(kept)
        return kept.read_text()


def _built(wanted: Requirements, lock: str) -> Path:
    """Build beside and rename into place, under a lock: whoever comes second finds it whole."""
    place = folders.cache() / "envs" / _digest(lock, wanted.python, platform.machine())
    with locks.held(place.with_suffix(".lock")):
        if place.exists():
            return place
        with tempfile.TemporaryDirectory(dir=place.parent, prefix=".building-") as building:
            folder = Path(building) / "env"
            _uv(wanted, "venv", "-q", "--relocatable", "--python", wanted.python, str(folder))
            if lock.strip():
                install = ("pip", "install", "-q", "--python", str(folder / "bin/python"), "-r", "-")
                _uv(wanted, *install, given=lock)
            folder.rename(place)
    return place


def uv_program() -> str | None:
    """Find uv on PATH, or beside this interpreter, where `pip install uv` puts it."""
    return shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))


def _uv(wanted: Requirements, *arguments: str, given: str = "") -> str:
    environment = {**os.environ, "VIRTUAL_ENV": ""}
    command = [uv_program() or "uv", *arguments]
    answer = subprocess.run(
        command, cwd=wanted.file.parent, input=given, env=environment, capture_output=True, text=True, check=False
    )
    if answer.returncode:
        why = [masking.url(line.strip()) for line in answer.stderr.splitlines() if line.strip()]
        raise ConfigError(
            f"The environment of {wanted.file} could not be made: uv {' '.join(arguments[:2])} failed.",
            problems=why[-8:],
            hint="Mend the file, or use --env local to run in this interpreter.",
        )
    return answer.stdout


def _is_local(text: str) -> bool:
    """Say whether packages lie beside the file: then another folder's same words mean other packages."""
    return any(word.startswith((".", "-e", "--editable")) or word.endswith(".txt") for word in text.split())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:20]
