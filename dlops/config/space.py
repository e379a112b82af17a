"""A search space over an entry point's parameters: what each is drawn from, and when it is drawn at all.

Written as YAML, or as the JSON that this module makes of it:

    learning_rate: {loguniform: [1e-5, 1e-3]}
    batch_size: {choice: [8, 16, 32]}
    strategy: {grid: [no_freeze, lora]}
    lora_rank: {randint: [2, 16], when: {strategy: lora}}
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter

from dlops.config.parameters import Parameter, suggestion

KINDS = {
    "uniform": "two numbers, the least and the greatest",
    "loguniform": "two numbers above 0, the least and the greatest",
    "quniform": "three numbers: the least, the greatest, and the step between two values",
    "randint": "two whole numbers, the least and the greatest",
    "choice": "a list of values",
    "grid": "a list of values",
}
"""Distributions, by the names that Ray Tune gives them, and what each takes. Both ends are included."""
_WHEN = "when"
_DIGITS = 4
_STEPS = 1e6
"""Steps of quniform at most."""
_LISTED = ("choice", "grid")


@dataclass(frozen=True)
class Axis:
    """What one parameter is drawn from."""

    name: str
    kind: str
    """One of `KINDS`."""
    figures: tuple[float, ...] = ()
    """Least, greatest and step, as far as the kind has them."""
    values: tuple[str, ...] = ()
    """Canonical texts that are chosen from."""
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Other parameters, and the canonical texts of which each must have one for this axis to count."""

    def holds(self, text: str) -> bool:
        """Say whether a canonical text could be drawn."""
        if self.kind in _LISTED:
            return text in self.values
        low, high, *step = self.figures
        number = float(text)
        steps = (number - low) / step[0] if step else 0.0
        return low <= number <= high and math.isclose(steps, round(steps), abs_tol=1e-9)

    def nearest(self, number: float) -> float:
        """Give the number of this axis that is nearest to another; a fraction has few digits, for people type it."""
        low, high, *step = self.figures
        typed = low + step[0] * round((number - low) / step[0]) if step else number
        return min(high, max(low, float(f"{typed:.{_DIGITS if not step else 12}g}")))


@dataclass(frozen=True)
class Space:
    """Axes, each after those that it depends on."""

    axes: tuple[Axis, ...]

    def counting(self, given: Mapping[str, str]) -> Iterator[Axis]:
        """Give the axes that count, one after the other, as `given` comes to hold the values of those before.

        `given` holds the canonical texts of the parameters that are not searched from the beginning.
        """
        for axis in self.axes:
            if all(given.get(name) in texts for name, texts in axis.when.items()):
                yield axis

    def grid(self) -> tuple[Axis, ...]:
        """Give the axes of which every value is to be met with every other's."""
        return tuple(axis for axis in self.axes if axis.kind == "grid")


def parse(text: str, known: Mapping[str, Parameter], problems: list[str]) -> Space:
    """Read the canonical text of a space over these parameters; all that is wrong with it joins the `problems`."""
    written = json.loads(text) if text else {}
    if not isinstance(written, dict):
        problems.append("takes a mapping: a parameter's name, and what it is drawn from")
        return Space(())
    axes = []
    for name, told in written.items():
        if name not in known:
            problems.append(f"{name!r} is no parameter{suggestion(name, known)}")
            continue
        try:
            axes.append(_axis(known[name], told, known))
        except ValueError as error:
            problems.append(f"{name}: {error}")
    return Space(_ordered(axes, problems))


def points(text: str, space: Space, known: Mapping[str, Parameter], problems: list[str]) -> tuple[dict[str, str], ...]:
    """Read points of a space: a list of mappings from parameters to values, as canonical texts.

    All that is wrong with them joins the `problems`.
    """
    written = json.loads(text) if text else []
    if not isinstance(written, list) or not all(isinstance(point, dict) for point in written):
        problems.append("takes a list of mappings: of parameters to the values to try")
        return ()
    axes = {axis.name: axis for axis in space.axes}
    read = []
    for number, point in enumerate(written, start=1):
        texts = {}
        for name, value in point.items():
            if name not in axes:
                problems.append(f"point {number}: {name!r} is not searched{suggestion(name, axes)}")
                continue
            try:
                texts[name] = _text(known[name], value)
                if not axes[name].holds(texts[name]):
                    problems.append(f"point {number}: {name}={texts[name]} is outside of what is searched")
            except ValueError as error:
                problems.append(f"point {number}: {name} {error}")
        read.append(texts)
    return tuple(read)


