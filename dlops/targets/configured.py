"""`targets.yaml`: the user's own places to run, read from the work folder and from the user's settings.

It leads to credentials and to money: that of a launched repository is never read.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

from dlops.config import folders, yaml
from dlops.config.parameters import suggestion
from dlops.errors import ConfigError

FILE = "targets.yaml"


@dataclass(frozen=True)
class Entry:
    """One target as it is configured."""

    kind: str
    settings: Any
    """The kind's settings dataclass."""
    where: str
    """`FILE:LINE`."""


def files() -> tuple[Path, ...]:
    """Give the files that are looked into, the strongest first."""
    return (Path.cwd() / "configs" / FILE, folders.settings() / FILE)


def read(kinds: Mapping[str, type]) -> dict[str, Entry]:
    """Read every target; `kinds` gives the settings dataclass of each `kind`.

    Raises:
        ConfigError: unknown keys or kinds, wrong types, missing values: all of them at once.
    """
    found: dict[str, Entry] = {}
    problems: list[str] = []
    for file in files():
        if not file.is_file():
            continue
        document = yaml.load(file)
        for name, body in document.values.items():
            if name not in found and (entry := _entry(name, body, document.where(name), kinds, problems)):
                found[name] = entry
    if problems:
        raise ConfigError("The targets cannot be used.", problems=problems)
    return found


def _entry(name: str, body: Any, where: str, kinds: Mapping[str, type], problems: list[str]) -> Entry | None:
    if name == "local":
        problems.append(f"{where}: local is this machine, and always there: choose another name")
        return None
    if not isinstance(body, Mapping):
        problems.append(f"{where}: {name} holds KEY: VALUE lines, not {body!r}")
        return None
    kind = str(body.get("kind"))
    if kind not in kinds:
        told = f"kind is {', '.join(kinds)}"
        problems.append(f"{where}: {name} is of no known kind: {told}, not {kind!r}{suggestion(kind, kinds)}")
        return None
    settings_class = kinds[kind]
    known = {field.name: field for field in fields(settings_class)}
    hints = typing.get_type_hints(settings_class)
    before, values = len(problems), {}
    for key, value in body.items():
        if key == "kind":
            continue
        if key not in known:
            problems.append(f"{where}: {name}: {key!r} is unknown{suggestion(str(key), known)}")
            continue
        try:
            values[key] = _READERS[_plain(hints[key])](value)
        except ValueError as error:
            problems.append(f"{where}: {name}: {key} {error}")
    needed = [
        key
        for key, field in known.items()
        if field.default is MISSING and field.default_factory is MISSING and body.get(key) is None
    ]
    problems += [f"{where}: {name}: {key} is missing" for key in needed]
    return Entry(kind, settings_class(**values), where) if len(problems) == before else None


def _plain(hint: Any) -> Any:
    """Reduce a hint to what `_READERS` knows: `tuple[str, ...]` to (tuple, str), `Mapping[str, int]` to (dict, int)."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return tuple, arguments[0]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return dict, arguments[1]
    if origin in (typing.Union, types.UnionType):
        return next(argument for argument in arguments if argument is not type(None))
    return hint


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError(f"takes a text, not {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ValueError(f"takes a number of at least 0, not {value!r}")
    return float(value)


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"takes a whole number of at least 0, not {value!r}")
    return value


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"takes true or false, not {value!r}")
    return value


def _many(read: Callable[[Any], Any]) -> Callable[[Any], tuple[Any, ...]]:
    def items(value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise ValueError(f"takes a list, not {value!r}")
        return tuple(read(item) for item in value)

    return items


def _named(read: Callable[[Any], Any]) -> Callable[[Any], dict[str, Any]]:
    def entries(value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"takes NAME: VALUE lines, not {value!r}")
        return {str(name): read(item) for name, item in value.items()}

    return entries


_READERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    float: _number,
    int: _whole,
    bool: _truth,
    (tuple, str): _many(_text),
    (dict, Any): _named(lambda value: value),
    (dict, str): _named(lambda value: str(value)),
    (dict, float): _named(_number),
}
