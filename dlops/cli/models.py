"""`dlops models [NAME]`: what is registered, who is the champion, how good each version is."""

from __future__ import annotations

import dataclasses
import time
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from dlops.cli import completion, console
from dlops.cli.options import AsJson, TrackingUri
from dlops.config.terminal import visible
from dlops.project import plan
from dlops.registry import versions
from dlops.registry.aliases import APPROVAL, CHAMPION
from dlops.registry.versions import Version

ModelName = Annotated[
    str,
    typer.Argument(
        metavar="NAME", help="A registered model.", autocompletion=completion.registered_models, show_default=False
    ),
]
_FIGURES = ("accuracy", "micro_f1", "macro_f1", "r2", "rmse")
"""Of a version that are shown in the table, if it has them; `--json` has all."""
_SHOWN = 2


def models(name: ModelName = "", tracking_uri: TrackingUri = "", json: AsJson = False) -> None:
    """List registered models with versions, aliases and figures; all versions of one that is named."""
    client = versions.connect(plan.tracking_uri(tracking_uri))
    names = [name] if name else versions.names(client)
    found = [version for one in names for version in versions.of(client, one)]
    if json:
        console.print_json([_document(version) for version in found])
    elif found:
        console.out().print(_table(found if name else _leading(found)))
    else:
        console.err().print(f"{name} has no version." if name else "No model is registered here yet.")


def _leading(found: list[Version]) -> list[Version]:
    """Give the versions that have an alias, and each model's newest."""
    newest = {version.name: version for version in reversed(found)}
    return [version for version in found if version.aliases or newest[version.name] is version]


def _table(found: list[Version]) -> Table:
    figures = list(dict.fromkeys(name for one in found for name in one.metrics if _is_shown(name)))[:_SHOWN]
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim")
    for name in ("model", "version", "aliases", *figures, "age", "run"):
        table.add_column(name, justify="right" if name in figures else "left")
    for version in found:
        aliases = Text(", ".join(version.aliases), "bold green" if CHAMPION in version.aliases else "")
        if version.tags.get(APPROVAL) == "required":
            aliases.append(" awaits approval", "yellow")
        table.add_row(
            visible(version.name),
            version.version,
            aliases,
            *(f"{version.metrics[name]:.4f}" if name in version.metrics else "" for name in figures),
            console.rough(time.time() - version.created),
            version.run_id[:8],
        )
    return table


def _is_shown(name: str) -> bool:
    return name.partition("_")[2] in _FIGURES


def _document(version: Version) -> dict[str, Any]:
    return {**dataclasses.asdict(version), "metrics": version.metrics}
