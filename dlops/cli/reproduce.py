"""`dlops reproduce RUN`: do once more what a run did, and hold its figures against those of then."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table
from rich.text import Text

from dlops.cli import console, options
from dlops.cli.cancel import RunId
from dlops.cli.launching import followed, show
from dlops.cli.options import Common, Overrides, with_common
from dlops.cli.rerun import same_again
from dlops.errors import GateFailed, UsageError
from dlops.project.comparison import Difference, of

if TYPE_CHECKING:
    from dlops.project.pipeline.asked import Asked
    from dlops.project.plan import Request
    from dlops.project.runs import Run

Within = Annotated[
    float | None,
    typer.Option(
        "--within",
        metavar="DIFFERENCE",
        min=0.0,
        help="End with exit 3 where a metric differs by more; times are not looked at.",
        show_default=False,
    ),
]


@partial(with_common, without=("config", "dry_run", "detach"))
def reproduce(run: RunId, overrides: Overrides = None, within: Within = None, *, common: Common) -> None:
    """Run a recorded step or pipeline again: its commit, changes, packages and data; and compare each metric."""
    recorded: list[Run] = []

    def asked() -> Request | Asked:
        from dlops.project import plan
        from dlops.project.runs import Runs

        runs = Runs(plan.tracking_uri(common.tracking_uri))
        before = runs.one(run)
        recorded.append(before)
        if before.status != "FINISHED":
            raise UsageError(f"Run {before.run_id} is {before.status}: there is nothing to reproduce.")
        return same_again(runs, before, options.request("", overrides, common))

    outcome = followed(asked, common)
    found = of(recorded[0].metrics, outcome.metrics)
    if common.json:
        console.print_json(
            {**outcome.as_dict(), "reproduces": recorded[0].run_id, "compared": [one.document() for one in found]}
        )
    else:
        show(outcome, quiet=common.quiet)
        console.out().print(_table(found))
    if outcome.error:
        raise typer.Exit(outcome.exit_code)
    if within is not None and (off := [one for one in found if not one.is_timed and not one.is_within(within)]):
        shown = ", ".join(one.name for one in off[:5])
        refused = GateFailed(f"{len(off)} metrics differ by more than {within:g}: {shown}{' …' if off[5:] else ''}.")
        if not common.json:
            console.show_error(refused)
        raise typer.Exit(refused.exit_code)


def _table(found: list[Difference]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("metric", "before", "now", "difference"):
        table.add_column(name, justify="left" if name == "metric" else "right")
    for one in found:
        cells = [Text("none" if value is None else f"{value:.6g}") for value in (one.before, one.now, one.difference)]
        if one.difference == 0.0:
            cells[2] = Text("equal", "green")
        elif one.is_timed:
            cells[2].stylize("dim")
        else:
            cells[2].stylize("yellow")
        table.add_row(Text(one.name), *cells)
    return table
