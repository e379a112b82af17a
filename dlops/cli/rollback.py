"""`dlops rollback NAME`: make champion again who was it before."""

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
By = Annotated[
    str, typer.Option("--by", metavar="WHO", help="Who does it, where the registry does not know.", show_default="you")
]


def rollback(name: Name, by: By = "", tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """Make champion again who was it before."""
    uri = plan.tracking_uri(tracking_uri)
    client = versions.connect(uri)
    versions.asked(lambda: client.get_registered_model(name))
    moved = aliases.rollback(client, name, by=aliases.person(by, uri=uri))
    if json:
        console.print_json(moved.document())
    else:
        console.out().print(str(moved))
