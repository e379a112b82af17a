"""`MLproject`, the contract: which entry points a project has, and what each takes."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlops.config import yaml
from dlops.config.parameters import Parameter, known_type, suggestion
from dlops.errors import ConfigError, UsageError

_ENVIRONMENTS = ("conda_env", "python_env", "docker_env")
_SCRIPTS = {".py": "python", ".sh": "bash"}
_PLACEHOLDER = re.compile(r"\$\{(?!\{)[^}]*\}|\{\{|\}\}|\{(?P<name>[A-Za-z_][\w\-]*)\}")


@dataclass(frozen=True)
class EntryPoint:
    """One thing a project can run."""

    name: str
    command: str
    parameters: tuple[Parameter, ...] = ()
    ahead: tuple[str, ...] = ()
    """Modules that its command may find imported; stock MLflow knows nothing of that, and does without."""
    outputs: tuple[str, ...] | None = None
    """Names of what it answers with; `None` where the file does not say."""
    depends: tuple[str, ...] | None = None
    """Globs of the project's files that its results rest on; `None` where the file does not say."""
    cache: bool = True
    """Whether its results may be taken again where nothing has changed."""

    def unknown_placeholders(self) -> list[str]:
        """List the `{names}` in the command that no parameter fills; `${HOME}` is the shell's own affair."""
        names = {parameter.name for parameter in self.parameters}
        found = [match["name"] for match in _PLACEHOLDER.finditer(self.command) if match["name"]]
        return sorted({name for name in found if name not in names})

    def fill(self, values: Mapping[str, str]) -> str:
        """Put shell-quoted values into the command; as in a format string, `{{` and `}}` are single braces."""

        def filled(match: re.Match[str]) -> str:
            text = match.group()
            if text in ("{{", "}}"):
                return text[0]
            return values[match["name"]] if match["name"] else text

        return _PLACEHOLDER.sub(filled, self.command)


@dataclass(frozen=True)
class Project:
    """What an MLproject file says."""

    folder: Path
    name: str = ""
    environment_file: Path | None = None
    """`conda.yaml` or `python_env.yaml`, absolute."""
    docker: bool = False
    entry_points: Mapping[str, EntryPoint] = field(default_factory=dict)

    def entry_point(self, name: str) -> EntryPoint:
        """Find an entry point by name; a script of the project (`.py`, `.sh`) is one too, as for stock MLflow.

        Raises:
            UsageError: the project has none of that name.
        """
        if name in self.entry_points:
            return self.entry_points[name]
        script = Path(name)
        if script.suffix in _SCRIPTS and (self.folder / script).is_file():
            quoted = shlex.quote(script.as_posix()).replace("{", "{{").replace("}", "}}")
            return EntryPoint(name, f"{_SCRIPTS[script.suffix]} {quoted}")
        known = ", ".join(self.entry_points) or "none"
        raise UsageError(
            f"{self.folder} has no entry point {name!r}{suggestion(name, self.entry_points)}",
            hint=f"It has: {known}. Name one with --entry-point, or map it under entry_points: in configs/dlops.yaml.",
        )


def load(folder: Path) -> Project:
    """Read the MLproject of a folder; the case of its name does not matter, as for stock MLflow.

    Raises:
        ConfigError: there is none, or what it says cannot be used; with file, line and field, all at once.
    """
    file = next(
        (entry for entry in sorted(folder.iterdir()) if entry.name.lower() == "mlproject" and entry.is_file()), None
    )
    if file is None:
        raise ConfigError(
            f"{folder} has no MLproject file.", hint="Go to a project's folder, or name one with --uri FOLDER."
        )
    document = yaml.load(file)
    problems: list[str] = []
    environment, docker = _environment(document, folder, problems)
    entry_points = {}
    for name, body in (_mapping(document.values.get("entry_points"), f"{file}: entry_points", problems)).items():
        entry_points[str(name)] = _entry_point(str(name), body, f"{file}: entry point {name!r}", problems)
    if problems:
        raise ConfigError(f"{file} cannot be used.", problems=problems)
    return Project(folder, str(document.values.get("name") or ""), environment, docker, entry_points)


