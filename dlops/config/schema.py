"""A step's settings: a frozen dataclass whose fields are the parameters of its entry point.

The type, the default and the docstring under a field are the parameter's type, default and description:

    @dataclass(frozen=True, kw_only=True)
    class Finetune:
        epochs: Annotated[int, Range(1, 1000)] = 2
        "Passes over the training rows."
        strategy: Literal["freeze", "no_freeze"] = "freeze"
        "What is trained: the head alone, or everything."
        label: str | None = None
        "Name of the label column; recognised when left out."
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Sequence
from dataclasses import MISSING, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from dlops.config import locations, overrides
from dlops.config.parameters import STRUCTURES, Parameter, suggestion
from dlops.errors import UsageError

Settings = TypeVar("Settings")


@dataclass(frozen=True)
class Range:
    """Limits of a number, both ends included."""

    minimum: float | None = None
    maximum: float | None = None


@dataclass(frozen=True)
class Kind:
    """A parameter type that Python has no type for: `path`, `uri`, `location` and so on."""

    name: str


def parameters(settings: type) -> tuple[Parameter, ...]:
    """List the parameters that a settings dataclass describes, in the order of its fields."""
    hints = typing.get_type_hints(settings, include_extras=True)
    descriptions = _descriptions(settings)
    found = []
    for field in fields(settings):
        kind, extras, optional = _unwrap(hints[field.name])
        default = None if field.default is MISSING else field.default
        bare = Parameter(
            name=field.name,
            type=extras.get("type", kind),
            default="" if optional else None,
            description=descriptions.get(field.name, ""),
            choices=extras.get("choices", ()),
            minimum=extras.get("minimum"),
            maximum=extras.get("maximum"),
        )
        if default is not None:
            bare = replace(bare, default=bare.canonical(default))
        found.append(bare)
    return tuple(found)


def parse(settings: type[Settings], arguments: Sequence[str]) -> Settings:
    """Build settings from the words of a command line.

    Raises:
        UsageError: unknown names, wrong types, missing values: all of them at once.
    """
    known = {parameter.name: parameter for parameter in parameters(settings)}
    hints = typing.get_type_hints(settings, include_extras=True)
    given = overrides.parse(arguments)
    problems = [f"{name!r} is unknown{suggestion(name, known)}" for name in given if name not in known]
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        text = given.get(name, parameter.default)
        if text is None:
            problems.append(f"{name!r} needs a value: {name}=…")
            continue
        try:
            value = parameter.value(_canonical(parameter, text))
            values[name] = "" if value is None and not _unwrap(hints[name])[2] else value
        except ValueError as error:
            problems.append(f"{name!r} {error}")
    if problems:
        raise UsageError("The parameters are wrong.", problems=problems)
    return settings(**values)


def _canonical(parameter: Parameter, text: str) -> str:
    """Give the canonical text; a structure may be in a file, below the folder that the step runs in."""
    canonical = parameter.canonical(text)
    return locations.located(parameter.type, canonical, Path.cwd()) if parameter.type in STRUCTURES else canonical


def _unwrap(hint: Any) -> tuple[str, dict[str, Any], bool]:
    """Reduce a type hint to our type name, what annotations add, and whether it may be left out."""
    extras: dict[str, Any] = {}
    optional = False
    if typing.get_origin(hint) is typing.Annotated:
        hint, *notes = typing.get_args(hint)
        for note in notes:
            if isinstance(note, Range):
                extras.update(minimum=note.minimum, maximum=note.maximum)
            elif isinstance(note, Kind):
                extras["type"] = note.name
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        members = [member for member in typing.get_args(hint) if member is not type(None)]
        optional = len(members) < len(typing.get_args(hint))
        kind, inner, _ = _unwrap(members[0])
        return kind, {**inner, **extras}, optional
    if typing.get_origin(hint) is Literal:
        return "str", {**extras, "choices": tuple(map(str, typing.get_args(hint)))}, optional
    if typing.get_origin(hint) is tuple:
        item, more, _ = _unwrap(typing.get_args(hint)[0])
        return f"list[{item}]", {**more, **extras}, optional
    return hint.__name__, extras, optional


def _descriptions(settings: type) -> dict[str, str]:
    """Read the docstring under each field, inherited ones too; Python keeps none, so the source is asked."""
    bodies = [
        typing.cast(ast.ClassDef, ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]).body
        for kind in reversed(settings.__mro__[:-1])
    ]
    found = {}
    for field, following in (pair for body in bodies for pair in itertools.pairwise(body)):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(following, ast.Expr)
            and isinstance(following.value, ast.Constant)
        ):
            found[field.target.id] = " ".join(str(following.value.value).split())
    return found
