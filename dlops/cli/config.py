"""`dlops config STEP`: each value a launch would use, and where it comes from."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from dlops.cli import completion, console
from dlops.cli.options import Common, Overrides, request, with_common
from dlops.project import plan

StepName = Annotated[
    str, typer.Argument(metavar="STEP", help="A step, or any entry point.", autocompletion=completion.steps)
]


@partial(with_common, without=("on", "env", "experiment", "run_name", "dry_run", "detach", "quiet"))
def config(step: StepName, overrides: Overrides = None, *, common: Common) -> None:
    """Show each value a step would run with, and the layer it comes from."""
    planned = plan.make(request(step, overrides, common))
    shown = planned.shown_values
    if common.json:
        layers = {
            setting.parameter.name: {"value": shown[setting.parameter.name], "layer": setting.layer}
            for setting in planned.settings
        }
        console.print_json(layers)
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for heading in ("parameter", "value", "from"):
        table.add_column(heading, overflow="fold", no_wrap=heading == "parameter")
    for setting in planned.settings:
        changed = "" if setting.layer == "MLproject" else "bold"
        table.add_row(
            Text(setting.parameter.name, "cyan"),
            Text(shown[setting.parameter.name], changed),
            Text(setting.layer, "dim"),
        )
    console.out().print(table)
