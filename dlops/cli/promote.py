"""`dlops promote NAME VERSION`: make a version the champion."""

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


def promote(
    name: Name, version: VersionNumber, by: By = "", tracking_uri: TrackingUri = "", json: AsJson = False
) -> None:
    """Make a version the champion. Nothing is compared here: `dlops register … promote=true` does that first."""
    uri = plan.tracking_uri(tracking_uri)
    client = versions.connect(uri)
    chosen = versions.one(client, name, version)
    before = versions.asked(lambda: aliases.holder(client, name))
    moved = aliases.promote(client, name, chosen.version, instead_of=before, by=aliases.person(by, uri=uri))
    if json:
        console.print_json(moved.document())
    else:
        console.out().print(str(moved))
