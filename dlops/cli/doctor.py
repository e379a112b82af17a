"""`dlops doctor`: is everything here that a launch needs?"""

from __future__ import annotations

import dataclasses

import typer
from rich.text import Text

from dlops.cli import console
from dlops.cli.options import AsJson, TrackingUri, Uri
from dlops.project import plan
from dlops.project.doctor import examine

_MARKS = {"ok": ("✓", "green"), "note": ("•", "yellow"), "problem": ("✗", "red")}


def doctor(uri: Uri = ".", tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """Check this machine and this project; exit 2 when something would keep a launch from working."""
    findings = []
    for finding in examine(uri, plan.tracking_uri(tracking_uri)):
        findings.append(finding)
        if not json:
            console.out().print(Text.assemble(_MARKS[finding.state], f" {finding.name:18} {finding.text}"))
    if json:
        console.print_json([dataclasses.asdict(finding) for finding in findings])
    raise typer.Exit(2 if any(finding.state == "problem" for finding in findings) else 0)
