"""`dlops promote NAME VERSION`: make a version the champion."""

from __future__ import annotations

from dlops.cli import console
from dlops.cli.options import AsJson, By, ModelName, TrackingUri, VersionNumber
from dlops.project import plan
from dlops.registry import aliases, versions


def promote(
    name: ModelName, version: VersionNumber, by: By = "", tracking_uri: TrackingUri = "", json: AsJson = False
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
