"""`dlops init DIR`: a small project of one's own, to begin with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from dlops.cli import console
from dlops.cli.options import AsJson
from dlops.config import paths

Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder, made where it is not there.")]
Name = Annotated[str, typer.Option("--name", help="The project's name.", show_default="the folder's")]


def init(folder: Folder, name: Name = "", json: AsJson = False) -> None:
    """Write a small project: an MLproject, one step of its own, a pipeline of four, configurations and a test."""
    from dlops.project import new_project

    place = paths.absolute(str(folder))
    new = new_project.write(place, name)
    if json:
        console.print_json({"folder": str(place), "written": [str(file) for file in new]})
        return
    for file in new:
        console.out().print(str(file.relative_to(place)), markup=False)
    if not new:
        console.err().print("All of it is there already.")
    console.err().print(Text.assemble(("  → ", "cyan"), f"cd {folder}; dlops run"))
