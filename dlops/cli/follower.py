"""What is seen while a run goes on: its output as it comes, and a bar of its progress on a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dlops.cli import console

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.progress import Progress, TaskID


class Follower:
    """Shows events on stderr. Off a terminal there is no moving bar: the step's own lines tell."""

    def __init__(self, *, quiet: bool = False, detached: bool = False) -> None:
        self._quiet = quiet
        self._detached = detached
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._rows: list[list[str]] = []
        """A table that the step shows with its progress, the first row its heading."""
        self._steps: list[dict[str, Any]] = []
        """The steps of a pipeline."""

    def __enter__(self) -> Follower:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def show(self, event: dict[str, Any]) -> None:
        """Show one event."""
        match event["event"]:
            case "output" if not self._quiet:
                self._print(event["text"])
            case "progress" if not self._quiet:
                self._advance(event)
            case "started" if not self._quiet and not self._detached:
                console.err().print(f"[dim]run {event['run_id']}[/]")
            case "preparing" if not self._quiet:
                console.err().print(f"[dim]preparing the {console.escaped(event['text'])}[/]")
            case "waiting" if not self._quiet:
                console.err().print(f"[dim]{console.escaped(event['text'])}[/]")
            case "warning":
                console.err().print(f"[yellow]warning[/] {console.escaped(event['text'])}")
            case "interrupted":
                console.err().print("[yellow]ending the run; press Ctrl-C again to kill it[/]")

    def leave(self) -> bool:
        """Ask at a terminal whether a run that goes on elsewhere is to be left alone; nobody there ends it."""
        import typer

        if not (_is_typed_at() and console.err().is_terminal):
            return False
        if self._bar:
            self._bar.stop()
        try:
            return not typer.confirm("\nEnd the run? (n: it goes on without this terminal)", default=True, err=True)
        except typer.Abort:  # Ctrl-C once more
            return False

    def _print(self, text: str) -> None:
        if self._bar:
            self._bar.console.out(text.rstrip("\n"), highlight=False)
        else:
            sys.stderr.write(text)
            sys.stderr.flush()

    def _advance(self, event: dict[str, Any]) -> None:
        if not console.err().is_terminal:
            return
        self._rows = _rows(event.get("table"))
        self._steps = event.get("steps") or []
        if self._bar is None:
            self._bar = _bar(lambda: self._rows, lambda: self._steps)
            self._task = self._bar.add_task("", total=None)
            self._bar.start()
        assert self._task is not None
        self._bar.update(
            self._task,
            completed=event.get("done", 0),
            total=event.get("total"),
            description=console.escaped(str(event.get("text", ""))),
        )


def _is_typed_at() -> bool:
    """Say whether somebody at a terminal could answer: not one that has this in the background."""
    try:
        return sys.stdin.isatty() and os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    except (AttributeError, OSError, ValueError):  # closed, or no terminal of this process's
        return False


def _rows(table: object) -> list[list[str]]:
    """Give the rows of a table that a step, whoever's it is, has told."""
    rows = table if isinstance(table, list) else []
    return [[str(cell) for cell in row] for row in rows if isinstance(row, list) and row]


def _bar(rows: Callable[[], list[list[str]]], steps: Callable[[], list[dict[str, Any]]]) -> Progress:
    """Make a bar, with a table of these rows, or the steps of a pipeline, above it where there are any."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    class Shown(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            if found := rows():
                yield console.grid(found)
            if going_on := steps():
                from dlops.cli import pipelines

                yield pipelines.live(going_on)
            yield from super().get_renderables()

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Shown(*columns, console=console.err(), transient=True, redirect_stdout=False, redirect_stderr=False)
