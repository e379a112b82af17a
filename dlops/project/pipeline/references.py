"""`${STEP.OUTPUT}` and `${STEP.metrics.NAME}`: values of a pipeline that an earlier step gives."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

METRICS, RUN = "metrics", "run_id"
_WRITTEN = re.compile(r"\$\$\{|\$\{(?P<inside>[^}]*)\}")
_FORM = re.compile(r"(?P<step>[A-Za-z_][\w\-]*)\.(?:(?P<metrics>metrics)\.)?(?P<name>[\w./:\-]+)")


@dataclass(frozen=True)
class Reference:
    """What one step takes from another."""

    step: str
    name: str
    """Of an output or a metric; `run_id` is that of the run itself."""
    metric: bool = False

    def __str__(self) -> str:
        return f"${{{self.step}.{'metrics.' if self.metric else ''}{self.name}}}"


def found(text: str) -> Iterator[Reference]:
    """Give the references in a text, in order.

    Raises:
        ValueError: `${…}` holds something else.
    """
    for match in _WRITTEN.finditer(text):
        if match["inside"] is not None:
            yield _parsed(match["inside"])


def filled(text: str, value: Callable[[Reference], str]) -> str:
    """Put values where references are; `$${` stands for `${` itself."""

    def put(match: re.Match[str]) -> str:
        return "${" if match["inside"] is None else value(_parsed(match["inside"]))

    return _WRITTEN.sub(put, text)


def _parsed(inside: str) -> Reference:
    form = _FORM.fullmatch(inside.strip())
    if not form:
        raise ValueError(f"${{{inside}}} is no reference: write ${{STEP.OUTPUT}} or ${{STEP.metrics.NAME}}")
    return Reference(form["step"], form["name"], form["metrics"] is not None)
