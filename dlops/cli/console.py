"""How results and talk reach the user: results to stdout, talk to stderr."""

from __future__ import annotations

import json
import math
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from functools import cache
from typing import Any, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from dlops.errors import DlopsError, StepFailed
from dlops.project.outcome import Outcome, problem
from dlops.steps import named

_NO_FOLD = 100_000
"""Columns."""
_CURVES = re.compile(r"(system|seed_\d+)/")
_COLOURS = {"FINISHED": "green", "RUNNING": "cyan", "PLANNED": "cyan", "FAILED": "red", "KILLED": "yellow"}


@cache
def out() -> Console:
    """Give the console of results."""
    return _console(sys.stdout)


@cache
def err() -> Console:
    """Give the console of talk."""
    return _console(sys.stderr)


def _console(stream: TextIO) -> Console:
    """Off a terminal no line is folded: what is read by `grep`, or copied, stays whole. COLUMNS folds tables alone."""
    if stream.isatty():
        return Console(file=stream, highlight=False, emoji=False)
    asked = os.environ.get("COLUMNS", "")
    width = int(asked) if asked.isdecimal() and int(asked) else _NO_FOLD
    return Console(file=_unpadded(stream), highlight=False, emoji=False, soft_wrap=True, width=width)


class _Unpadded:
    """A stream on which no line ends in the spaces that a table, or a help text, is padded with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        return self._stream.write("\n".join(line.rstrip(" ") for line in text.split("\n")))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _unpadded(stream: TextIO) -> TextIO:
    return cast(TextIO, _Unpadded(stream))


@contextmanager
def unpadded() -> Iterator[None]:
    """Off a terminal, cut the padding of what is printed to stdout by others than our consoles."""
    with redirect_stdout(sys.stdout if sys.stdout.isatty() else _unpadded(sys.stdout)):
        yield


def escaped(text: str) -> str:
    """Keep a text from being read as markup."""
    return escape(text)


def print_json(document: Any) -> None:
    """Print one JSON document to stdout, and nothing around it; what is no number is `null`, as JSON has it."""
    unicode = sys.stdout.encoding.lower().startswith("utf")
    sys.stdout.write(json.dumps(_finite(document), indent=2, ensure_ascii=not unicode) + "\n")


def _finite(document: Any) -> Any:
    if isinstance(document, dict):
        return {name: _finite(value) for name, value in document.items()}
    if isinstance(document, list | tuple):
        return [_finite(value) for value in document]
    return None if isinstance(document, float) and not math.isfinite(document) else document


def show_error(error: DlopsError, *, as_json: bool = False, seen: bool = False) -> None:
    """Say what went wrong and what to do next; not what a step printed, where that was `seen` already."""
    if as_json:
        print_json({"status": None, "error": problem(error)})
        return
    colour = "yellow" if error.exit_code in (3, 130) else "red"
    err().print(Text.assemble((f"{error.kind} ", f"bold {colour}"), error.message))
    if isinstance(error, StepFailed) and error.printed and not seen:
        err().print(Text(error.printed))
    for line in error.problems:
        err().print(Text.assemble(("  • ", colour), line))
    if error.hint:
        err().print(Text.assemble(("  → ", "cyan"), error.hint))


def show_outcome(
    outcome: Outcome, *, as_json: bool = False, quiet: bool = False, summary: RenderableType | None = None
) -> None:
    """Print how a launch ended, once (by its own `summary`, where it has one), and unless `quiet` what to type next."""
    if as_json:
        print_json(outcome.as_dict())
        return
    if outcome.plan is not None:
        out().print(_plan(outcome.plan))
        return
    if outcome.status == "RUNNING":
        from dlops.project import plan

        out().print(_table(outcome) if outcome.outputs else outcome.run_id)
        run = f"{outcome.run_id}{plan.option(outcome.tracking_uri)}"
        err().print(escaped(f"It goes on: `dlops logs {run} -f` follows it, `dlops cancel {run}` ends it."))
        return
    out().print(summary or _table(outcome))
    if outcome.error:
        show_error(outcome.error, seen=not quiet)
    elif not quiet and (step := named(outcome.step)) and set(step.outputs) <= set(outcome.outputs):
        from dlops.project import plan

        told = step.next.format(**outcome.outputs) + plan.option(outcome.tracking_uri)
        err().print(Text.assemble(("  → ", "cyan"), told))


def status_text(status: str) -> Text:
    """Colour a run's status."""
    return Text(status, style=_COLOURS.get(status, ""))


