"""The layers of a run's parameters, weakest first, and every problem in them at once.

MLproject default, the project's `configs/STEP.yaml`, each `-c FILE`, what a pipeline states, environment
`DLOPS_STEP_KEY`, the command line.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlops.config import inference, locations, space, yaml
from dlops.config.parameters import STRUCTURES, Parameter, suggestion
from dlops.errors import ConfigError, UsageError

_DEFAULT, _TYPED, _LATER = "MLproject", "command line", "known later"


@dataclass(frozen=True)
class Setting:
    """A parameter's value and where it came from."""

    parameter: Parameter
    value: str
    layer: str

    @property
    def is_changed(self) -> bool:
        """Whether somebody gave it another value than the parameter's default."""
        return self.layer != _DEFAULT and self.value != (self.parameter.default or "")

    @property
    def is_uri(self) -> bool:
        return locations.is_uri(self.value)


@dataclass(frozen=True)
class Stated:
    """Values that a file states among other things: which, on which `FILE:LINE`, and the folder of that file."""

    values: Mapping[str, Any]
    where: str
    base: Path


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
    stated: Sequence[Stated] = (),
    later: Collection[str] = (),
    complete: bool = True,
) -> tuple[Setting, ...]:
    """Settle each parameter by the strongest layer that gives it, in canonical text, paths made absolute.

    `stated` comes above the files. The parameters `later` get a value that is not known yet: they are empty. What must
    still be given is a problem, unless `complete` is false: then it is left out.

    Raises:
        UsageError: the command line or the environment is wrong; with whatever else is wrong.
        ConfigError: only files are wrong. Unknown names, wrong types, missing values and paths: all at once.
    """
    known = {parameter.name: parameter for parameter in parameters}
    problems = _Problems()
    chosen: dict[str, _Given] = {}
    for name, given_value in _layers(known, step, files, stated, environ, given, problems):
        if name in known:
            chosen[name] = given_value
        else:
            problems.of(given_value.layer).append(
                f"{given_value.layer}: {name!r} is no parameter of this entry point{_nearest(name, known)}"
            )
    settings: list[Setting] = []
    for parameter in parameters:
        if parameter.name in later:
            settings.append(Setting(parameter, "", _LATER))
            continue
        entry = chosen.get(parameter.name) or _Given(parameter.default, _DEFAULT, project)
        if entry.value is not None:
            settings += _settled(parameter, entry, problems)
        elif complete:
            problems.of(entry.layer).append(
                f"{parameter.name!r} needs a value: {parameter.name}=…{_described(parameter)}"
            )
    _check_structures(settings, known, problems)
    problems.refuse(step)
    return tuple(settings)


def _check_structures(settings: Sequence[Setting], known: Mapping[str, Parameter], problems: _Problems) -> None:
    """Hold structures to what they are made of: search spaces, and points in them, to the parameters."""
    drawn = {name: parameter for name, parameter in known.items() if parameter.type not in STRUCTURES}
    searched, wrong = space.Space(()), False
    for setting in sorted(settings, key=lambda setting: setting.parameter.type != "space"):
        found: list[str] = []
        if setting.parameter.type == "space":
            searched = space.parse(setting.value, drawn, found)
            wrong = bool(found)
        elif setting.parameter.type == "points" and not wrong:
            space.points(setting.value, searched, drawn, found)
        elif setting.parameter.type == "inference":
            inference.parse(setting.value, found)
        problems.of(setting.layer).extend(f"{setting.layer}: {setting.parameter.name}: {problem}" for problem in found)


class _Problems:
    """What is wrong, in the files and in what was typed."""

    def __init__(self) -> None:
        self.files: list[str] = []
        self.typed: list[str] = []

    def of(self, layer: str) -> list[str]:
        typed = layer in (_TYPED, _DEFAULT) or layer.startswith("environment ")
        return self.typed if typed else self.files

    def refuse(self, step: str) -> None:
        if self.files or self.typed:
            error_class = UsageError if self.typed else ConfigError
            problems = [*self.files, *self.typed]
            raise error_class(
                f"The parameters of {step} are wrong.", problems=problems, hint=f"`dlops params {step}` lists them."
            )


def _layers(
    known: Mapping[str, Parameter],
    step: str,
    files: Sequence[Path],
    stated: Sequence[Stated],
    environ: Mapping[str, str],
    given: Mapping[str, str],
    problems: _Problems,
) -> Iterator[tuple[str, _Given]]:
    """Give every value of every layer above the defaults, the weakest first."""
    for file in files:
        try:
            document = yaml.load(file, as_text=True)
        except ConfigError as error:
            problems.files.append(f"{error.message} {error.hint}".strip())
            continue
        for name, value in document.values.items():
            yield name, _Given(value, document.where(name), document.path.absolute().parent)
    for entry in stated:
        for name, value in entry.values.items():
            yield name, _Given(value, entry.where, entry.base)
    here = Path.cwd()
    prefix = f"DLOPS_{step}_".upper().replace("-", "_")
    by_variable = {f"{prefix}{name}".upper().replace("-", "_"): name for name in known}
    for variable in sorted(variable for variable in environ if variable.startswith(prefix)):
        name = by_variable.get(variable, variable.removeprefix(prefix).lower())
        yield name, _Given(environ[variable], f"environment {variable}", here)
    by_option = {name.replace("-", "_"): name for name in known}
    for name, value in given.items():
        yield name if name in known else by_option.get(name, name), _Given(value, _TYPED, here)


def _settled(parameter: Parameter, given: _Given, problems: _Problems) -> list[Setting]:
    """Settle one parameter; none where its value is wrong."""
    try:
        text = parameter.canonical(given.value)
        value = locations.located(parameter.type, text, given.base, default=text == parameter.default)
        return [Setting(parameter, value, given.layer)]
    except ValueError as error:
        problems.of(given.layer).append(f"{given.layer}: {parameter.name!r} {error}")
        return []


def _nearest(name: str, known: Mapping[str, Parameter]) -> str:
    return suggestion(name, known) or (f"; it has {', '.join(known)}" if known else "; it has none")


def _described(parameter: Parameter) -> str:
    return f" ({parameter.description.rstrip('.')})" if parameter.description else ""
