"""`dlops rollback NAME`: make champion again who was it before."""

from __future__ import annotations

from dlops.cli import console
from dlops.cli.options import AsJson, By, ModelName, TrackingUri
from dlops.project import plan
from dlops.registry import aliases, versions


def rollback(name: ModelName, by: By = "", tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """Make champion again who was it before."""
    uri = plan.tracking_uri(tracking_uri)
    client = versions.connect(uri)
    versions.asked(lambda: client.get_registered_model(name))
    moved = aliases.rollback(client, name, by=aliases.person(by, uri=uri))
    if json:
        console.print_json(moved.document())
    else:
        console.out().print(str(moved))