def _environment(document: yaml.Document, folder: Path, problems: list[str]) -> tuple[Path | None, bool]:
    stated = [name for name in _ENVIRONMENTS if document.values.get(name)]
    if len(stated) > 1:
        problems.append(f"{document.path}: names more than one environment: {', '.join(stated)}")
    for name in stated:
        if name == "docker_env":
            return None, True
        file = folder / str(document.values[name])
        if not file.is_file():
            problems.append(f"{document.where(name)}: {name} names {file.name!r}, and there is no such file")
        return file, False
    return next((folder / name for name in ("python_env.yaml", "conda.yaml") if (folder / name).is_file()), None), False


def _entry_point(name: str, body: Any, where: str, problems: list[str]) -> EntryPoint:
    fields = _mapping(body, where, problems)
    command = fields.get("command")
    if not isinstance(command, str) or not command.strip():
        problems.append(f"{where}: needs a command")
        command = ""
    stated = _mapping(fields.get("parameters"), f"{where}: parameters", problems)
    parameters = tuple(_parameter(str(key), value, where, problems) for key, value in stated.items())
    cache = fields.get("cache", True)
    if not isinstance(cache, bool):
        problems.append(f"{where}: cache is true or false, not {cache!r}")
    entry_point = EntryPoint(
        name,
        command,
        parameters,
        ahead=_texts(fields, "ahead", "modules", where, problems) or (),
        outputs=_texts(fields, "outputs", "names", where, problems),
        depends=_texts(fields, "depends", "globs", where, problems),
        cache=cache is not False,
    )
    problems += [
        f"{where}: its command uses {{{unknown}}}, which is no parameter of it; {{{{{unknown}}}}} keeps the braces"
        for unknown in entry_point.unknown_placeholders()
    ]
    return entry_point


def _texts(fields: Mapping[Any, Any], name: str, what: str, where: str, problems: list[str]) -> tuple[str, ...] | None:
    """Read a list of texts; `None` where it is left out."""
    stated = fields.get(name)
    if stated is None:
        return None
    if not isinstance(stated, list) or not all(isinstance(text, str) for text in stated):
        problems.append(f"{where}: {name} is a list of {what}, not {stated!r}")
        return None
    return tuple(stated)


def _parameter(name: str, body: Any, where: str, problems: list[str]) -> Parameter:
    fields: Mapping[Any, Any] = (
        {"type": body} if isinstance(body, str) else _mapping(body, f"{where}: parameter {name!r}", problems)
    )
    default = fields.get("default")
    kind = known_type(fields.get("type", "str"))
    if kind == "str" and isinstance(default, list | dict):
        default = str(default)  # as stock MLflow passes it on
    parameter = Parameter(
        name=name,
        type=kind,
        default="" if default == "" else None,
        description=" ".join(str(fields.get("description") or "").split()),
        choices=_choices(fields, f"{where}: parameter {name!r}", problems),
        minimum=_limit(fields, "minimum", f"{where}: parameter {name!r}", problems),
        maximum=_limit(fields, "maximum", f"{where}: parameter {name!r}", problems),
    )
    if default in (None, ""):
        return parameter
    try:
        return Parameter(**{**vars(parameter), "default": parameter.canonical(default)})
    except ValueError as error:
        problems.append(f"{where}: parameter {name!r}: its default {error}")
        return parameter


def _choices(fields: Mapping[Any, Any], where: str, problems: list[str]) -> tuple[str, ...]:
    stated = fields.get("choices") or []
    if not isinstance(stated, list):
        problems.append(f"{where}: its choices must be a list, not {stated!r}")
        return ()
    return tuple(str(choice) for choice in stated)


def _limit(fields: Mapping[Any, Any], name: str, where: str, problems: list[str]) -> float | None:
    stated = fields.get(name)
    if stated is None or (isinstance(stated, int | float) and not isinstance(stated, bool)):
        return stated
    problems.append(f"{where}: its {name} must be a number, not {stated!r}")
    return None


def _mapping(value: Any, where: str, problems: list[str]) -> Mapping[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        problems.append(f"{where}: must hold KEY: VALUE lines, not {value!r}")
        return {}
    return value
