"""What a row is about: one class, several classes or a number, each with one canonical text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from dlops.errors import UsageError

Kind: TypeAlias = Literal["classes", "multilabel", "number"]
NONE = "none"
"""What stands for the kind where rows have no labels."""


@dataclass(frozen=True, kw_only=True)
class Labels:
    """How the values of a label column are read."""

    kind: Kind
    separator: str = ","
    """Between the classes of a multi-label value that is a text."""
    renamed: Mapping[str, str] = field(default_factory=dict)
    """Class as it is read → class as it is written."""

    def canonical(self, value: Any) -> str | None:
        """Give the text that is compared, staged and hashed; `None` for a value that is missing.

        Several classes are a sorted JSON list without doubles, a number is written as Python writes a float.

        Raises:
            ValueError: the value is not of this kind.
        """
        if value is None:
            return None
        if self.kind == "number":
            return _number(value)
        if self.kind == "multilabel":
            names = {self._renamed(_class(item)) for item in self._items(value)}
            return json.dumps(sorted(filter(None, names)), ensure_ascii=False)
        return self._renamed(_class(value)) or None

    def _items(self, value: Any) -> Sequence[Any]:
        if isinstance(value, list | tuple):
            return value
        text = str(value).strip()
        if text.startswith("["):
            try:
                parsed = json.loads(text)
            except ValueError:
                raise ValueError(f"{text[:40]!r} is no list of classes") from None
            return parsed if isinstance(parsed, list) else [parsed]
        return text.split(self.separator)

    def _renamed(self, name: str) -> str:
        return self.renamed.get(name, name)


def reader(target: str, first: Any, separator: str, renamed: Sequence[str]) -> Labels:
    """Settle how labels are read; with the target `auto` the first value decides: a list means several classes.

    Raises:
        UsageError: an entry of `renamed` is not OLD=NEW.
    """
    kind: Any = ("multilabel" if isinstance(first, list | tuple) else "classes") if target == "auto" else target
    wrong = [entry for entry in renamed if not all(entry.partition("=")[::2])]
    if wrong:
        raise UsageError(f"'label_map' holds {wrong[0]!r}.", hint="Write OLD=NEW: label_map=0=negative,1=positive")
    pairs = dict(entry.split("=", 1) for entry in renamed)
    return Labels(kind=kind, separator=separator, renamed=pairs)


def _class(value: Any) -> str:
    """Give a class name: 1 and 1.0 are one class, true and True another."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, str | int):
        name = str(value).strip()
        name.encode()  # a lone surrogate is a ValueError too
        return name
    raise ValueError(f"a {type(value).__name__} is not one class name or number")


def _number(value: Any) -> str | None:
    if isinstance(value, str) and not value.strip():
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"{str(value)[:40]!r} is no number") from None
    if math.isnan(number):
        return None
    if math.isinf(number):
        raise ValueError(f"{value!r} is no finite number")
    return repr(number + 0.0)