def _axis(parameter: Parameter, told: object, known: Mapping[str, Parameter]) -> Axis:
    if not isinstance(told, dict) or len(set(told) - {_WHEN}) != 1:
        raise ValueError(f"takes one of {', '.join(KINDS)}: {{choice: [A, B]}}, say")
    (kind,) = set(told) - {_WHEN}
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no distribution{suggestion(kind, KINDS) or '; there are ' + ', '.join(KINDS)}")
    given = told[kind]
    if not isinstance(given, list) or not given:
        raise ValueError(f"{kind} takes {KINDS[kind]}")
    when = _conditions(told.get(_WHEN, {}), known)
    if kind in _LISTED:
        texts = [_text(parameter, value) for value in given]
        if len(set(texts)) < len(texts):
            raise ValueError(f"{kind} names a value twice")
        return Axis(parameter.name, kind, values=tuple(texts), when=when)
    return Axis(parameter.name, kind, figures=_figures(parameter, kind, given), when=when)


def _figures(parameter: Parameter, kind: str, given: Sequence[object]) -> tuple[float, ...]:
    if parameter.type not in ("int", "float"):
        raise ValueError(f"{kind} draws numbers, and this parameter is a {parameter.type}: take choice or grid")
    if parameter.type == "int" and kind not in ("randint", "quniform"):
        raise ValueError(f"{kind} draws fractions, and this parameter is a whole number: take randint or quniform")
    if parameter.type == "float" and kind == "randint":
        raise ValueError("randint draws whole numbers: take uniform, or quniform with a step")
    if len(given) != (3 if kind == "quniform" else 2):
        raise ValueError(f"{kind} takes {KINDS[kind]}")
    low, high = (float(parameter.canonical(value)) for value in given[:2])
    if low >= high:
        raise ValueError(f"{kind} takes the least first, then the greatest, not {given[0]} and {given[1]}")
    if kind == "loguniform" and low <= 0:
        raise ValueError("loguniform takes numbers above 0")
    if kind != "quniform":
        return (low, high)
    step = float(Parameter(name="step", type=parameter.type).canonical(given[2]))
    if step <= 0 or step > high - low or (high - low) / step > _STEPS:
        raise ValueError(f"quniform takes a step above 0 and within the bounds, not {given[2]}")
    first, last, size = (Decimal(repr(number)) for number in (low, high, step))
    return (low, float(first + (last - first) // size * size), step)


def _conditions(told: object, known: Mapping[str, Parameter]) -> dict[str, tuple[str, ...]]:
    if not isinstance(told, dict):
        raise ValueError("when takes a mapping: another parameter, and its value or a list of them")
    found = {}
    for name, values in told.items():
        if name not in known:
            raise ValueError(f"when: {name!r} is no parameter{suggestion(name, known)}")
        one = not isinstance(values, list) or (
            known[name].type.startswith("list[") and not any(isinstance(value, list) for value in values)
        )
        if values == []:
            raise ValueError(f"when: {name} names no value")
        try:
            found[name] = tuple(_text(known[name], value) for value in ([values] if one else values))
        except ValueError as error:
            raise ValueError(f"when: {name} {error}") from None
    return found


def _text(parameter: Parameter, value: object) -> str:
    """Give the one text of a value: a fraction that is whole has one text too, as have settings."""
    text = parameter.canonical(value)
    return repr(float(text)) if parameter.type == "float" and text else text


def _ordered(axes: Iterable[Axis], problems: list[str]) -> tuple[Axis, ...]:
    """Put each axis after those that its conditions name, else in the order in which they were written."""
    by_name = {axis.name: axis for axis in axes}
    problems += [
        f"{axis.name}: when: {name} never is {', '.join(texts)}"
        for axis in by_name.values()
        for name, texts in axis.when.items()
        if name in by_name and not any(by_name[name].holds(text) for text in texts)
    ]
    graph = {name: [parent for parent in axis.when if parent in by_name] for name, axis in by_name.items()}
    try:
        return tuple(by_name[name] for name in TopologicalSorter(graph).static_order())
    except CycleError as error:
        problems.append(f"{' → '.join(error.args[1])} wait for each other")
        return ()