def duration(seconds: float) -> str:
    """Write a duration in one or two units."""
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def rough(seconds: float) -> str:
    """Write a duration in one unit, to its whole number."""
    for unit, size, most in (("s", 1, 60), ("min", 60, 60), ("h", 3600, 48)):
        if round(seconds / size) < most:
            return f"{round(seconds / size)} {unit}"
    return f"{round(seconds / 86400)} d"


def commit(name: str, dirty: bool) -> str:
    """Write which commit something ran from."""
    return f"{name[:12]}{' and changes not committed' if dirty else ''}" if name else "none"


def number(value: float) -> str:
    """Write a metric: counts whole, the rest to four digits."""
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else f"{value:.4g}"


def facts(rows: list[tuple[str, RenderableType]]) -> Table:
    """Lay out names and values in two columns; a text is no markup."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text(name), Text(value) if isinstance(value, str) else value)
    return table


def grid(rows: list[list[str]]) -> Table:
    """Lay out rows of texts below their heading, the first of them."""
    heading, *others = rows
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for place, name in enumerate(heading):
        cells = [name, *(row[place] for row in others if place < len(row))]
        last = place == len(heading) - 1
        table.add_column(
            escaped(name), overflow="ellipsis", no_wrap=True, min_width=None if last else max(map(len, cells))
        )
    for row in others:
        table.add_row(*map(Text, row))
    return table


def _table(outcome: Outcome) -> Table:
    rows: list[tuple[str, RenderableType]] = [
        (outcome.step, Text.assemble(status_text(outcome.status), f" in {duration(outcome.duration_s)}")),
        ("run", outcome.url or outcome.run_id),
    ]
    expected = step.outputs if (step := named(outcome.step)) else ()
    outputs = sorted(outcome.outputs.items(), key=lambda item: expected.index(item[0]) if item[0] in expected else 99)
    rows += [(name, Text(value, style="bold")) for name, value in outputs]
    if outcome.metrics:
        rows.append(("metrics", metrics(outcome.metrics)))
    return facts(rows)


def metrics(values: dict[str, float]) -> Table:
    """Lay out metrics; those of the machine, and of each seed, are for the browser, where they are curves."""
    return pairs({name: number(value) for name, value in values.items() if not _CURVES.match(name)})


def pairs(values: dict[str, str]) -> Table:
    """Lay out names and values in two columns, none of them dimmed; a text is no markup."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in values.items():
        table.add_row(Text(name), Text(value))
    return table


def _plan(plan: dict[str, Any]) -> RenderableType:
    heading = f"{plan['step']} would run on {plan['target']}; nothing was created."
    settings = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for name, value in plan["params"].items():
        settings.add_row(Text(name, style="cyan"), Text(value), Text(plan["layers"][name], style="dim"))
    rows: list[tuple[str, RenderableType]] = [
        ("project", plan["project"]),
        ("commit", commit(plan["commit"], plan["dirty"])),
        ("entry point", plan["entry_point"]),
        ("environment", plan["environment"]),
        ("experiment", plan["experiment"]),
        ("recorded in", plan["tracking_uri"]),
        ("parameters", settings if plan["params"] else "none"),
        ("command", Text(plan["command"])),
    ]
    return Group(Text(heading, style="bold"), facts(rows))
