"""`dlops approve NAME VERSION`: let a version that waits become the champion."""

from __future__ import annotations

from typing import Annotated

import typer

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri
from dlops.project import plan
from dlops.registry import aliases, versions

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A registered model.", autocompletion=completion.registered_models)
]
VersionNumber = Annotated[str, typer.Argument(metavar="VERSION", help="Its number, or an alias.")]
By = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who does it, where the registry does not know.", show_default="you")
]
Comment = Annotated[str, typer.Option("--comment", metavar="TEXT", help="Why; it is kept with the version.")]


def approve(
    name: Name,
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
