"""`dlops lineage REF`: where a model comes from, and what came of it, as a tree, as JSON or as a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text
from rich.tree import Tree

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri
from dlops.config import paths
from dlops.config.terminal import visible
from dlops.project import plan
from dlops.registry import lineage as lineages
from dlops.registry import versions
from dlops.registry.lineage import Lineage, Node

Reference = Annotated[
    str,
    typer.Argument(
        metavar="REF",
        help="A registered model, models:/NAME/VERSION, models:/m-…, runs:/RUN/model, or a run's id.",
        autocompletion=completion.registered_models,
    ),
]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page instead.", show_default=False)]


def lineage(reference: Reference, html: Html = None, tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """Show where a model comes from: run, data and its source, code, environment; and what came of it."""
    found = lineages.of(versions.connect(plan.tracking_uri(tracking_uri)), reference)
    if html:
        from dlops.data import lineage_page

        paths.absolute(str(html)).write_text(lineage_page.html(found.document()), encoding="utf-8")
    if json:
        console.print_json(found.document())
    elif html:
        console.err().print(f"Written: {html}")
    else:
        console.out().print(_tree(found))


def _tree(found: Lineage) -> Tree:
    drawn = _branch(found.root)
    if found.uses:
        uses = drawn.add(Text("what came of it", "bold"))
        for node in found.uses:
            uses.add(_branch(node))
    return drawn


def _branch(node: Node) -> Tree:
    facts = ", ".join(f"{name} {visible(text)}" for name, text in node.facts.items())
    label = Text.assemble(
        (node.kind, "cyan"), " ", (visible(node.name), "bold"), ("  " + facts if facts else "", "dim")
    )
    drawn = Tree(label)
    for before in node.after:
        drawn.add(_branch(before))
    return drawn
