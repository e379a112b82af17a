"""`dlops params STEP`: what an entry point takes."""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer

from dlops.cli import completion, console, parameter_table
from dlops.cli.options import AsJson, Uri, Version
from dlops.project import plan

StepName = Annotated[
    str, typer.Argument(metavar="STEP", help="A step, or any entry point.", autocompletion=completion.steps)
]


def params(step: StepName, uri: Uri = ".", version: Version = "", json: AsJson = False) -> None:
    """List a step's parameters: name, type, default, description."""
    found = plan.entry_point(step, uri, version=version)
    if json:
        console.print_json([dataclasses.asdict(parameter_table.shown(parameter)) for parameter in found.parameters])
    else:
        console.out().print(parameter_table.table(found.parameters, title=f"Parameters of {found.name}"))
