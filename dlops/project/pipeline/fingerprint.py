"""What the results of a step rest on, as one digest; and the first thing in which two of them differ."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from dlops.config import git, locations
from dlops.data import digests
from dlops.errors import ConfigError
from dlops.project.pipeline.definition import FILE as PIPELINE
from dlops.targets.configured import FILE as TARGETS

TAG, OWN = "dlops.fingerprint", "dlops.fingerprint.own"
"""Tags of a step's run: of all that it rests on, and of what no other step gives."""
ARTIFACT = "fingerprint.json"
DEFAULT = ("**/*.py", "configs/**", "conda.yaml", "python_env.yaml", "requirements*.txt")
"""What a step depends on that does not say so; of MLproject, its own entry point counts in any case."""
_TESTS = ("tests/**", "**/test_*.py", "**/*_test.py", "**/conftest.py")
_NOT_BY_DEFAULT = (*_TESTS, "**/.*", "**/.*/**", f"configs/{TARGETS}", str(PIPELINE))
_HIDDEN = ("__pycache__", "node_modules", "mlruns", "mlartifacts")
_LONG = 60


@dataclass(frozen=True)
class Input:
    """Something that a parameter points to."""

    name: str
    state: str
    """The same whenever it is the same, whatever it is called."""


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """All that a step's results rest on."""

    entry_point: str
    """Its name and its command, as MLproject has them."""
    files: Mapping[str, str]
    """Digests of the project's files, by their place."""
    parameters: Mapping[str, str]
    """Canonical, and masked; those that point to something are among the inputs."""
    inputs: Mapping[str, Input] = field(default_factory=dict)
    environment: Sequence[str] = ()
    """Exact packages, `NAME==VERSION`."""
    uncertain: str = ""
    """Why nobody can say that all inputs are as they were: such a step is not taken from the cache."""

    @cached_property
    def digest(self) -> str:
        return self.without(())

    def without(self, names: Collection[str]) -> str:
        """Give the digest of all but some parameters."""
        held = [
            self.entry_point,
            dict(sorted(self.files.items())),
            {name: value for name, value in sorted(self.parameters.items()) if name not in names},
            {name: known.state for name, known in sorted(self.inputs.items()) if name not in names},
            sorted(self.environment),
        ]
        return hashlib.sha256(json.dumps(held, ensure_ascii=False).encode()).hexdigest()

    def document(self) -> dict[str, Any]:
        """Give it as JSON holds it."""
        return {
            "entry_point": self.entry_point,
            "parameters": dict(self.parameters),
            "inputs": {name: {"name": known.name, "state": known.state} for name, known in self.inputs.items()},
            "files": dict(self.files),
            "environment": list(self.environment),
        }


