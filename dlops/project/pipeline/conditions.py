"""`when: ${evaluate.metrics.test_accuracy} >= 0.8`: whether a step of a pipeline is to run at all."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from dlops.project.pipeline import references
from dlops.project.pipeline.references import Reference

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_FORM = re.compile(
    r"\s*(?P<left>\$\{[^}]*\}|[^\s<>=!]+)\s*(?P<sign>[<>=!]=|[<>])(?![<>=!])\s*(?P<right>\$\{[^}]*\}|.*?\S)\s*"
)


@dataclass(frozen=True)
class Condition:
    """One comparison; each side is a reference, a number or a word."""

    left: str
    sign: str
    right: str

    @property
    def references(self) -> list[Reference]:
        return [*references.found(self.left), *references.found(self.right)]

    def holds(self, value: Callable[[Reference], str]) -> bool:
        """Compare, as numbers where both sides are.

        Raises:
            ValueError: words are compared by size.
        """
        left, right = (references.filled(side, value) for side in (self.left, self.right))
        numbers = _number(left), _number(right)
        if None not in numbers:
            return _OPERATORS[self.sign](*numbers)
        if self.sign not in ("==", "!="):
            raise ValueError(f"{self} compares {left!r} with {right!r}, which are not both numbers")
        return _OPERATORS[self.sign](left, right)

    def told(self, value: Callable[[Reference], str]) -> str:
        """Say what is compared, with the value that stands on the left."""
        return f"{references.filled(self.left, value)} {self.sign} {references.filled(self.right, value)}"

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right}"


def parse(text: str) -> Condition:
    """Read a condition.

    Raises:
        ValueError: it is none, or compares nothing that a step gives.
    """
    form = _FORM.fullmatch(text)
    if not form:
        raise ValueError(f"{text!r} compares nothing: write ${{evaluate.metrics.test_accuracy}} >= 0.8")
    condition = Condition(form["left"], form["sign"], _unquoted(form["right"]))
    if not condition.references:
        raise ValueError(f"{text!r} does not depend on any step: name an output, ${{STEP.OUTPUT}}")
    return condition


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
