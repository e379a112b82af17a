"""The table of an entry point's parameters: in a step's help and for `dlops params`."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from rich.table import Table
from rich.text import Text

from dlops.cli import console
from dlops.config.parameters import Parameter
from dlops.errors import DlopsError
from dlops.project import plan
from dlops.worker import masking


def below_help(step: str, uri: str, entry_point: str, version: str) -> None:
    """Print the parameters of the project at hand; where there is none, say how to see them."""
    try:
        found = plan.entry_point(step, uri, entry_point, version)
    except DlopsError as error:
        why = f"{error.message} {error.hint}".strip()
        console.out().print(Text(f"Its parameters are the project's own: {why}", "dim"))
        return
    console.out().print(table(found.parameters, title=f"Parameters of {found.name}"))


def table(parameters: Iterable[Parameter], *, title: str) -> Table:
    """Lay parameters out: name, type, default, description."""
    laid = Table(
        title=Text(title), title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim"
    )
    for heading in ("parameter", "type", "default", "description"):
        laid.add_column(heading, overflow="fold", no_wrap=heading == "parameter")
    for parameter in map(shown, parameters):
        default = Text("required", "red") if parameter.required else Text(parameter.default or "")
        laid.add_row(Text(parameter.name, "cyan"), Text(kind(parameter)), default, Text(parameter.description))
    return laid


def shown(parameter: Parameter) -> Parameter:
    """Give a parameter as it may be shown: the default of a secret is masked."""
    secret = parameter.default and masking.is_secret(parameter.name)
    return dataclasses.replace(parameter, default=masking.MASK) if secret else parameter


def kind(parameter: Parameter) -> str:
    """Say what a parameter takes: its type with its limits, or its choices."""
    if parameter.choices:
        return " | ".join(parameter.choices)
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{parameter.type} {low:.10g}..{high:.10g}"
    if low is not None:
        return f"{parameter.type} ≥ {low:.10g}"
    return f"{parameter.type} ≤ {high:.10g}" if high is not None else parameter.type
