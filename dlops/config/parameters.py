"""One parameter of an entry point: its type, its limits, and the canonical text of its values."""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import yaml

TYPES = (
    *("str", "int", "float", "bool", "list[str]", "list[int]", "list[float]"),
    *("path", "uri", "location", "table", "dataset", "model"),
    *("space", "points", "inference"),
)
"""Stock MLflow knows `path` (a local path that exists; a URI is fetched) and `uri`; the others it passes on.

`location` is what a step reads: a path, a URI or a word the step knows (`sample`). `table` is a Delta table that it
writes, `dataset` one that it reads (`TABLE@VERSION`, `runs:/…`): a path, a URI, or the name of one in the user's data
folder. `model` is a hub id, `package:NAME`, `models:/…`, `runs:/…` or a folder. `space` is what other parameters of the
entry point are drawn from, and `points` are values of theirs (`dlops.config.space`); `inference` is what stands around
a classifier (`dlops.config.inference`): all three YAML or JSON, or a file of it.
"""
STRUCTURES = ("space", "points", "inference")
"""Types whose canonical text is JSON, every leaf as it was written."""

_SYNONYMS = {"string": "str", "integer": "int", "number": "float", "double": "float", "boolean": "bool"}
_TRUE = frozenset({"true", "yes", "on", "1"})
_FALSE = frozenset({"false", "no", "off", "0"})


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """A parameter as `MLproject` declares it."""

    name: str
    type: str = "str"
    """One of `TYPES`; a type MLflow or another tool knows and we do not is taken as `str`."""
    default: str | None = None
    """Canonical text; `None` means that a value is required, an empty text that it may be left out."""
    description: str = ""
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    @property
    def required(self) -> bool:
        return self.default is None

    @property
    def optional(self) -> bool:
        return self.default == ""

    def canonical(self, value: object) -> str:
        """Give the one text that is logged and passed on for `value` (text, or what YAML made of it).

        Raises:
            ValueError: `value` is not of this parameter's type, choices or range.
        """
        if value is None or value == "":
            if self.optional or (self.type == "str" and not self.choices):
                return ""
            raise ValueError("needs a value")
        if self.type in STRUCTURES:
            return structure(value)
        if self.type.startswith("list["):
            return _joined([self._item(item, self.type[5:-1]) for item in _items(value)])
        return self._item(value, self.type)

    def _item(self, value: object, kind: str) -> str:
        text = self._of_kind(value, kind)
        if not text.isprintable():
            _refuse_what_cannot_travel(text)
        if self.choices and text not in self.choices:
            raise ValueError(f"{text!r} is not one of {', '.join(self.choices)}{suggestion(text, self.choices)}")
        return text

    def _of_kind(self, value: object, kind: str) -> str:
        if isinstance(value, list | tuple | dict):
            raise ValueError(f"takes one {kind}, not a {'mapping' if isinstance(value, dict) else 'list'}")
        if kind == "bool":
            return _boolean(value)
        text = str(value).strip() if kind in ("int", "float") else str(value)
        if kind == "int":
            return self._within(_integer(text))
        if kind == "float":
            return self._within(_number(text))
        if kind == "uri" and "://" not in text and not text.partition(":")[2]:
            raise ValueError(f"takes a URI (scheme:…), not {text!r}")
        return text

    def _within(self, number: int | float) -> str:
        if self.minimum is not None and number < self.minimum:
            raise ValueError(f"must be at least {self.minimum:.10g}, not {number}")
        if self.maximum is not None and number > self.maximum:
            raise ValueError(f"must be at most {self.maximum:.10g}, not {number}")
        return repr(number)

    def value(self, text: str) -> Any:
        """Turn canonical text into the Python value of this type; an optional that is empty is `None`."""
        if self.type.startswith("list["):
            return tuple(_python(str(item), self.type[5:-1]) for item in _items(text)) if text else ()
        if text == "" and self.optional:
            return None
        return _python(text, self.type)


def known_type(name: object) -> str:
    """Give our name of a type that an MLproject states; a stranger's type is `str`, as for stock MLflow."""
    text = _SYNONYMS.get(str(name).lower(), str(name).lower())
    return text if text in TYPES else "str"


def suggestion(word: str, known: Iterable[str]) -> str:
    """Give `; did you mean 'NAME'?` for the nearest known name, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""


def _items(value: object) -> list[object]:
    if isinstance(value, list | tuple):
        return list(value)
    text = str(value).strip()
    if text.startswith("["):
        return _flow(text)
    return [item.strip() for item in text.split(",")]


def _flow(text: str) -> list[object]:
    """Read a list as JSON or YAML writes it, each item as it is written: `[1.10, yes]` holds two words."""
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = None
    if isinstance(parsed, list) and all(isinstance(item, str) for item in parsed):
        return parsed
    try:
        parsed = yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and mappings only
    except yaml.YAMLError:
        parsed = None
    if not isinstance(parsed, list):
        raise ValueError(f"takes a list such as a,b,c or [a, b, c], not {text!r}")
    return parsed


def structure(value: object) -> str:
    """Write YAML or JSON, or what was read from it, as JSON whose leaves are texts.

    Raises:
        ValueError: it is neither, or a value in it is empty.
    """
    try:
        if isinstance(value, str):
            value = _read(value)
        return json.dumps(_as_written(value), ensure_ascii=False)
    except yaml.YAMLError as error:
        raise ValueError(f"takes YAML or JSON: {getattr(error, 'problem', None) or error}") from None
    except RecursionError:
        raise ValueError("is nested too deep, or holds itself") from None


def _read(text: str) -> object:
    try:
        return json.loads(text, parse_int=str, parse_float=str)
    except ValueError:
        return yaml.load(text, Loader=yaml.BaseLoader)  # noqa: S506 - it makes texts, lists and mappings only


def _as_written(value: object) -> object:
    """Make every leaf a text."""
    if isinstance(value, dict):
        return {str(name): _as_written(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_written(item) for item in value]
    if value is None:
        raise ValueError("holds a value that is empty")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _joined(items: list[str]) -> str:
    """Write a list with commas; as JSON where an item holds a comma, or would not come back as it is."""
    if not items:
        return ""
    plain = all(item and item == item.strip() and "," not in item for item in items)
    return ",".join(items) if plain and not items[0].startswith("[") else json.dumps(items, ensure_ascii=False)


def _refuse_what_cannot_travel(text: str) -> None:
    if "\0" in text:
        raise ValueError("holds a null character, which no command line can carry")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("holds bytes that are no UTF-8 text") from None


def _boolean(value: object) -> str:
    text = str(value).strip().lower()
    if text in _TRUE:
        return "true"
    if text in _FALSE:
        return "false"
    raise ValueError(f"takes true or false, not {str(value)!r}")


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"takes a whole number, not {text!r}") from None


def _number(text: str) -> int | float:
    """Keep a whole number whole: an old script may say `int(sys.argv[1])` to a `float` parameter."""
    try:
        number = float(text)
    except ValueError:
        raise ValueError(f"takes a number, not {text!r}") from None
    if not math.isfinite(number):
        raise ValueError(f"takes a finite number, not {text!r}")
    return int(text) if text.lstrip("+-").replace("_", "").isdigit() else number


def _python(text: str, kind: str) -> Any:
    if kind == "int":
        return int(text)
    if kind == "float":
        return float(text)
    if kind == "bool":
        return text == "true"
    return text
