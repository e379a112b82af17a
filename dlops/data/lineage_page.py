"""A model's history as one HTML page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlops.data.page import named, page, safe, section


def html(found: Mapping[str, Any]) -> str:
    """Lay out a lineage's document: what it was made from as nested lists, then what came of it."""
    name = str(found["name"])
    header = f"<header><h1>Lineage of {named(name)}</h1></header>"
    uses = found.get("uses", ())
    after = section("What came of it", "".join(f"<ul>{_item(one)}</ul>" for one in uses)) if uses else ""
    return page(f"Lineage of {name}", header + section("Where it comes from", f"<ul>{_item(found)}</ul>") + after)


def _item(node: Mapping[str, Any]) -> str:
    facts = "".join(
        f"<div class=muted>{safe(name)}: {named(text)}</div>" for name, text in node.get("facts", {}).items()
    )
    below = "".join(_item(one) for one in node.get("from", ()))
    inner = f"<ul>{below}</ul>" if below else ""
    return (
        f"<li><span class='status skipped'>{safe(node['kind'])}</span> <b>{named(node['name'])}</b>{facts}{inner}</li>"
    )
