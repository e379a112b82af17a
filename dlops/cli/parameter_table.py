"""The table of an entry point's parameters: in a step's help and for `dlops params`."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from dlops.cli import console
from dlops.config.parameters import Parameter
from dlops.errors import DlopsError
from dlops.project import plan


def below_help(step: str, uri: str, entry_point: str) -> None:
    """Print the parameters of the project at hand; where there is none, say how to see them."""
    try:
        found = plan.entry_point(step, uri, entry_point)
    except DlopsError as error:
        why = console.escaped(f"{error.message} {error.hint}".strip())
        console.out().print(f"[dim]Its parameters are the project's own: {why}[/]")
        return
    console.out().print(table(found.parameters, title=f"Parameters of {found.name}"))


def table(parameters: Iterable[Parameter], *, title: str) -> Table:
    """Lay parameters out: name, type, default, description."""
    laid = Table(
        title=title, title_justify="left", title_style="bold", box=None, padding=(0, 2, 0, 0), header_style="dim"
    )
    for heading in ("parameter", "type", "default", "description"):
        laid.add_column(heading, overflow="fold")
    for parameter in parameters:
        default = "[red]required[/]" if parameter.required else console.escaped(parameter.default or "")
        laid.add_row(
            f"[cyan]{parameter.name}[/]",
            console.escaped(kind(parameter)),
            default,
            console.escaped(parameter.description),
        )
    return laid


def kind(parameter: Parameter) -> str:
    """Say what a parameter takes: its type with its limits, or its choices."""
    if parameter.choices:
        return " | ".join(parameter.choices)
    low, high = parameter.minimum, parameter.maximum
    if low is not None and high is not None:
        return f"{parameter.type} {low:g}..{high:g}"
    if low is not None:
        return f"{parameter.type} ≥ {low:g}"
    return f"{parameter.type} ≤ {high:g}" if high is not None else parameter.type
