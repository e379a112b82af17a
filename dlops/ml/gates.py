"""What must hold of a model: `accuracy>=0.8`, `worst_slice.f1>=0.6`, `verdict=better`, each told whether it does."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from dlops.config.parameters import suggestion
from dlops.errors import GateFailed, UsageError

_FORM = re.compile(r"(?P<name>.+?)\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*(?P<value>[^<>=!]+)")
_REST = re.compile(r"\s*(?P<sign>>=|<=|!=|==|=|>|<)\s*(?P<value>.+)")
_SIGNS = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
}
_WORDS = {"verdict": ("better", "worse", "not_distinguishable")}
"""What is a word and no number, and which words there are."""


@dataclass(frozen=True)
class Requirement:
    """One thing that must hold."""

    text: str
    """As the user wrote it."""
    name: str
    sign: str
    value: float | str

    def holds(self, found: float | str) -> bool:
        """Say whether it does; of what could not be measured it does not."""
        return bool(found == found and _SIGNS[self.sign](found, self.value))


@dataclass(frozen=True)
class Answer:
    """Whether a requirement holds, and what was found."""

    requirement: Requirement
    found: float | str
    holds: bool

    def __str__(self) -> str:
        found = f"{self.found:.6g}" if isinstance(self.found, float) else self.found
        return f"{self.requirement.text}: {'holds' if self.holds else 'does not hold'}, it is {found}"


def parse(texts: Sequence[str], known: Collection[str]) -> tuple[Requirement, ...]:
    """Read requirements over the `known` names.

    Raises:
        UsageError: with all that is wrong with them.
    """
    problems: list[str] = []
    found = []
    for text in texts:
        try:
            found.append(_parsed(text, known))
        except ValueError as error:
            problems.append(f"{text!r} {error}")
    if problems:
        raise UsageError("'require' is wrong.", problems=problems, hint="Write for example require='accuracy>=0.8'.")
    return tuple(found)


def answered(requirements: Sequence[Requirement], facts: Mapping[str, float | str]) -> tuple[Answer, ...]:
    """Hold requirements against what was found; what was not found is no number."""
    values = [(requirement, facts.get(requirement.name, float("nan"))) for requirement in requirements]
    return tuple(Answer(requirement, value, requirement.holds(value)) for requirement, value in values)


def check(answers: Sequence[Answer]) -> None:
    """Let pass what holds.

    Raises:
        GateFailed: something does not; all of that is listed.
    """
    failed = [str(answer) for answer in answers if not answer.holds]
    if failed:
        raise GateFailed(
            f"{len(failed)} of {len(answers)} requirements do not hold."
            if len(answers) > 1
            else "It is not good enough.",
            problems=failed,
        )


def _parsed(text: str, known: Collection[str]) -> Requirement:
    text = text.strip()
    begun = [name for name in known if text.startswith(name) and _REST.fullmatch(text[len(name) :])]
    name = max(begun, key=len, default="")
    form = _REST.fullmatch(text[len(name) :]) if name else _FORM.fullmatch(text)
    if not form:
        raise ValueError("is no requirement: NAME>=NUMBER")
    name = name or form["name"]
    sign, value = form["sign"], form["value"].strip()
    if name not in known:
        few = ", ".join(list(known)[:8])
        raise ValueError(f"names nothing that is measured here{suggestion(name, known) or f'; there are {few} …'}")
    if words := _WORDS.get(name):
        if value not in words or sign not in ("=", "==", "!="):
            raise ValueError(f"takes = or != and one of {', '.join(words)}")
        return Requirement(text, name, sign, value)
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"takes a number, not {value!r}")
    return Requirement(text, name, sign, number)
