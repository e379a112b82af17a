"""How a pipeline looks on a terminal: its plan, its steps while they run, what became of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from dlops.cli import console
from dlops.project.outcome import Outcome, saved

_COLOURS = {
    "finished": "green",
    "cached": "cyan",
    "taken": "cyan",
    "running": "blue",
    "failed": "red",
    "refused": "yellow",
    "ended": "yellow",
    "will run": "green",
    "unknown": "magenta",
}
_SIGNS = {"finished": "✓", "cached": "↺", "taken": "↺", "running": "▶", "failed": "✗", "refused": "⊘", "ended": "■"}


def live(steps: Sequence[Mapping[str, Any]]) -> Table:
    """Lay out the steps of a pipeline that goes on, a line each, those that need others further to the right."""
    table = _grid()
    for step, name in zip(steps, _tree(steps), strict=True):
        told = step.get("progress") or (step.get("why", "") if step["state"] != "waiting" else "")
        table.add_row(name, _state(step["state"]), _seconds(step), Text(_first_line(told), "dim", no_wrap=True))
    return table


def summary(outcome: Outcome) -> RenderableType:
    """Lay out how a pipeline ended, what was taken from the cache, and the time that saved."""
    table = _grid()
    for step, name in zip(outcome.steps, _tree(outcome.steps), strict=True):
        why = _first_line(step.get("error") or step.get("why", ""))
        run = Text(step.get("run_id", ""), "dim", no_wrap=True)
        table.add_row(name, _state(step["state"]), _seconds(step), run, Text(why, overflow="fold"))
    heading = Text.assemble("run ", console.status_text(outcome.status), f" in {console.duration(outcome.duration_s)}")
    if seconds := saved(outcome.steps):
        count = sum(step["state"] == "cached" for step in outcome.steps)
        what = "1 step was" if count == 1 else f"{count} steps were"
        heading.append(f"; {what} taken from the cache, which saved {console.duration(seconds)}")
    return Group(heading, Text.assemble(("run ", "dim"), outcome.url or outcome.run_id), table)


def plan(steps: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Lay out what would become of each step."""
    table = _grid()
    for step, name in zip(steps, _tree(steps), strict=True):
        where = Text("" if step["target"] == "local" else f"on {step['target']}", "cyan")
        table.add_row(name, _state(step["state"]), where, Text(step["why"], overflow="fold"))
    return Group(Text("The pipeline would run like this; nothing was created.", "bold"), table)


def _grid() -> Table:
    return Table(box=None, show_header=False, padding=(0, 2, 0, 0))


def _tree(steps: Sequence[Mapping[str, Any]]) -> list[Text]:
    """Indent each step's name below the last of those that it needs."""
    depth: dict[str, int] = {}
    names = []
    for step in steps:
        level = depth[step["name"]] = 1 + max((depth[name] for name in step.get("needs", ())), default=-1)
        names.append(Text.assemble((f"{'   ' * (level - 1)}└─ " if level else "", "dim"), (step["name"], "bold")))
    return names


def _state(state: str) -> Text:
    return Text(f"{_SIGNS.get(state, ' ')} {state}", _COLOURS.get(state, "dim"), no_wrap=True)


def _seconds(step: Mapping[str, Any]) -> Text:
    if step["state"] not in ("running", "finished", "failed", "refused", "ended") or not step.get("seconds"):
        return Text()
    return Text(console.duration(step["seconds"]), no_wrap=True)


def _first_line(text: str) -> str:
    return text.strip().split("\n")[0]
