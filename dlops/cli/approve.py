"""`dlops approve NAME VERSION`: let a version that waits become the champion."""

from __future__ import annotations

from typing import Annotated

import typer

from dlops.cli import console
from dlops.cli.options import AsJson, By, ModelName, TrackingUri, VersionNumber
from dlops.project import plan
from dlops.registry import aliases, versions

Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why; it is kept with the version.")]


def approve(
    name: ModelName,
    version: VersionNumber,
    comment: Comment = "",
    by: By = "",
    tracking_uri: TrackingUri = "",
    json: AsJson = False,
) -> None:
    """Approve a version that was registered with approval=required; one that was to be promoted is promoted now."""
    uri = plan.tracking_uri(tracking_uri)
    client = versions.connect(uri)
    chosen = versions.one(client, name, version)
    who = aliases.person(by, uri=uri)
    moved = aliases.approve(client, name, chosen.version, comment, by=who)
    approved_by = versions.one(client, name, chosen.version).tags.get("dlops_approved_by", who.name)
    if json:
        document = moved.document() if moved else {"name": name, "version": chosen.version}
        console.print_json({**document, "approved_by": approved_by})
    else:
        console.out().print(f"Version {chosen.version} of {name} is approved by {approved_by}.")
        if moved:
            console.out().print(str(moved))
