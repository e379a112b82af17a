"""The layers of a run's parameters, weakest first, and every problem in them at once.

MLproject default, the project's `configs/STEP.yaml`, each `-c FILE`, environment `DLOPS_STEP_KEY`, the command line.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlops.config import paths, yaml
from dlops.config.parameters import Parameter, suggestion
from dlops.errors import ConfigError, UsageError

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.\-]*:")


@dataclass(frozen=True)
class Setting:
    """A parameter's value and where it came from."""

    parameter: Parameter
    value: str
    layer: str

    @property
    def is_uri(self) -> bool:
        return bool(_SCHEME.match(self.value))


@dataclass(frozen=True)
class _Given:
    value: Any
    layer: str
    base: Path
    """What a relative path in this layer is relative to."""


def resolve(
    parameters: Sequence[Parameter],
    *,
    step: str,
    project: Path,
    files: Sequence[Path],
    environ: Mapping[str, str],
    given: Mapping[str, str],
    complete: bool = True,
) -> tuple[Setting, ...]:
    """Settle each parameter by the strongest layer that gives it, in canonical text, paths made absolute.

    What must still be given is a problem, unless `complete` is false: then it is left out.

    Raises:
        UsageError: the command line or the environment is wrong; with whatever else is wrong.
        ConfigError: only files are wrong. Unknown names, wrong types, missing values and paths: all at once.
    """
    known = {parameter.name: parameter for parameter in parameters}
    chosen: dict[str, _Given] = {}
    file_problems: list[str] = []
    typed_problems: list[str] = []

    def take(name: str, value: Any, layer: str, base: Path, problems: list[str]) -> None:
        if name in known:
            chosen[name] = _Given(value, layer, base)
        else:
            problems.append(f"{layer}: {name!r} is no parameter of this entry point{_nearest(name, known)}")

    for file in files:
        try:
            document = yaml.load(file, as_text=True)
        except ConfigError as error:
            file_problems.append(f"{error.message} {error.hint}".strip())
            continue
        for name, value in document.values.items():
            take(name, value, document.where(name), document.path.absolute().parent, file_problems)
    here = Path.cwd()
    prefix = f"DLOPS_{step}_".upper().replace("-", "_")
    by_variable = {f"{prefix}{name}".upper().replace("-", "_"): name for name in known}
    by_option = {name.replace("-", "_"): name for name in known}
    for variable in sorted(variable for variable in environ if variable.startswith(prefix)):
        name = by_variable.get(variable, variable.removeprefix(prefix).lower())
        take(name, environ[variable], f"environment {variable}", here, typed_problems)
    for name, value in given.items():
        take(name if name in known else by_option.get(name, name), value, "command line", here, typed_problems)

    settings = []
    for parameter in parameters:
        entry = chosen.get(parameter.name) or _Given(parameter.default, "MLproject", project)
        problems = file_problems if _is_file(entry.layer) else typed_problems
        if entry.value is None and not complete:
            continue
        if entry.value is None:
            problems.append(f"{parameter.name!r} needs a value: {parameter.name}=…{_described(parameter)}")
            continue
        try:
            text = parameter.canonical(entry.value)
            settings.append(Setting(parameter, _located(parameter, text, entry.base), entry.layer))
        except ValueError as error:
            problems.append(f"{entry.layer}: {parameter.name!r} {error}")
    if typed_problems or file_problems:
        error_class = UsageError if typed_problems else ConfigError
        problems = [*file_problems, *typed_problems]
        raise error_class(
            f"The parameters of {step} are wrong.", problems=problems, hint=f"`dlops params {step}` lists them."
        )
    return tuple(settings)


def _located(parameter: Parameter, text: str, base: Path) -> str:
    """Make a relative path absolute, against the folder of whoever wrote it; URIs and words stay.

    Raises:
        ValueError: what must exist does not.
    """
    if parameter.type not in ("path", "location", "output", "model") or not text or _SCHEME.match(text):
        return text
    if text == parameter.default and "/" not in text and parameter.type in ("location", "model"):
        return text  # the word a step knows, also where a folder happens to be called so
    path = paths.absolute(text, base)
    table = path.name.partition("@")[0]
    exists = paths.exists(path) or (bool(table) and paths.exists(path.with_name(table)))
    looks_like_path = text.startswith((".", "~", "/")) or ("/" in text and parameter.type != "model")
    if parameter.type == "path" and not exists:
        raise ValueError(f"names no file or folder: {path}")
    if parameter.type == "location" and looks_like_path and not exists and not set("*?[") & set(text):
        raise ValueError(f"names no file or folder: {path}")
    return str(path) if exists or looks_like_path or parameter.type in ("path", "output") else text


def _is_file(layer: str) -> bool:
    return layer != "command line" and not layer.startswith("environment ") and layer != "MLproject"


def _nearest(name: str, known: Mapping[str, Parameter]) -> str:
    return suggestion(name, known) or (f"; it has {', '.join(known)}" if known else "; it has none")


def _described(parameter: Parameter) -> str:
    return f" ({parameter.description.rstrip('.')})" if parameter.description else ""
