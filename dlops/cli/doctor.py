"""`dlops doctor`: is everything here that a launch needs?"""

from __future__ import annotations

import dataclasses
from typing import Annotated

import typer
from rich.text import Text

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri, Uri
from dlops.project import plan
from dlops.project.doctor import examine
from dlops.targets.names import named

On = Annotated[
    str,
    typer.Option(
        "--on",
        metavar="TARGET",
        help="A target to be tried, by a job that only looks round.",
        autocompletion=completion.targets,
    ),
]
_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✗", "red")}


def doctor(on: On = "local", uri: Uri = ".", tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """Check this machine, this project and a target; exit 2 when something would keep a launch from working."""
    findings = []
    for finding in examine(uri, plan.tracking_uri(tracking_uri), named(on)):
        findings.append(finding)
        if not json:
            console.out().print(Text.assemble(_MARKS[finding.state], f" {finding.name:22} {finding.text}"))
    if json:
        console.print_json([dataclasses.asdict(finding) for finding in findings])
    raise typer.Exit(2 if any(finding.state == "problem" for finding in findings) else 0)