def read(text: str) -> Ingredients | None:
    """Read what `document` gave; `None` where it is something else."""
    try:
        held = json.loads(text)
        return Ingredients(
            entry_point=str(held["entry_point"]),
            files=dict(held["files"]),
            parameters=dict(held["parameters"]),
            inputs={name: Input(known["name"], known["state"]) for name, known in held["inputs"].items()},
            environment=tuple(held["environment"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return None


def difference(before: Ingredients, now: Ingredients, *, unknown: Collection[str] = ()) -> str:
    """Name the first thing that is another; parameters that are `unknown` yet are not looked at. Empty: nothing is."""
    for name in sorted({*before.inputs, *now.inputs} - set(unknown)):
        then, here = before.inputs.get(name), now.inputs.get(name)
        if then and here and then.state != here.state:
            return f"{name} {_change(then.name, here.name)}"
    for name in sorted({*before.parameters, *now.parameters, *before.inputs, *now.inputs} - set(unknown)):
        old, new = _value(before, name), _value(now, name)
        if old != new and not (name in before.inputs and name in now.inputs):
            return f"{name} {_short(old)} → {_short(new)}"
    if before.entry_point != now.entry_point:
        return "its command in MLproject changed"
    for file in sorted({*before.files, *now.files}):
        if before.files.get(file) != now.files.get(file):
            done = "changed" if file in before.files and file in now.files else "came" if file in now.files else "went"
            return f"`{file}` {done}"
    return _packages(before.environment, now.environment)


def project_files(folder: Path, globs: Sequence[str] | None, own: Collection[str] = ()) -> dict[str, str]:
    """Give the digests of a project's files that match, by their place in it.

    Without globs, what a step depends on by default, but for tests, and for files that other values are read from:
    the pipeline, targets, the configurations of steps (`own` names those).
    """
    names = _listed(folder) if globs is None else _matching(folder, globs)
    chosen = names
    if globs is None:
        wanted = re.compile("|".join(map(_as_expression, DEFAULT)))
        chosen = [name for name in names if wanted.fullmatch(name)]
        left_out = re.compile("|".join(map(_as_expression, [*_NOT_BY_DEFAULT, *own])))
        chosen = [name for name in chosen if not left_out.fullmatch(name)]
    return {name: digests.of_file(folder / name) for name in chosen if (folder / name).is_file()}


def _listed(folder: Path) -> list[str]:
    """List the project's files: those that Git tracks or would track, else all that are not hidden."""
    command = ["git", "-c", "core.quotePath=false", "ls-files", "-z", "-co", "--exclude-standard", "--", "."]
    try:
        answer = subprocess.run(command, cwd=folder, env=git.environment(), capture_output=True, check=False)
    except OSError:
        answer = None
    names = [os.fsdecode(name) for name in answer.stdout.split(b"\0") if name] if answer else []
    if answer and answer.returncode == 0 and names:
        inner = [name.rstrip("/") for name in names if (folder / name).is_dir()]  # submodules, and links to folders
        return sorted({*names, *(f"{name}/{file}" for name in inner for file in _walked(folder / name))})
    return sorted(_walked(folder))


def _walked(folder: Path) -> Iterator[str]:
    """Give the files below a folder that are neither hidden nor a program's."""
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not _is_left_out(here / name)]
        yield from ((here / name).relative_to(folder).as_posix() for name in files if not name.startswith("."))


def _matching(folder: Path, globs: Sequence[str]) -> list[str]:
    """List the files that globs name, whatever Git thinks of them; a folder stands for all that is in it.

    Raises:
        ConfigError: one matches nothing.
    """
    found: set[Path] = set()
    for glob in globs:
        try:
            matches = list(folder.glob(glob.rstrip("/")))
        except (ValueError, NotImplementedError) as error:
            raise ConfigError(f"depends: {glob!r} is no pattern of files in the project: {error}") from error
        if not matches:
            raise ConfigError(f"depends: {glob!r} matches no file of {folder}.")
        for match in matches:
            found.update(match.rglob("*") if match.is_dir() else [match])
    return sorted(path.relative_to(folder).as_posix() for path in found if "__pycache__" not in path.parts)


def _is_left_out(folder: Path) -> bool:
    """Say whether a folder is hidden, or made by a program: an environment, a cache, a store's artifacts."""
    return folder.name.startswith(".") or folder.name in _HIDDEN or (folder / "pyvenv.cfg").exists()


def _as_expression(glob: str) -> str:
    """Turn a glob into a regular expression: `*` stays in a folder, `**` does not."""
    parts = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(parts.get(part) or re.escape(part) for part in re.split(r"(\*\*/|\*\*|\*|\?)", glob) if part)


def _value(held: Ingredients, name: str) -> str:
    return held.inputs[name].name if name in held.inputs else held.parameters.get(name, "")


def _change(then: str, here: str) -> str:
    """Say how an input differs; of two versions of a table, their numbers alone."""
    (table, old), (other, new) = locations.versioned(then), locations.versioned(here)
    if then == here:
        return f"{_short(here)} has another content"
    if table == other and old is not None and new is not None:
        return f"v{old} → v{new}"
    return f"{_short(then)} → {_short(here)}"


def _short(text: str) -> str:
    return (text if len(text) <= _LONG else f"…{text[1 - _LONG :]}") or "(none)"


def _packages(before: Sequence[str], now: Sequence[str]) -> str:
    then, here = (dict(line.partition("==")[::2] for line in lines if line) for lines in (before, now))
    for name in sorted({*then, *here}):
        if then.get(name) != here.get(name):
            return f"package {name} {then.get(name) or '(none)'} → {here.get(name) or '(none)'}"
    return ""
